import json
import os
from pathlib import Path
import shutil
import subprocess
import sys

from edgebrain.errors import UserError
from edgebrain.onnx.quantization import (
    QuantizationSettings,
    load_source,
    quantize,
)
from edgebrain.onnx.quantization_calibration import read_clips
from edgebrain.onnx.runner import load_runner
from edgebrain.signal import SignalSettings
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from deploy import stedgeai  # noqa: E402
from deploy.st.checker import check  # noqa: E402
from deploy.st.cost import measure  # noqa: E402
from deploy.st.graph import Graph  # noqa: E402
from deploy.st.targets import get_target, load_targets  # noqa: E402

TOOL = Path(__file__).with_name("stand_in_stedgeai.py")


@pytest.fixture(scope="module")
def models(onnx_folder, small_network, tmp_path_factory):
    """Return the path of quantized models by name."""
    from edgebrain.data import audio
    from edgebrain.models import LSTMMask
    from edgebrain.onnx.export import export_patch, export_stream
    from edgebrain.onnx.probe import speech_like
    import torch

    folder = tmp_path_factory.mktemp("models")
    for number in range(3):
        rng = np.random.default_rng(number)
        noise = 0.02 * rng.normal(size=16000)
        wav = (speech_like(1.0, 16000) + noise).astype(np.float32)
        audio.write(folder / "noisy" / f"{number}.wav", wav, 16000)
    torch.manual_seed(1)
    lstm, patch = folder / "lstm.onnx", folder / "even_patch.onnx"
    export_stream(LSTMMask(257, 8, 1).eval(), SignalSettings(), lstm)
    export_patch(
        small_network(),
        SignalSettings(),
        patch,
        frames_per_patch=30,
        context=(5, 5),
    )
    paths = {"noisy": folder / "noisy", "float": onnx_folder / "stream.onnx"}
    sources = {
        "stream": onnx_folder / "stream.onnx",
        "patch": onnx_folder / "patch.onnx",
        "even": patch,
        "lstm": lstm,
    }
    for name, path in sources.items():
        paths[name] = folder / f"{name}_int8.onnx"
        clips = read_clips(folder / "noisy", SignalSettings(), 3, 0, 1.0)
        settings = QuantizationSettings()
        quantize(load_source(path), paths[name], clips, settings)
    return paths


@pytest.fixture
def changed(models, tmp_path):
    """Return a function that writes a model after a change to its graph."""

    def write(change, name="stream"):
        model = onnx.load(models[name])
        change(model)
        path = tmp_path / "changed.onnx"
        onnx.save(model, path)
        return path

    return write


def findings(path, rule, target="stm32n6"):
    report = check(Graph(path), get_target(target))
    return next(r for r in report.rules if r.rule == rule)


def constant(model, name):
    return next(t for t in model.graph.initializer if t.name == name)


def set_constant(model, name, array):
    constant(model, name).CopyFrom(numpy_helper.from_array(array, name))


def node_of(model, kind, number=0):
    return [n for n in model.graph.node if n.op_type == kind][number]


# -- what passes ---------------------------------------------------------


@pytest.mark.parametrize("name", ["stream", "patch", "lstm"])
@pytest.mark.parametrize("target", ["stm32n6", "stm32u5", "stm32h7", "stm32"])
def test_quantized_models_pass_on_every_target(models, name, target):
    report = check(Graph(models[name]), get_target(target))
    assert report.failures() == []
    assert report.nodes["unknown"] == 0


def test_cost_is_that_of_the_layers(models):
    graph = Graph(models["stream"])
    cost = measure(graph)
    layers = [257 * 12, 12 * 257]
    layers += 2 * [12 * 12 + 12 * 3 + 12 * 12]
    assert cost.macs == sum(layers)
    biases = 4 * (12 + 4 * 12 + 257)
    assert cost.weight_bytes == sum(layers) + biases + 4  # and the exponent
    # The float magnitude and its int8 power at the prologue.
    caches = 12 * 2 + 12 * 4
    assert cost.activation_peak_bytes == 257 * 4 + 257 + caches
    assert "lower bound" in check(graph, get_target("stm32n6")).text()


def test_only_the_prologue_is_in_software(models):
    found = findings(models["stream"], "software_nodes")
    assert [f.node for f in found.findings] == ["magnitude/Pow"]
    assert found.level == "warn"


def test_a_float_model_fails_on_the_accelerator_alone(models):
    on_npu = findings(models["float"], "float_layers")
    on_cpu = findings(models["float"], "float_layers", "stm32h7")
    assert (on_npu.level, on_cpu.level) == ("fail", "warn")
    assert len(on_npu.findings) == 8


# -- what is refused -----------------------------------------------------


def _unsigned(model):
    node = node_of(model, "QuantizeLinear")
    set_constant(model, node.input[2], np.array(0, np.uint8))


def _sixteen_bits(model):
    node = node_of(model, "QuantizeLinear")
    set_constant(model, node.input[2], np.array(0, np.int16))


def _other_state_scale(model):
    set_constant(model, "block0_layer0_cache_scale", np.array(0.5, np.float32))


def _weight_zero_point(model):
    name = "enter.weight_zero_point"
    set_constant(model, name, np.full(12, 3, np.int8))


def _weight_axis(model):
    for node in model.graph.node:
        if node.output[0] == "leave.weight_DequantizeLinear_Output":
            node.attribute[0].i = 1


def _bias_scale(model):
    name = "enter.bias_quantized_scale"
    old = numpy_helper.to_array(constant(model, name))
    set_constant(model, name, 2 * old)


def _float_layer(model):
    conv = node_of(model, "Conv")
    quantize = next(n for n in model.graph.node if conv.input[0] in n.output)
    source = next(n for n in model.graph.node if quantize.input[0] in n.output)
    conv.input[0] = source.input[0]


def _dynamic(model):
    for value in [*model.graph.input[:1], *model.graph.output[:1]]:
        value.type.tensor_type.shape.dim[2].dim_param = "frames"


def _batch(model):
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2


def _unknown_operator(model):
    node_of(model, "Pow").op_type = "Mod"


def _lstm_operator(model):
    node_of(model, "Pow").op_type = "LSTM"


def _other_domain(model):
    node_of(model, "Pow").domain = "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def _new_opset(model):
    model.opset_import[0].version = 21


def _new_ir(model):
    model.ir_version = 10


def _nan(model):
    set_constant(model, "enter.weight_scale", np.full(12, np.nan, np.float32))


def _slice_beyond(model):
    node = node_of(model, "Slice")
    set_constant(model, node.input[2], np.array([2**62]))


def _empty_pad(model):
    pads = numpy_helper.from_array(np.zeros(6, np.int64), "pads")
    model.graph.initializer.append(pads)
    pow_node = node_of(model, "Pow")
    inputs = [pow_node.input[0], "pads", "", "axes"]
    axes = numpy_helper.from_array(np.arange(3), "axes")
    model.graph.initializer.append(axes)
    pad = helper.make_node("Pad", inputs, ["padded"], name="pad")
    pow_node.input[0] = "padded"
    model.graph.node.insert(0, pad)
    model.opset_import[0].version = 18


def _transpose(model):
    pow_node = node_of(model, "Pow")
    node = helper.make_node(
        "Transpose", [pow_node.input[0]], ["turned"], name="t", perm=[0, 1, 2]
    )
    pow_node.input[0] = "turned"
    model.graph.node.insert(0, node)


def _runtime_operand(model):
    conv = node_of(model, "Conv")
    weight = next(n for n in model.graph.node if conv.input[1] in n.output)
    values = constant(model, weight.input[0])
    model.graph.initializer.remove(values)
    shape = list(values.dims)
    model.graph.input.append(
        helper.make_tensor_value_info(values.name, TensorProto.INT8, shape)
    )


REFUSED = {
    "signed_activations": _unsigned,
    "signed_activations 16": _sixteen_bits,
    "states": _other_state_scale,
    "weights": _weight_zero_point,
    "weights axis": _weight_axis,
    "biases": _bias_scale,
    "float_layers": _float_layer,
    "static_shapes": _dynamic,
    "static_shapes batch": _batch,
    "operators": _unknown_operator,
    "operators lstm": _lstm_operator,
    "versions domain": _other_domain,
    "versions opset": _new_opset,
    "versions ir": _new_ir,
    "valid_file": _nan,
    "slices": _slice_beyond,
    "paddings": _empty_pad,
    "transpose": _transpose,
    "constant_operands": _runtime_operand,
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_node_reason_and_mend(name, changed, tmp_path, capsys):
    path = changed(REFUSED[name])
    result = findings(path, name.split()[0])
    assert result.level == "fail"
    for finding in result.findings:
        assert finding.node and finding.reason and finding.mend
    folder = tmp_path / "package"
    words = [str(path), "--target", "stm32n6", "--output_folder", str(folder)]
    assert stedgeai.main(words) == 1
    assert not folder.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["changed.onnx"]
    assert result.findings[0].reason in capsys.readouterr().out


def test_large_dilations_and_prime_bins_warn(changed):
    def wide(model):
        node = node_of(model, "Conv", 1)
        for entry in node.attribute:
            if entry.name == "dilations":
                entry.ints[:] = [16]

    assert findings(changed(wide), "kernels").level == "warn"
    assert findings(changed(wide), "prime_bins").level == "warn"


def test_a_corrupted_file_is_refused(models, tmp_path):
    data = models["stream"].read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="not an ONNX file"):
        stedgeai.main([str(path), "--target", "stm32n6"])
    assert list(tmp_path.iterdir()) == [path]


def _drop_input(rng, node, graph):
    del node.input[rng.integers(max(1, len(node.input))) :]


def _drop_output(rng, node, graph):
    del node.output[:]


def _drop_attribute(rng, node, graph):
    del node.attribute[:1]


def _other_operator(rng, node, graph):
    kinds = ["Conv", "Gemm", "Slice", "Split", "Pad", "PRelu", "If", "Foo"]
    node.op_type = str(rng.choice(kinds))


def _from_nowhere(rng, node, graph):
    if node.input:
        node.input[0] = "nowhere"


def _other_shape(rng, node, graph):
    graph.initializer[rng.integers(len(graph.initializer))].dims.append(2)


def _shorter_data(rng, node, graph):
    tensor = graph.initializer[rng.integers(len(graph.initializer))]
    tensor.raw_data = tensor.raw_data[:-1]


def _no_node(rng, node, graph):
    graph.node.remove(node)


@pytest.mark.parametrize(
    "damage",
    [
        _drop_input,
        _drop_output,
        _drop_attribute,
        _other_operator,
        _from_nowhere,
        _other_shape,
        _shorter_data,
        _no_node,
    ],
)
def test_damaged_graphs_are_judged_and_never_crash(models, tmp_path, damage):
    """Most damage fails; a few attributes are as good as their default."""
    failed = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        model = onnx.load(models["lstm" if seed % 2 else "stream"])
        node = model.graph.node[rng.integers(len(model.graph.node))]
        damage(rng, node, model.graph)
        path = tmp_path / "damaged.onnx"
        path.write_bytes(model.SerializeToString())
        try:
            report = check(Graph(path), get_target("stm32n6"))
        except UserError:
            failed += 1
            continue
        report.text()
        failed += report.level == "fail"
    assert failed >= (0 if damage is _drop_attribute else 4)


# -- targets -------------------------------------------------------------


def test_a_target_can_be_added_by_a_file(models, tmp_path, capsys):
    extra = tmp_path / "mine.toml"
    extra.write_text('[small]\nlike = "stm32n6"\ndescription = "mine"\n')
    with extra.open("a") as file:
        file.write("on_chip_bytes = 1000\n[small.severity]\nprime_bins='off'")
    words = [str(models["stream"]), "--target", "small", "--check_only"]
    assert stedgeai.main([*words, "--targets_file", str(extra)]) == 1
    text = capsys.readouterr().out
    assert "1,000 on the chip" in text and "bins divisible" not in text
    assert set(load_targets()) == {"stm32", "stm32n6", "stm32u5", "stm32h7"}


@pytest.mark.parametrize(
    "text, message",
    [
        ("[mine]\ndescription = 'x'", "lacks max_opset"),
        ("[mine]\nlike = 'stm33'", "did you mean stm32"),
        ("[mine]\nlike = 'mine'", "circle"),
        ("[mine]\nlike = 'stm32'\nspeed = 3", "unknown key speed"),
        ("[mine", "not a file of targets"),
    ],
)
def test_a_bad_targets_file_is_refused(tmp_path, text, message):
    path = tmp_path / "t.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_targets(path)


def test_an_unknown_target_names_the_nearest():
    with pytest.raises(UserError, match="did you mean stm32n6"):
        get_target("stm32n7")


# -- the package ---------------------------------------------------------


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
    from deploy.st.vectors import read_clips

    assert len(read_clips([models["noisy"]], 16000)) == 3
    assert len(read_clips([models["noisy"]], 8000, 2)) == 2
    assert len(read_clips([models["noisy"] / "1.wav"], 8000, 2)[0]) == 8000
    with pytest.raises(UserError, match="holds no audio"):
        read_clips([Path(__file__).with_name("nnse_headers")], 8000)


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
        ("even", ("--frames_per_patch", 31), "40|frames, the model takes"),
        ("even", ("--lookahead_frames", 30), "the model takes 40"),
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


def test_a_package_is_replaced_and_other_files_are_not(models, tmp_path):
    folder = tmp_path / "p"
    build(models, "stream", folder)
    (folder / "tool").mkdir()
    build(models, "lstm", folder)
    assert not (folder / "tool").exists()
    assert (folder / "vectors" / "in_lstm0_h.npy").is_file()
    (folder / "package.json").unlink()
    with pytest.raises(UserError, match="holds other files"):
        build(models, "lstm", folder)


# -- the tool ------------------------------------------------------------


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Return a function that runs the script with the stand-in."""
    program = tmp_path / "stedgeai"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {TOOL} "$@"\n')
    program.chmod(0o755)

    def run(models, *words, mode="", name="stream"):
        monkeypatch.setenv("STAND_IN", mode)
        folder = tmp_path / "p"
        arguments = [str(models[name]), "--target", "stm32n6"]
        arguments += ["--output_folder", str(folder)]
        arguments += ["--stedgeai", str(program), *words]
        return stedgeai.main(arguments), folder

    run.program = program
    return run


def test_runs_all_and_reads_the_figures(models, tool, capsys):
    status, folder = tool(models, "--board", "serial:921600")
    assert status == 0
    figures = json.loads((folder / "tool" / "figures.json").read_text())
    assert figures["ram_bytes"] == 102_400 + 1028 + 1028
    assert figures["flash_bytes"] == 1_665_904
    assert figures["macc"] == 65_200_000
    assert (figures["hardware_nodes"], figures["software_nodes"]) == (2, 1)
    assert figures["milliseconds"] == 7.2
    text = capsys.readouterr().out
    assert "ST Edge AI Core v4.0.0" in text and "7.2 ms" in text
    assert "1,000 of 458,752 bytes" in text


@pytest.mark.parametrize(
    "mode, reason",
    [
        ("tool_error", "TOOL ERROR"),
        ("internal_error", "INTERNAL ERROR"),
        ("not_implemented", "NOT IMPLEMENTED"),
        ("e103", "E103("),
        ("silent", "wrote no network_c_info.json or network_report.json"),
        ("no_code", "wrote no network.c or stai_network.c"),
        ("no_version", "gave no version"),
    ],
)
def test_failures_are_seen_whatever_the_exit_code(
    models, tool, capsys, mode, reason
):
    status, folder = tool(models, mode=mode)
    assert status == 3
    text = capsys.readouterr().out
    assert reason in text and "the package stays" in text
    assert (folder / "model.onnx").is_file()
    assert not (folder / "tool" / "figures.json").exists()


def test_a_damaged_report_is_named(models, tool):
    with pytest.raises(UserError, match=r"network_c_info\.json"):
        tool(models, mode="damaged")


def test_a_bad_exit_code_alone_is_no_failure(models, tool):
    assert tool(models, mode="exit_1")[0] == 0


def test_the_script_of_the_package_judges_alike(models, tool):
    _, folder = tool(models, "--no_run")
    environment = {**os.environ, "STEDGEAI": str(tool.program)}
    script = ["sh", str(folder / "run.sh")]
    done = subprocess.run(script, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    environment["STAND_IN"] = "tool_error"
    done = subprocess.run(script, env=environment, capture_output=True)
    assert done.returncode == 1 and b"analyze failed" in done.stderr
    environment["STAND_IN"] = "no_code"
    done = subprocess.run(script, env=environment, capture_output=True)
    assert done.returncode == 1 and b"generate wrote none" in done.stderr


def test_without_the_tool_it_says_so(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = tmp_path / "p"
    words = [str(models["stream"]), "--target", "stm32n6"]
    assert stedgeai.main([*words, "--output_folder", str(folder)]) == 0
    assert "not on the PATH" in capsys.readouterr().out
    with pytest.raises(UserError, match="no such program"):
        stedgeai.main([*words, "--stedgeai", "nowhere"])
    with pytest.raises(UserError, match="--cloud and --no_run contradict"):
        stedgeai.main([*words, "--cloud", "--no_run"])


def test_command_without_torch_prints_json(models, tmp_path):
    code = (
        "import sys, runpy\n"
        "sys.argv = sys.argv[1:]\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end:\n    status = end.code\n"
        "bad = {'torch', 'speechbrain'} & set(sys.modules)\n"
        "assert not bad, bad\n"
        "sys.exit(status)\n"
    )
    words = [ROOT / "deploy/stedgeai.py", models["lstm"], "--json"]
    words += ["--target", "stm32n6", "--no_run", "--output_folder"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words), str(tmp_path / "p")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["check"]["result"] == "warn"
    assert result["package"]["calls"] == 20
