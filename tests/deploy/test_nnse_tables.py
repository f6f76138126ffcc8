import importlib.util
import json
from pathlib import Path
import shutil
import subprocess
import sys

from edgebrain.enhancement import load_enhancer
from edgebrain.enhancement.forms.nnse_integer import (
    Network,
    relu6_fix,
    sigmoid_fix,
    tanh_fix,
)
from edgebrain.enhancement.forms.nnse_runner import load_tables
from edgebrain.enhancement.networks import NNSE, LSTMMask
from edgebrain.errors import UserError
from edgebrain.onnx.export import export_offline, export_stream
from edgebrain.signal import SignalSettings, magnitude, stft
from edgebrain.signal.probe import speech_like
from edgebrain.tasks import Setup
import numpy as np
import pytest
import torch

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
_SPEC = importlib.util.spec_from_file_location(
    "nnse_tables", ROOT / "deploy" / "nnse_tables.py"
)
tables = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(tables)

SIGNAL = SignalSettings(win_length=480, window="sqrt_hann")
# Odd sizes, an lstm of another size than its input, all activations.
LAYERS = [
    {"layer_type": "conv1d", "layer_neurons": 11, "kernel_size": 6},
    {"layer_type": "lstm", "layer_neurons": 9},
    {"layer_type": "fc", "layer_neurons": 14, "activation": "relu6"},
    {"layer_type": "lstm", "layer_neurons": 7},
    {"layer_type": "fc", "layer_neurons": 257, "activation": "sigmoid"},
]


def make(layers=LAYERS, spread=0.0, **arguments):
    """Return a network whose weights a training could have left."""
    torch.manual_seed(3)
    model = NNSE(layers, **arguments).eval()
    wav = speech_like(2.0, 16000)
    model.fit_normalisation([magnitude(stft(wav, SIGNAL), SIGNAL)])
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.startswith("net.") and spread:
                value.mul_(spread)
    return model


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return the folder of tables and the float stream it is made of."""
    folder = tmp_path_factory.mktemp("nnse")
    export_stream(
        make(spread=5.0), Setup("enhancement", SIGNAL), folder / "stream.onnx"
    )
    words = [str(folder), "--net_id", "3", "--net_name", "se"]
    tables.main(words)
    return folder / "nnse_se", folder / "stream.onnx"


@pytest.fixture(scope="module")
def host(written, tmp_path_factory):
    """Return the program that unpacks and runs the tables in C."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: install gcc")
    program = tmp_path_factory.mktemp("host") / "host"
    files = [HERE / "nnse_host.c", *sorted(written[0].glob("*.c"))]
    includes = ["-I", HERE / "nnse_headers", "-I", written[0]]
    subprocess.run(
        ["cc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"]
        + ["-fsanitize=undefined", "-fno-sanitize-recover=all"]
        + [*map(str, [*includes, "-o", program, *files]), "-lm"],
        check=True,
    )
    return program


def test_c_gives_every_weight_back(written, host):
    printed = subprocess.check_output([host, "weights"], text=True)
    rows = [list(map(int, line.split())) for line in printed.splitlines()]
    model = make(spread=5.0)
    float_rows = []
    for name, layer in model.net.items():
        parts = dict(layer.named_parameters())
        if name.startswith("lstm"):
            ih, hh = parts["lstm.weight_ih_l0"], parts["lstm.weight_hh_l0"]
            bias = parts["lstm.bias_ih_l0"]
            both = torch.cat([ih, hh, bias[:, None]], 1).detach().numpy()
            gates = np.split(both, 4)
            # torch has i, f, g, o and the tables i, g, f, o.
            both = np.concatenate([gates[k] for k in (0, 2, 1, 3)])
        else:
            weight = parts["conv.weight"].detach().numpy()
            frames = [weight[:, :, k] for k in range(weight.shape[2])]
            bias = parts["conv.bias"].detach().numpy()
            both = np.concatenate([*frames, bias[:, None]], 1)
        float_rows.append(both)
    at = 0
    for both, layer in zip(
        float_rows, load_tables(written[0]).layers, strict=True
    ):
        got = np.array(rows[at : at + len(both)])
        at += len(both)
        weights = got[:, :-1] / 2.0**layer.q_kernel
        biases = got[:, -1] / 2.0**layer.q_bias
        step = 2.0**-layer.q_kernel
        # Half a step; a whole one where +1.0 saturates.
        assert np.abs(weights - both[:, :-1]).max() <= 0.51 * step
        assert np.abs(biases - both[:, -1]).max() <= 0.51 * 2.0**-layer.q_bias
        # A wrong order would not be this close.
        assert both[:, :-1].std() > 10 * step
    assert at == len(rows)


def test_tables_compile_for_the_processor(written, tmp_path):
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no cross compiler: install gcc-arm-none-eabi")
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-O2"]
    command += ["-Wall", "-Wextra", "-Werror", "-I", HERE / "nnse_headers"]
    for source in sorted(written[0].glob("*.c")):
        target = tmp_path / f"{source.stem}.o"
        words = [*command, "-c", source, "-o", target]
        subprocess.run(list(map(str, words)), check=True)


def test_integer_reference_is_the_c_arithmetic(written, host):
    runner = load_tables(written[0])
    rng = np.random.default_rng(0)
    size = magnitude(stft(speech_like(1.0, 16000), SIGNAL), SIGNAL)
    real = runner.features(size)
    wild = rng.integers(-(2**15), 2**15, (60, 72))
    edges = np.full((4, 72), 2**15 - 1)
    features = np.concatenate([real, wild, edges, -edges - 1])
    text = "\n".join(" ".join(map(str, row)) for row in features)
    printed = subprocess.check_output(
        [host, "run", "72"], input=text, text=True
    )
    got = np.array([list(map(int, r.split())) for r in printed.splitlines()])
    expected = Network(runner.layers, 72).run(features)
    assert got.shape == (len(features), 257)
    assert np.array_equal(got, expected)
    assert len(np.unique(got)) > 100


def test_blocks_of_any_size_give_the_same(written):
    runner = load_tables(written[0])
    size = magnitude(stft(speech_like(0.5, 16000), SIGNAL), SIGNAL)
    whole = runner.run(size)
    streamer = runner.streamer()
    cuts = np.split(size, [1, 2, 9, 30], axis=1)
    parts = [streamer(cut) for cut in cuts]
    assert np.array_equal(np.concatenate(parts, 1), whole)
    streamer.reset()
    assert np.array_equal(streamer(size), whole)


def test_mask_is_close_to_the_float_network(tmp_path):
    export_stream(
        make(spread=1.0), Setup("enhancement", SIGNAL), tmp_path / "stream.onnx"
    )
    tables.main([str(tmp_path), "--net_id", "0", "--net_name", "se"])
    fixed = load_enhancer(tmp_path / "nnse_se")
    exact = load_enhancer(tmp_path / "stream.onnx")
    size = magnitude(stft(speech_like(2.0, 16000), SIGNAL), SIGNAL)
    error = fixed.runner.run(size) - exact.runner.run(size)
    assert np.abs(error).max() < 0.02
    # A statistic that is off would show in the features at once.
    assert np.abs(error).mean() < 0.004


def test_features_are_those_of_training(written):
    model = make(spread=5.0)
    size = magnitude(stft(speech_like(2.0, 16000), SIGNAL), SIGNAL)
    with torch.no_grad():
        wanted = model.front_end(torch.from_numpy(size[None]))[0].T.numpy()
    got = load_tables(written[0]).features(size) / 2.0**8
    loud = model.front_end.raw(torch.from_numpy(size[None]))[0].T > -3.5
    loud = loud.numpy()
    assert loud.mean() > 0.3
    assert np.abs(got - wanted)[loud].max() < 0.03


def test_activation_tables():
    x = np.arange(-6 * 2**15, 6 * 2**15, 7)
    exact = np.tanh(x / 2**15) * 2**15
    assert np.abs(tanh_fix(x) - exact).max() <= 12
    assert tanh_fix(np.array([5 << 15, -(5 << 15)])).tolist() == [
        0x7FFF,
        -0x7FFF,
    ]
    assert np.array_equal(tanh_fix(-x[x > 0]), -tanh_fix(x[x > 0]))
    exact = 2**15 / (1 + np.exp(-x / 2**15))
    assert np.abs(sigmoid_fix(x) - exact).max() <= 13
    assert sigmoid_fix(np.array([0, 2**31 - 1])).tolist() == [16383, 32767]
    limits = np.array([-1, 0, 8, 7 << 15, 2**31 - 1])
    assert relu6_fix(limits).tolist() == [0, 0, 1, 24576, 24576]


def test_evaluate_scores_the_folder(written, tmp_path):
    from edgebrain.data import audio

    clean = speech_like(2.0, 16000)
    rng = np.random.default_rng(0)
    noise = (0.02 * rng.normal(size=len(clean))).astype(np.float32)
    audio.write(tmp_path / "noisy" / "a.wav", clean + noise, 16000)
    audio.write(tmp_path / "clean" / "a.wav", clean, 16000)
    done = subprocess.run(
        [sys.executable, ROOT / "evaluate.py", written[0]]
        + ["--noisy_folder", tmp_path / "noisy", "--clean_folder"]
        + [tmp_path / "clean", "--metrics", "si_snr", "--n_jobs", "1"]
        + ["--output_folder", tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "out" / "metrics.json").read_text())
    model = facts["models"]["enhanced"]
    assert (model["form"], model["precision"]) == ("stream", "int16x8")


def test_header_names_its_version_and_the_mel_table_its_bins(written):
    folder = written[0]
    assert "2023-07-07" in (folder / "def_nn3_se.h").read_text()
    assert "__DEF_NN3_SE__" in (folder / "def_nn3_se.h").read_text()
    filters = load_tables(folder).filters / 2.0**15
    wanted = make().front_end.filters[..., 0].numpy()
    assert np.abs(filters - wanted).max() < 1e-4


# -- what is refused -----------------------------------------------------


def refuse(path, folder, message):
    words = [str(path), "--net_id", "0", "--net_name", "se"]
    before = sorted(folder.iterdir())
    with pytest.raises(UserError, match=message):
        tables.main([*words, "--output_folder", str(folder / "out")])
    assert sorted(folder.iterdir()) == before


def test_other_networks_and_forms_are_refused(written, tmp_path):
    export_stream(
        LSTMMask(257, 4, 1).eval(),
        Setup("enhancement", SIGNAL),
        tmp_path / "lstm.onnx",
    )
    refuse(tmp_path / "lstm.onnx", tmp_path, "holds a LSTMMask")
    export_offline(
        make(), Setup("enhancement", SIGNAL), tmp_path / "offline.onnx"
    )
    refuse(tmp_path / "offline.onnx", tmp_path, "give the float32 stream")
    data = written[1].read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: len(data) // 2])
    refuse(tmp_path / "cut.onnx", tmp_path, "not an ONNX file")
    refuse(tmp_path, tmp_path, "run export_onnx.py")


def test_all_limits_of_the_runtime_are_listed(tmp_path):
    layers = [
        {"layer_type": "conv1d", "layer_neurons": 490, "kernel_size": 7},
        {"layer_type": "conv1d", "layer_neurons": 4, "kernel_size": 2},
        {"layer_type": "fc", "layer_neurons": 257, "activation": "tanh"},
    ]
    model = make(layers, scalar_output=2.0)
    path = tmp_path / "m.onnx"
    export_stream(model, Setup("enhancement", SignalSettings()), path)
    with pytest.raises(UserError) as caught:
        tables.main([str(path), "--net_id", "0", "--net_name", "se"])
    for part in (
        "win_length 400",
        "window hann",
        "scalar_output 2.0",
        "504 values",
        "only the first layer",
        "needs sigmoid",
    ):
        assert part in str(caught.value)
    export_stream(
        make(LAYERS[2:3] + LAYERS[-1:], features="pspec"),
        Setup("enhancement", SIGNAL),
        path,
        overwrite=True,
    )
    refuse(path, tmp_path, r"gives 72 mel bands: train with features: mel")


def test_center_says_only_where_the_first_frame_lies(written, tmp_path):
    signal = SignalSettings(win_length=480, window="sqrt_hann", center=False)
    export_stream(
        make(spread=5.0), Setup("enhancement", signal), tmp_path / "stream.onnx"
    )
    tables.main([str(tmp_path), "--net_id", "3", "--net_name", "se"])
    wav = speech_like(1.0, 16000)
    late = np.concatenate([np.zeros(240, np.float32), wav])
    centred = load_enhancer(written[0]).enhance(wav)
    other = load_enhancer(tmp_path / "nnse_se").enhance(late)[240:]
    # The last windows reach beyond the end of one more than of the other.
    assert np.abs(other - centred)[:-480].max() < 1e-6
    assert np.abs(centred).max() > 0.01


def test_bad_names_are_refused(written, tmp_path, capsys):
    words = [str(written[1]), "--output_folder", str(tmp_path / "o")]
    for name, number in (("3se", "0"), ("s-e", "0"), ("se", "-1")):
        with pytest.raises(SystemExit):
            tables.main([*words, f"--net_name={name}", f"--net_id={number}"])
        assert "argument --net_" in capsys.readouterr().err


def test_damaged_tables_are_refused(written, tmp_path):
    for path in written[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    source = tmp_path / "def_nn3_se.c"
    text = source.read_text()
    source.write_text(text.replace("0x", "", 1).replace("se_kernel1[]", "x[]"))
    with pytest.raises(UserError, match="run it again"):
        load_enhancer(tmp_path)
    with pytest.raises(UserError, match="is int16x8, not int8"):
        load_enhancer(written[0], precision="int8")
    with pytest.raises(UserError, match="leave out --n_fft"):
        load_enhancer(written[0], n_fft=512)


def test_needs_neither_torch_nor_speechbrain(written, tmp_path):
    code = (
        "import sys, runpy\nsys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "from edgebrain.enhancement import load_enhancer\n"
        "load_enhancer(sys.argv[-1])\n"
        "bad = {'torch', 'speechbrain', 'onnxruntime'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    words = [ROOT / "deploy/nnse_tables.py", written[1], "--net_id", 3]
    words += ["--net_name", "se", "--output_folder", tmp_path / "o"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
