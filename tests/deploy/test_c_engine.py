"""The command, what it refuses, and the code that it writes."""

import ctypes
import json
from pathlib import Path
import shlex
import shutil
import subprocess
import sys

from c_models import CStream, build, sound, unsealed
from edgebrain.enhancement import load_enhancer
from edgebrain.errors import UserError
from kernel_checks import objects, run
import numpy as np
from onnx import numpy_helper
import pytest
import soundfile

from deploy.c.generator.generate import check_name, generate, identifier, read

HERE = Path(__file__).parent
SCRIPT = Path(__file__).parents[2] / "deploy" / "c_engine.py"
RUNTIME = SCRIPT.parent / "c" / "runtime"
MISSING = [tool for tool in ("cc", "make", "nm") if not shutil.which(tool)]
needs_cc = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {' '.join(MISSING)}"
)


def command(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
    )


@needs_cc
def test_command_to_enhanced_file(quantized, tmp_path):
    """The way of the README, over a folder that was there before too."""
    folder = tmp_path / "firmware"
    for _ in range(2):
        done = command(
            quantized("tcnn_late", "int8"), "--output_folder", folder
        )
        assert not done.returncode, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["firmware"]
    assert "STFTTCNN, int8" in done.stdout and "samples late" in done.stdout
    build(folder, "all")
    pcm = sound(1234)
    soundfile.write(tmp_path / "noisy.wav", pcm, 16000)
    subprocess.run(
        ["./enhance_wav", tmp_path / "noisy.wav", tmp_path / "out.wav"],
        cwd=folder,
        check=True,
    )
    out = soundfile.read(tmp_path / "out.wav", dtype="float32")[0]
    library = folder / "libtcnn_late_int8.so"
    want = load_enhancer(library).enhance(pcm.astype(np.float32) / 32768)
    np.testing.assert_array_equal(out, want)
    for bad in (tmp_path / "none.wav", library):
        args = ["./enhance_wav", bad, tmp_path / "x.wav"]
        assert subprocess.run(args, cwd=folder).returncode


@needs_cc
@pytest.mark.parametrize(
    "name, precision", [("tcnn", "int8"), ("tcnn_late", "int16x8")]
)
def test_sanitizers_find_nothing(name, precision, generated):
    """Extreme and random samples, two streams, guards around the memory."""
    _, folder = generated(name, precision)
    fuzz = Path(shutil.copy(HERE / "fuzz.c", folder))
    sanitized = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    words = ["cc", "-std=c99", "-O1", "-g", "-ffp-contract=off", *sanitized]
    made = objects(
        [*words, "-Iruntime", "-Iexamples"],
        [folder / "net.c", *sorted(folder.glob("runtime/*.c")), fuzz],
        folder,
    )
    run([*words, "-o", "sanitized", *made, "-lm"], folder)
    sums = {run(["./sanitized", "600", seed], folder) for seed in (1, 2)}
    assert len(sums) == 2


@needs_cc
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "int16x8"])
@pytest.mark.parametrize("name", ["tcnn_prelu", "lstm", "conv_lstm", "nnse"])
def test_sanitizers_find_nothing_in_others(name, precision, generated):
    test_sanitizers_find_nothing(name, precision, generated)


@needs_cc
def test_memory_is_the_callers(generated):
    _, folder = generated("tcnn", "int8")
    library = ctypes.CDLL(str(folder / "libnet.so"))
    library.eb_init.restype = ctypes.c_void_p
    size = library.eb_size()
    memory = (ctypes.c_uint64 * (size // 8 + 2))()
    at = ctypes.addressof(memory)
    init = library.eb_init
    assert init(ctypes.c_void_p(at), size) == at
    assert init(ctypes.c_void_p(at), size - 1) is None
    assert init(ctypes.c_void_p(at + 2), size) is None
    assert init(None, size) is None
    # No variables: everything lies in the caller's memory.
    sources = [folder / "net.c", *folder.glob("runtime/*.c")]
    words = ["cc", "-std=c99", "-O2", "-fno-pic", "-Iruntime"]
    for made in objects(words, sources, folder):
        symbols = run(["nm", made])
        kinds = {line.split()[-2] for line in symbols.splitlines()}
        assert not kinds & set("bBdDcC"), symbols
        undefined = [s.split()[-1] for s in symbols.splitlines() if " U " in s]
        assert not set(undefined) & {"malloc", "free", "calloc", "printf"}


@needs_cc
@pytest.mark.parametrize("name", ["tcnn", "tcnn_late"])
def test_an_attenuation_limit_is_a_floor_under_the_mask(name, generated):
    """As a share of the input that stays, at any time and over a reset."""
    _, folder = generated(name, "int8")
    pcm = sound(2000)
    outputs = {}
    for floor in (None, 0.0, 0.25, 1.0):
        stream = CStream(folder)
        limit = stream.library.eb_limit_attenuation
        if floor is not None:
            limit(ctypes.c_void_p(stream.state), ctypes.c_float(floor))
            stream.library.eb_reset(ctypes.c_void_p(stream.state))
        out = np.zeros_like(pcm)
        stream.library.eb_process_hops(
            ctypes.c_void_p(stream.state),
            ctypes.c_void_p(pcm.ctypes.data),
            ctypes.c_void_p(out.ctypes.data),
            100,
            20,
        )
        outputs[floor] = out.astype(int)
    np.testing.assert_array_equal(outputs[None], outputs[0.0])
    # All of the input, late by what the whole stream is.
    late = int(np.argmax(np.correlate(outputs[1.0], pcm.astype(int), "full")))
    late -= len(pcm) - 1
    assert late > 0
    assert np.abs(outputs[1.0][late:] - pcm[:-late]).max() <= 1
    mixed = 0.25 * outputs[1.0] + 0.75 * outputs[0.0]
    assert np.abs(outputs[0.25] - mixed).max() <= 1.5
    assert np.abs(outputs[1.0] - outputs[0.0]).max() > 500


def test_the_runtime_includes_no_generated_file():
    known = {p.name for p in RUNTIME.glob("*.h")}
    known |= {"stddef.h", "stdint.h", "string.h", "math.h", "arm_acle.h"}
    known |= {"arm_mve.h", "emmintrin.h", "wasm_simd128.h"}
    for path in RUNTIME.iterdir():
        for line in path.read_text().splitlines():
            if line.startswith("#include"):
                assert line.split()[1].strip('<>"') in known, path


def test_names():
    assert identifier("My Model-2_int8") == "my_model_2_int8"
    assert identifier("8bit") == "m_8bit"
    assert identifier("model") == "m_model"
    check_name("net")
    bad_names = ("1x", "float", "a b", "eb_x", "", "EB", "Eb_Kernels", "math")
    for bad in (*bad_names, "NULL", "wav", "board", "startup", "model"):
        with pytest.raises(UserError, match="--name"):
            check_name(bad)


def changed(path, target, change):
    """Write a copy of a model after ``change(model)``."""
    model = unsealed(path)
    change(model)
    target.write_bytes(model.SerializeToString())
    return target


def constant(model, name):
    return next(t for t in model.graph.initializer if t.name == name)


def replace(model, name, array):
    constant(model, name).CopyFrom(numpy_helper.from_array(array, name))


def node(model, kind):
    return next(n for n in model.graph.node if n.op_type == kind)


def unknown_operator(model):
    node(model, "Sigmoid").op_type = "HardSwish"


def float_layer(model):
    conv = node(model, "Conv")
    name = conv.input[1]
    source = next(n for n in model.graph.node if name in n.output)
    values = numpy_helper.to_array(constant(model, source.input[0]))
    model.graph.initializer.append(
        numpy_helper.from_array(values.astype(np.float32), "plain")
    )
    conv.input[1] = "plain"


def dynamic_shape(model):
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "frames"


def unsigned(model):
    for n in model.graph.node:
        if n.op_type == "QuantizeLinear":
            zero = constant(model, n.input[2])
            value = numpy_helper.to_array(zero).astype(np.int16) + 128
            replace(model, n.input[2], value.astype(np.uint8))
            return


def several_scales(model):
    state = next(n for n in model.graph.input if n.name.endswith("cache"))
    quantize = next(n for n in model.graph.node if state.name in n.input)
    for n in model.graph.node:
        if n.op_type == "DequantizeLinear" and (
            n.input[0] == quantize.output[0]
        ):
            pair = (quantize, n)
    model.graph.initializer.append(
        numpy_helper.from_array(np.float32(0.5), "other_scale")
    )
    for n in pair:
        n.input[1] = "other_scale"


def asymmetric_weights(model):
    name = node(model, "Conv").input[1]
    source = next(n for n in model.graph.node if name in n.output)
    zero = numpy_helper.to_array(constant(model, source.input[2]))
    replace(model, source.input[2], np.ones_like(zero))


def no_metadata(model):
    del model.metadata_props[:]


def other_form(model):
    for entry in model.metadata_props:
        if entry.key == "edgebrain.form":
            entry.value = "offline"


def not_finite(model):
    scale = node(model, "QuantizeLinear").input[1]
    replace(model, scale, np.float32(np.nan))


REFUSED = {
    unknown_operator: ["HardSwish", "no C kernel"],
    float_layer: ["(Conv)", "float layer", "do not exclude"],
    dynamic_shape: ["magnitude", "not fixed"],
    unsigned: ["(QuantizeLinear)", "unsigned uint8", "quantize.py"],
    several_scales: ["(Concat)", "several scales", "ties"],
    asymmetric_weights: ["(DequantizeLinear)", "zero point", "symmetric"],
    no_metadata: ["no metadata", "export_onnx.py"],
    other_form: ["offline form", "stream"],
    not_finite: ["NaN"],
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda c: c.__name__)
def test_refused_with_reason_and_mend(change, quantized, tmp_path):
    model = tmp_path / "bad.onnx"
    changed(quantized("tcnn", "int8"), model, change)
    with pytest.raises(UserError) as caught:
        generate(model, tmp_path / "c")
    for word in REFUSED[change]:
        assert word in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.onnx"]


#: Out of a comment, out of a string, and into make and a shell.
PAYLOAD = (
    "x.*/ __attribute__((constructor)) void run(void) { abort(); } /*"
    '??/"; int leak; //\\\n#error é $(shell false) `false` %s '
)


@needs_cc
def test_nothing_in_a_file_is_run(quantized, tmp_path):
    def poison(model):
        for entry in model.metadata_props:
            if entry.key.endswith(("model_class", "checkpoint_sha256")):
                entry.value = PAYLOAD
            if entry.key.endswith("versions"):
                entry.value = json.dumps({PAYLOAD: PAYLOAD})
        for number, n in enumerate(model.graph.node):
            n.name = PAYLOAD + str(number)

    model = tmp_path / "$(false) `false`.onnx"
    changed(quantized("lstm", "int8"), model, poison)
    folder = tmp_path / "it's; c"
    done = command(model, "--output_folder", folder, "--name", "net")
    assert not done.returncode, done.stderr
    assert (
        done.stdout.split("next: ")[1]
        == f"make -C {shlex.quote(str(folder))}\n"
    )
    text = (folder / "net.c").read_text() + (folder / "net.h").read_text()
    for word in ("*/ __", "??", "leak;", "#error", "$", "\\\n"):
        assert word not in text, word
    build(folder, "all")
    library = ctypes.CDLL(str(folder / "libnet.so"))
    library.eb_describe.restype = ctypes.c_char_p
    described = json.loads(library.eb_describe())
    assert described["model_class"] == PAYLOAD
    assert described["versions"] == {PAYLOAD: PAYLOAD}


def test_other_files_are_refused(quantized, tmp_path):
    model = quantized("tcnn", "int8")
    half = tmp_path / "half.onnx"
    half.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    plain = model.with_name("tcnn.onnx")
    done = command(half, "--output_folder", tmp_path / "c")
    assert done.returncode == 2 and "not an ONNX file" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(UserError, match="float32: quantize it"):
        read(plain)
    with pytest.raises(UserError, match="no such file"):
        read(tmp_path / "none.onnx")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="holds other files"):
        generate(model, mine)
    assert [p.name for p in mine.iterdir()] == ["thesis.txt"]
    library = tmp_path / "libx.so"
    library.write_text("x")
    with pytest.raises(UserError, match="no library of deploy/c_engine"):
        load_enhancer(library)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "half.onnx",
        "libx.so",
        "mine",
    ]
