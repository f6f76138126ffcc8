"""The package for ST's tool: vectors, header, memory profile."""

import json
from pathlib import Path
import shutil
import subprocess

from edgebrain.errors import UserError
from edgebrain.onnx.runner import load_runner
import numpy as np
import onnx
import pytest

from deploy import stedgeai
from deploy.st.readme import source_of
from deploy.st.vectors import make_vectors, read_clips


def build(models, name, folder, *words):
    arguments = [str(models[name]), "--target", "stm32n6", "--no_run"]
    arguments += ["--output_folder", str(folder), *map(str, words)]
    return stedgeai.main(arguments)


def test_vectors_hold_threaded_states_and_what_comes_out(models, tmp_path):
    folder = tmp_path / "p"
    assert build(models, "lstm", folder, "--audio", models["noisy"]) == 0
    load = {p.stem: np.load(p) for p in (folder / "vectors").iterdir()}
    assert load["in_magnitude"].shape == (20, 257, 1)
    assert load["in_lstm0_h"].shape == (20, 8)
    assert np.abs(load["in_lstm0_c"]).max() > 0.01
    runner = load_runner(folder / "model.onnx")
    for row in range(20):
        feeds = {
            k[3:]: v[row : row + 1]
            for k, v in load.items()
            if k.startswith("in_")
        }
        mask, h, c = runner.session.run(
            ["mask", "new_lstm0_h", "new_lstm0_c"], feeds
        )
        assert np.array_equal(mask, load["out_mask"][row : row + 1])
        assert np.array_equal(c, load["out_new_lstm0_c"][row : row + 1])


def test_of_many_recordings_some_are_read(models):
    assert len(read_clips([models["noisy"]], 16000)) == 3
    assert len(read_clips([models["noisy"]], 8000, 2)) == 2
    assert (
        len(read_clips([models["noisy"] / "1.wav"], 8000, 2)[0].samples) == 8000
    )
    with pytest.raises(UserError, match="holds no audio"):
        read_clips([Path(__file__).with_name("nnse_headers")], 8000)


def test_a_package_says_what_its_vectors_are_of(models, tmp_path):
    folder = tmp_path / "p"
    facts = folder / "package.json"
    assert build(models, "stream", folder) == 0
    text = (folder / "README.md").read_text()
    assert "20 calls of a synthetic voice (give recordings by" in text
    assert "real audio" not in text
    assert json.loads(facts.read_text())["audio"] == ["a synthetic voice"]
    words = ("--audio", models["noisy"])
    assert build(models, "stream", folder, *words, "--vectors", 2) == 0
    assert json.loads(facts.read_text())["audio"] == ["0.wav", "1.wav"]
    text = (folder / "README.md").read_text()
    assert (
        "2 calls of `0.wav`, `1.wav`, one" in text and "synthetic" not in text
    )
    assert "session.qdqisint8allowed=1" in text


def test_only_clips_that_vectors_are_of_are_named(models):
    clips = read_clips([models["noisy"]], 16000)
    runner = load_runner(models["patch"])
    # Four clips have two calls each: the last one's are too many.
    vectors, names = make_vectors(runner, [*clips, clips[0]], 5)
    assert names == ["0.wav", "1.wav", "2.wav"]
    assert len(vectors["in_magnitude"]) == 5


def test_the_readme_shows_some_names_of_many():
    names = [f"{n}.wav" for n in range(7)]
    assert source_of(names).endswith("`3.wav` and 3 more (package.json)")
    assert source_of(["a|b`\n.wav"]) == r"`a\|b'?.wav`"


def test_a_float_model_needs_no_session_option(models, tmp_path):
    folder = tmp_path / "p"
    words = [str(models["float"]), "--target", "stm32h7", "--no_run"]
    assert stedgeai.main([*words, "--output_folder", str(folder)]) == 0
    assert "qdqisint8" not in (folder / "README.md").read_text()


def test_header_fits_the_model_and_compiles(models, tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: install gcc")
    folder = tmp_path / "p"
    assert build(models, "even", folder, "--silence_threshold_db", -45) == 0
    app = folder / "audio_application"
    text = (app / "ai_model_config.h").read_text()
    for line in (
        "SPECTROGRAM_COL_NO_OVL    (30U)",
        "SPECTROGRAM_COL_OVL       (5U)",
        "SPECTROGRAM_HOP_LENGTH    (160U)",
        "SPECTROGRAM_WINDOW_LENGTH (400U)",
        "AUDIO_OUT_DB_THRESHOLD    (-45.0F)",
    ):
        assert line in text
    n = np.arange(400)
    expected = 0.5 - 0.5 * np.cos(2 * np.pi * n / 400)
    # ST's application has half precision, and elsewhere none of the kind.
    for line, error in (("#define PREPROC_FLOAT_T _Float16", 3e-4), ("", 1e-7)):
        (app / "preproc_dpu.h").write_text(line + "\n")
        printed = run_c(
            app,
            "for (unsigned i = 0; i < CTRL_X_CUBE_AI_SPECTROGRAM_WINDOW_LENGTH;"
            ' i++) printf("%.9e\\n", '
            "(double)CTRL_X_CUBE_AI_SPECTROGRAM_WIN[i]);",
        )
        assert np.allclose(np.array(printed, float), expected, atol=error)


def run_c(app, statements):
    """Return the words that statements over the headers print."""
    (app / "main.c").write_text(
        '#include <stdio.h>\n#include "ai_model_config.h"\n'
        '#include "user_mel_tables.h"\n'
        f"int main(void) {{ {statements} return 0; }}\n"
    )
    command = ["cc", "-Wall", "-Wextra", "-Werror", "-o", "a", "main.c"]
    subprocess.run([*command, "user_mel_tables.c"], cwd=app, check=True)
    return subprocess.check_output([app / "a"], text=True).split()


@pytest.fixture(
    scope="session",
    params=[{"prologue": "linear"}, {"int8_step": 2**-7}],
    ids=["linear", "int8"],
)
def wide_patch(models, small_network, tmp_path_factory, request):
    """Return a causal network's patch with 60 frames on both sides."""
    from edgebrain.onnx.export import export_patch
    from edgebrain.onnx.quantization import (
        QuantizationSettings,
        load_source,
        quantize,
    )
    from edgebrain.onnx.quantization_calibration import read_clips
    from edgebrain.signal import SignalSettings
    from edgebrain.tasks import Setup

    folder = tmp_path_factory.mktemp("wide")
    setup = Setup("enhancement", SignalSettings())
    # Sees as far as tcnn-120k, and int8 magnitudes, as the application.
    network = small_network(n_blocks=2, num_layers=4, **request.param)
    assert network.receptive_field_frames == 61
    export_patch(network, setup, folder / "p.onnx", context=(60, 60))
    clips = read_clips(models["noisy"], setup, 3, 0, 1.0)
    target, settings = folder / "patch_int8.onnx", QuantizationSettings()
    quantize(load_source(folder / "p.onnx"), target, clips, settings)
    return target


def test_a_patch_with_60_frames_on_both_sides_fits_the_application(
    wide_patch, tmp_path, capsys
):
    """As export_onnx.py --forms patch --context 60 60 writes it."""
    folder = tmp_path / "p"
    words = [str(wide_patch), "--target", "stm32n6", "--no_run"]
    assert stedgeai.main([*words, "--output_folder", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "fits: 30 new frames a call, 60 more on each side" in text
    header = folder / "audio_application" / "ai_model_config.h"
    text = header.read_text()
    # It hands the network levels, not floats.
    commands = (folder / "run.sh").read_text()
    assert "--input-data-type int8 --output-data-type float32" in commands
    assert "COL_NO_OVL    (30U)" in text and "COL_OVL       (60U)" in text
    readme = (folder / "README.md").read_text()
    # 90 hops of 10 ms and a window of 25 ms.
    assert "925 ms from microphone" in readme and "more than" not in readme


@pytest.mark.parametrize(
    "name, reason",
    [
        ("patch", "magnitude/Pow computes on them in float"),
        ("stream", "export the patch form"),
        ("uneven", "--context 6 6"),
    ],
)
def test_what_the_application_cannot_run_is_said(
    models, tmp_path, capsys, name, reason
):
    folder = tmp_path / "p"
    model = onnx.load(models["even"])
    for entry in model.metadata_props:
        if entry.key == "edgebrain.context":
            entry.value = "[6, 4]"
    onnx.save(model, tmp_path / "uneven.onnx")
    models = models | {"uneven": tmp_path / "uneven.onnx"}
    assert build(models, name, folder) == 0
    assert reason in capsys.readouterr().out
    assert not (folder / "audio_application").exists()
    assert reason in (folder / "README.md").read_text()


def test_names_of_a_file_are_no_code_and_no_markdown(models, tmp_path):
    model = onnx.load(models["even"])
    for entry in model.metadata_props:
        if entry.key == "edgebrain.model_class":
            entry.value = 'a.B"\n#error */ `<b>`'
    path, folder = tmp_path / "named.onnx", tmp_path / "p"
    onnx.save(model, path)
    build({"named": path}, "named", folder)
    header = (folder / "audio_application" / "ai_model_config.h").read_text()
    assert '"B__#error' not in header and "#error" not in header
    first = (folder / "README.md").read_text().splitlines()[0]
    assert first.startswith("# B___error") and "<" not in first
    if shutil.which("cc"):
        (folder / "audio_application" / "preproc_dpu.h").touch()
        run_c(folder / "audio_application", "")


def test_profile_and_pools_do_not_overlap(models, tmp_path):
    folder = tmp_path / "p"
    build(models, "stream", folder)
    profile = json.loads((folder / "user_neuralart.json").read_text())
    pools = folder / profile["Profiles"]["default"]["memory_pool"]
    memory = json.loads(pools.read_text())["memory"]["mempools"]
    unit = {"KBYTES": 1024, "MBYTES": 1024**2}
    spans = sorted(
        (
            int(p["offset"]["value"], 16),
            int(p["size"]["value"]) * unit[p["size"]["magnitude"]],
        )
        for p in memory
    )
    ends = [start + size for start, size in spans]
    starts = [start for start, _ in spans]
    assert all(e <= s for e, s in zip(ends, starts[1:], strict=False))
    weights = next(p for p in memory if p["name"] == "octoFlash")
    assert weights["prop"]["constants_preferred"] == "true"


def test_a_package_is_replaced_and_results_are_set_aside(models, tmp_path):
    folder = tmp_path / "p"
    build(models, "stream", folder)
    for number in range(2):
        (folder / "tool").mkdir()
        (folder / "tool" / "log").write_text(str(number))
        build(models, "lstm", folder)
        assert not (folder / "tool").exists()
    assert (folder / "vectors" / "in_lstm0_h.npy").is_file()
    assert (folder / "tool_1" / "log").read_text() == "0"
    assert (folder / "tool_2" / "log").read_text() == "1"
    (folder / "written.json").unlink()
    with pytest.raises(UserError, match="holds other files"):
        build(models, "lstm", folder)
