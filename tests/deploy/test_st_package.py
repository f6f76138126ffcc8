"""The package for ST's tool: vectors, header, memory profile."""

import json
from pathlib import Path
import shutil
import subprocess

from edgebrain.errors import UserError
from edgebrain.onnx.runner import load_runner
import numpy as np
import pytest

from deploy import stedgeai
from deploy.st.readme import source_of
from deploy.st.vectors import make_vectors, read_clips

EVEN = "give --frames_per_patch 30 --lookahead_frames 5, leave both out"


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
    assert "2 calls of 0.wav, 1.wav, one" in text and "synthetic" not in text
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
    assert source_of(names).endswith("3.wav and 3 more (package.json)")
    assert source_of(["a|b.wav"]) == r"a\|b.wav"


def test_a_float_model_needs_no_session_option(models, tmp_path):
    folder = tmp_path / "p"
    words = [str(models["float"]), "--target", "stm32h7", "--no_run"]
    assert stedgeai.main([*words, "--output_folder", str(folder)]) == 0
    assert "qdqisint8" not in (folder / "README.md").read_text()


def test_header_fits_the_model_and_compiles(models, tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: install gcc")
    folder = tmp_path / "p"
    words = ("--silence_threshold_db", -45, "--frames_per_patch", 30)
    assert build(models, "even", folder, *words) == 0
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
    main = app / "main.c"
    main.write_text(
        '#include <stdio.h>\n#include "ai_model_config.h"\n'
        "int main(void) { for (unsigned i = 0; i < "
        "CTRL_X_CUBE_AI_SPECTROGRAM_WINDOW_LENGTH; i++) "
        'printf("%.9e\\n", (double)CTRL_X_CUBE_AI_SPECTROGRAM_WIN[i]); '
        "return 0; }\n"
    )
    command = ["cc", "-Wall", "-Wextra", "-Werror", "-o", "a", "main.c"]
    subprocess.run([*command, "user_win.c"], cwd=app, check=True)
    printed = subprocess.check_output([app / "a"], text=True).split()
    n = np.arange(400)
    expected = 0.5 - 0.5 * np.cos(2 * np.pi * n / 400)
    assert np.allclose(np.array(printed, float), expected, atol=1e-7)


@pytest.mark.parametrize(
    "name, words, message",
    [
        ("even", ("--frames_per_patch", 31), "--frames_per_patch 31 does not"),
        ("even", ("--lookahead_frames", 30), "the model takes 40"),
        # 40 frames all the same, but other ones than evaluate.py takes.
        ("even", ("--frames_per_patch", 40), EVEN),
        ("even", ("--frames_per_patch", 38), EVEN),
        ("even", ("--lookahead_frames", 4), EVEN),
        (
            "even",
            ("--frames_per_patch", 32, "--lookahead_frames", 4),
            "--frames_per_patch 32 and --lookahead_frames 4 do not fit",
        ),
        ("patch", ("--frames_per_patch", 30), "--context 6 6"),
        ("stream", ("--lookahead_frames", 5), "export the patch form"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(
    models, tmp_path, name, words, message
):
    with pytest.raises(UserError, match=message):
        build(models, name, tmp_path / "p", *words)
    assert list(tmp_path.iterdir()) == []


def test_an_uneven_context_has_no_header_and_says_why(models, tmp_path, capsys):
    assert build(models, "patch", tmp_path / "p") == 0
    assert "--context 6 6" in capsys.readouterr().out
    assert not (tmp_path / "p" / "audio_application").exists()
    assert "--context 6 6" in (tmp_path / "p" / "README.md").read_text()


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
