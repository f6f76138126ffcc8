"""What each kernel must compute: as onnxruntime, or as exact integers."""

import ctypes
from fractions import Fraction
from pathlib import Path
import subprocess

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from deploy.c.generator import lower
from deploy.c.generator.generate import tanh_source

RUNTIME = Path(__file__).parents[2] / "deploy" / "c" / "runtime"
KERNELS = (
    "arith kernels vectors dense depthwise elements curves convert float"
).split()
F32 = np.float32


def layer(**fields):
    """Return a structure of pointers to arrays, floats and integers."""
    kinds, values = [], []
    for name, value in fields.items():
        if isinstance(value, np.ndarray):
            kinds.append((name, ctypes.c_void_p))
            values.append(value.ctypes.data)
        else:
            whole = isinstance(value, int)
            kinds.append((name, ctypes.c_int32 if whole else ctypes.c_float))
            values.append(value)
    made = type("Made", (ctypes.Structure,), {"_fields_": kinds})
    structure = made(*values)
    structure.kept = fields
    return ctypes.byref(structure), structure


def write_kernels(folder, changes=()):
    """Put the kernels into a folder, with changes to their source."""
    texts = {
        path.name: path.read_text()
        for path in sorted(RUNTIME.glob("eb_*.[ch]"))
        if path.stem.removeprefix("eb_") in KERNELS
    }
    for old, new in changes:
        holders = [name for name, text in texts.items() if old in text]
        assert holders, f"the mutant changes nothing: {old}"
        for name in holders:
            texts[name] = texts[name].replace(old, new)
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "eb_tanh.c").write_text(tanh_source())
    return sorted(folder.glob("eb_*.c"))


def run(words, folder=None):
    """Return what a program prints, which must not fail."""
    done = subprocess.run(
        [str(w) for w in words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
    )
    assert not done.returncode, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def objects(words, sources, folder):
    """Compile one by one, so that a cache knows what it has seen.

    Sources in the folder are named as from there: the same in every folder.
    """
    made = [folder / f"{source.stem}.o" for source in sources]
    for source, target in zip(sources, made, strict=True):
        if source.is_relative_to(folder):
            source = source.relative_to(folder)
        run([*words, "-I.", "-c", source, "-o", target.name], folder)
    return made


def compile_kernels(folder, changes=(), flags=()):
    """Return the kernels as a library, with changes to their source."""
    words = ["cc", "-O1", "-std=c99", "-ffp-contract=off", "-fPIC", *flags]
    made = objects(words, write_kernels(folder, changes), folder)
    run(["cc", "-shared", "-o", "kernels.so", *made, "-lm"], folder)
    return ctypes.CDLL(str(folder / "kernels.so"))


def run_onnx(op, inputs, weights, out, **attributes):
    """Return what onnxruntime gives for one quantized node.

    inputs: (levels (1, n, 1), scale, zero point) each; weights: (levels,
    scales, zero point) or None; out: (scale, zero point).
    """
    from edgebrain.onnx.session import make_session

    nodes, known, names, feeds, graph_inputs = [], [], [], {}, []

    def constant(name, value):
        known.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    for i, (levels, scale, zero) in enumerate(inputs):
        graph_inputs.append(
            helper.make_tensor_value_info(
                f"x{i}", TensorProto.INT8, levels.shape
            )
        )
        feeds[f"x{i}"] = levels
        nodes.append(
            helper.make_node(
                "DequantizeLinear",
                [
                    f"x{i}",
                    constant(f"s{i}", F32(scale)),
                    constant(f"z{i}", np.int8(zero)),
                ],
                [f"f{i}"],
            )
        )
        names.append(f"f{i}")
    for i, (levels, scales) in enumerate(weights):
        zero = np.zeros(len(scales), levels.dtype)
        nodes.append(
            helper.make_node(
                "DequantizeLinear",
                [
                    constant(f"w{i}", levels),
                    constant(f"ws{i}", scales),
                    constant(f"wz{i}", zero),
                ],
                [f"wf{i}"],
                axis=0,
            )
        )
        names.append(f"wf{i}")
    nodes.append(helper.make_node(op, names, ["y"], **attributes))
    nodes.append(
        helper.make_node(
            "QuantizeLinear",
            ["y", constant("ys", F32(out[0])), constant("yz", np.int8(out[1]))],
            ["Y"],
        )
    )
    graph = helper.make_graph(
        nodes,
        "g",
        graph_inputs,
        [helper.make_tensor_value_info("Y", TensorProto.INT8, None)],
        known,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    session = make_session(model.SerializeToString())
    return session.run(None, feeds)[0]


def random_layer(rng, rows, columns, ties):
    weights = rng.integers(-127, 128, (rows, columns)).astype(np.int8)
    x = rng.integers(-128, 128, columns).astype(np.int8)
    bias = rng.integers(-3000, 3000, rows).astype(np.int32)
    x_scale, y_scale = F32(2.0**-6), F32(2.0**-4)
    if ties:
        # Ratios of 1/2 and sums that are small: half of all are ties.
        weights = rng.integers(-1, 2, (rows, columns)).astype(np.int8)
        x = rng.integers(-20, 20, columns).astype(np.int8)
        bias = rng.integers(-200, 200, rows).astype(np.int32)
        scales = np.full(rows, F32(2.0**1 / 2**0), F32)
    else:
        scales = rng.uniform(1e-4, 4e-2, rows).astype(F32)
    return weights, x, bias, x_scale, scales, y_scale


def check_dense(kernels):
    rng = np.random.default_rng(0)
    for rows, columns, ties in [
        (64, 31, True),
        (33, 57, False),
        (5, 1, False),
        (7, 16, True),
    ]:
        weights, x, bias, xs, ws, ys = random_layer(rng, rows, columns, ties)
        x_zero, y_zero = (int(v) for v in rng.integers(-128, 128, 2))
        x_zero = min(x_zero, 30)
        want = run_onnx(
            "Conv",
            [(x[None, :, None], xs, x_zero)],
            [(weights[:, :, None], ws), (bias, (xs * ws).astype(F32))],
            (ys, y_zero),
        )[0, :, 0]
        ratio = ((xs * ws).astype(F32) / ys).astype(F32)
        folded = bias - x_zero * weights.astype(np.int32).sum(1)
        given, keep = layer(
            w=lower.dense_weights(weights),
            b=lower.dense_rows(folded.astype(np.int32)),
            r=lower.dense_rows(ratio),
            rows=rows,
            columns=columns,
            zero=y_zero,
        )
        # What lies behind the input does not count.
        x = np.concatenate([x, np.full(8, 99, np.int8)])
        out, scratch = np.zeros(rows + 3, np.int8), np.zeros(64, np.int16)
        kernels.eb_dense_s8(
            given,
            ctypes.c_void_p(x.ctypes.data),
            ctypes.c_void_p(out.ctypes.data),
            ctypes.c_void_p(scratch.ctypes.data),
        )
        np.testing.assert_array_equal(out[:rows], want)
        assert keep


def check_depthwise(kernels):
    rng = np.random.default_rng(1)
    for size, taps, ties in [(37, 3, True), (22, 5, False)]:
        weights, _, bias, xs, ws, ys = random_layer(rng, size, taps, ties)
        x = rng.integers(-128, 128, (size, taps)).astype(np.int8)
        y_zero, x_zero = 17, -128
        want = run_onnx(
            "Conv",
            [(x[None], xs, x_zero)],
            [(weights[:, None, :], ws), (bias, (xs * ws).astype(F32))],
            (ys, y_zero),
            group=size,
        )[0, :, 0]
        folded = bias - x_zero * weights.astype(np.int32).sum(1)
        columns = [np.ascontiguousarray(c) for c in x.T]
        pointers = (ctypes.c_void_p * taps)(*(c.ctypes.data for c in columns))
        given, keep = layer(
            w=np.ascontiguousarray(weights.T),
            b=folded.astype(np.int32),
            r=((xs * ws).astype(F32) / ys).astype(F32),
            size=size,
            taps=taps,
            zero=y_zero,
        )
        out = np.zeros(size, np.int8)
        kernels.eb_depthwise_s8(
            given, pointers, ctypes.c_void_p(out.ctypes.data)
        )
        np.testing.assert_array_equal(out, want)
        assert keep


def every_pair():
    levels = np.arange(-128, 128)
    a, b = np.meshgrid(levels, levels)
    return a.ravel().astype(np.int8), b.ravel().astype(np.int8)


#: Scales of a, b and the output, zero points; the first of each make ties.
PAIRS = [
    (0.5, 0.25, 1.0, 3, -7, 11),
    (0.013, 0.0021, 0.0107, -128, 5, -30),
    (0.03, 0.03, 0.01, 0, 127, -128),
]


def check_add(kernels):
    from deploy.c.generator.program import (
        Binary,
        Column,
        Quantization,
        Vector,
    )

    a, b = every_pair()
    for sa, sb, sy, za, zb, zy in PAIRS:
        for kind, op in (("add", "Add"), ("mul", "Mul")):
            if kind == "mul":
                sy = sa * sb * 64 if sa == 0.5 else sa * sb * 90
            want = run_onnx(
                op,
                [(a[None, :, None], sa, za), (b[None, :, None], sb, zb)],
                [],
                (sy, zy),
            ).reshape(-1)
            parts = [
                Column(Vector(kind, 1, Quantization(F32(s), z, 8)), 0, 1)
                for s, z in ((sa, za), (sb, zb), (sy, zy))
            ]
            binary = Binary(kind, kind, *parts[:2], parts[2].source)
            if kind == "add":
                first, second, fixed = map(float, lower.add_s8(binary))
                given, keep = layer(a=first, b=second, c=fixed)
            else:
                ratio = float(lower.mul_s8(binary))
                given, keep = layer(r=ratio, a=za, b=zb, y=zy)
            out = np.zeros(len(a), np.int8)
            getattr(kernels, f"eb_{kind}_s8")(
                given,
                *(ctypes.c_void_p(v.ctypes.data) for v in (a, b, out)),
                len(a),
            )
            np.testing.assert_array_equal(out, want, err_msg=kind)
            assert keep


def rounded(value, low=-32768, high=32767):
    """Half up, exactly."""
    return max(low, min(high, (value + Fraction(1, 2)).__floor__()))


def check_16_bits(kernels):
    rng = np.random.default_rng(2)
    x = rng.integers(-32768, 32768, 40).astype(np.int16)
    x[:4] = -32768, 32767, 0, -1
    for wide in (0, 1):
        weights = rng.integers(-127, 128, (9, 40)).astype(np.int8)
        weights[0] = 127
        bias = rng.integers(-(2**20), 2**20, 9).astype(np.int32)
        if wide:
            bias[1] = 2**31 - 1
            weights[1, :] = np.sign(x).astype(np.int8) * 127
        factor = rng.integers(2**22, 2**23, 9).astype(np.int32)
        shift = rng.integers(33, 45, 9).astype(np.uint8)
        if not wide:
            # Ties: 28 / 8, a half more than a whole number.
            factor[2], shift[2], weights[2] = 2**30, 33, 0
            bias[2] = 28
            factor[3], shift[3], weights[3] = 2**30, 33, 0
            bias[3] = -28
        given, keep = layer(
            w=lower.dense_weights(weights),
            b=lower.dense_rows(bias),
            f=lower.dense_rows(factor),
            s=lower.dense_rows(shift, 33),
            rows=9,
            columns=40,
            wide=wide,
        )
        out, scratch = np.zeros(12, np.int16), np.zeros(40, np.int16)
        pointers = [ctypes.c_void_p(v.ctypes.data) for v in (x, out, scratch)]
        kernels.eb_dense_s16(given, *pointers)
        sums = weights.astype(object) @ x.astype(object) + bias.astype(object)
        want = [
            rounded(Fraction(int(s) * int(f), 1 << int(h)))
            for s, f, h in zip(sums, factor, shift, strict=True)
        ]
        np.testing.assert_array_equal(out[:9], want)
        assert keep
    y, z = x[::-1].copy(), x.copy()
    pairs = [(int(a), int(b)) for a, b in zip(x, y, strict=True)]
    pointers = [ctypes.c_void_p(v.ctypes.data) for v in (x, y, z)]
    for shift in (23, 16):
        given, keep = layer(a=2 ** (shift - 1), b=2 ** (shift - 2), s=shift)
        kernels.eb_add_s16(given, *pointers, len(x))
        want = [rounded(Fraction(2 * a + b, 4)) for a, b in pairs]
        np.testing.assert_array_equal(z, want)
    given, keep = layer(a=2**22, b=2**22, s=22)
    kernels.eb_add_s16(given, *pointers, len(x))
    want = [rounded(Fraction(a + b)) for a, b in pairs]
    assert {32767, -32768} & set(want)
    np.testing.assert_array_equal(z, want)
    for shift in (37, 30):
        given, keep = layer(f=2 ** (shift - 15), s=shift)
        kernels.eb_mul_s16(given, *pointers, len(x))
        want = [rounded(Fraction(a * b, 2**15)) for a, b in pairs]
        np.testing.assert_array_equal(z, want)
    for shift in (22, 16):
        one = 2**shift
        given, keep = layer(p=one, n=one // 4, s=shift, low=-5000, high=9000)
        kernels.eb_bent_s16(given, pointers[0], pointers[2], len(x))
        want = [
            rounded(Fraction(int(a), 1 if a >= 0 else 4), -5000, 9000)
            for a in x
        ]
        np.testing.assert_array_equal(z, want)
    # So flat that half of a step has more bits than a sum.
    given, keep = layer(p=2**22, n=2**22, s=50, low=-32768, high=32767)
    kernels.eb_bent_s16(given, pointers[0], pointers[2], len(x))
    assert not z.any()
    assert keep


def check_floats(kernels):
    """The bits of the numpy reference."""
    from c_reference import float_steps

    x = np.geomspace(2e-38, 1e9, 5001).astype(F32)
    tiny = np.finfo(F32).tiny
    x[:6] = 0, -0.0, tiny, np.nextafter(tiny, F32(0)), F32(1e-45), 1
    matrix = np.zeros((3, len(x)), F32)
    matrix[0, 7:40] = np.linspace(0.1, 0.7, 33)
    matrix[2, 5:6] = 0.3
    for steps in (
        *([("pow", F32(p))] for p in (0.3, 0.5, 1.7)),
        *([(kind, None)] for kind in ("log", "sqrt", "square")),
        *([(kind, F32(0.37))] for kind in ("add", "mul", "div")),
        [("clip", (F32(0.1), F32(9)))],
        [("mel", matrix)],
    ):
        kind, value = steps[0]
        with np.errstate(over="ignore"):
            want = float_steps(steps, x)
        got = x.copy()
        at = ctypes.c_void_p(got.ctypes.data)
        if kind == "pow":
            # Powers next to the smallest normal number may become 0.
            exact = (x.astype(float) ** float(value)).astype(F32)
            used = (x >= tiny) & (exact >= 4 * tiny)
            np.testing.assert_array_max_ulp(want[used], exact[used], 4)
            # In front of it there is something, but nothing for a power.
            table = np.concatenate(
                [np.ones(256, F32), lower.power_table(value)]
            )
            start = ctypes.c_void_p(table[256:].ctypes.data)
            kernels.eb_pow_all(at, len(x), start)
        elif kind == "mel":
            first, count = np.array([[7, 0, 5], [33, 0, 1]], np.int16)
            weights = matrix[matrix > 0]
            given = (x, got, 3, first, count, weights)
            kernels.eb_bands(
                *(
                    v if isinstance(v, int) else ctypes.c_void_p(v.ctypes.data)
                    for v in given
                )
            )
            got = got[:3]
        else:
            words = [] if value is None else np.atleast_1d(value)
            call = getattr(kernels, f"eb_{kind}_all")
            call(at, len(x), *(ctypes.c_float(v) for v in words))
        np.testing.assert_array_equal(
            got.view(np.int32), want.view(np.int32), err_msg=kind
        )


def check_edges(kernels):
    """Quantizing: ties to even, saturation; thresholds: each edge."""

    x = (np.arange(-700, 700) / 4).astype(F32)
    out = np.zeros(len(x), np.int8)
    pointers = [ctypes.c_void_p(v.ctypes.data) for v in (x, out)]
    kernels.eb_quantize_s8(*pointers, len(x), ctypes.c_float(0.5), 10)
    want = np.clip(np.rint(x / F32(0.5)) + 10, -128, 127)
    np.testing.assert_array_equal(out, want)
    levels = np.zeros(len(x), np.int16)
    kernels.eb_quantize_s16(
        pointers[0],
        ctypes.c_void_p(levels.ctypes.data),
        len(x),
        ctypes.c_float(0.005),
    )
    want = np.clip(np.rint(x / F32(0.005)), -32768, 32767)
    np.testing.assert_array_equal(levels, want)
    x[1], x[2] = -0.0, np.finfo(F32).max
    for count in (255, 200):
        # A zero among them, of either sign.
        edges = (np.arange(count) - 100).astype(F32)
        edges[100] = -0.0 if count == 255 else 0.0
        keys = lower.float_keys(edges)
        kernels.eb_count_edges_s8(
            ctypes.c_void_p(keys.ctypes.data), *pointers, len(x), -128
        )
        want = np.searchsorted(edges, x, side="right") - 128
        np.testing.assert_array_equal(out, want)
    table = np.arange(127, -129, -1).astype(np.int8)
    levels = np.arange(-128, 128).astype(np.int8)
    kernels.eb_table_s8(
        ctypes.c_void_p(table.ctypes.data),
        ctypes.c_void_p(levels.ctypes.data),
        pointers[1],
        256,
    )
    np.testing.assert_array_equal(out[:256], table)
    # The oldest column of a ring follows its head.
    places = [kernels.eb_ring_place(3, age, 5) for age in range(5)]
    assert places == [3, 4, 0, 1, 2]


CHECKS = [
    check_dense,
    check_depthwise,
    check_add,
    check_16_bits,
    check_edges,
    check_floats,
]
