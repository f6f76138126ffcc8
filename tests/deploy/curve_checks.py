"""What the kernels of sigmoid and tanh must compute."""

import ctypes

from kernel_checks import F32, layer
import numpy as np
from onnx import TensorProto, helper


def check_tanh_16(kernels):
    """Input of 8 / 2^15 a step, output of 2^-15: near the true function."""
    x = np.arange(-32768, 32768).astype(np.int16)
    out = np.zeros_like(x)
    pointers = [ctypes.c_void_p(v.ctypes.data) for v in (x, out)]
    into, keep_in = layer(f=2**22, s=16)  # x * 64: Q18 of x / 4096
    same, keep_out = layer(f=2**22, s=29)
    half, keep_half = layer(f=2**22, s=30)
    real = x / 4096.0
    kernels.eb_tanh_s16(into, same, *pointers, len(x))
    want = np.clip(np.tanh(real) * 32768, -32768, 32767)
    assert np.abs(out - want).max() < 0.8
    mirrored = np.minimum(-out[1:32768].astype(int), 32767)
    # Half up: on the negative side ties go the other way.
    apart = out[:32768:-1] - mirrored
    assert apart.min() >= 0 and apart.max() <= 1 and apart.mean() < 0.01
    kernels.eb_sigmoid_s16(into, half, *pointers, len(x))
    want = np.clip(32768 / (1 + np.exp(-2 * real)), 0, 32767)
    assert np.abs(out - want).max() < 0.8
    assert (np.diff(out.astype(int)) >= 0).all()
    state = real.astype(F32) * 3
    state[0], state[-1] = -np.finfo(F32).max, np.finfo(F32).max
    kernels.eb_cell_tanh_s16(
        same, ctypes.c_void_p(state.ctypes.data), pointers[1], len(x)
    )
    want = np.clip(np.tanh(state.astype(float)) * 32768, -32768, 32767)
    assert np.abs(out - want).max() < 0.8
    # Raised factors: other instructions, the same results; also beyond 8.
    at = ctypes.c_void_p(state.ctypes.data)
    for steeper in (0, 3):
        found = []
        for up, more in ((0, 0), (1, 5)):
            into, keep_in = layer(f=2 ** (22 + steeper + up), s=16 + up)
            from_, keep_out = layer(f=5000000 << more, s=29 + more)
            kernels.eb_tanh_s16(into, from_, *pointers, len(x))
            found.append([out.copy()])
            kernels.eb_sigmoid_s16(into, from_, *pointers, len(x))
            found[-1].append(out.copy())
            kernels.eb_cell_tanh_s16(from_, at, pointers[1], len(x))
            found[-1].append(out.copy())
        np.testing.assert_array_equal(found[0], found[1])
    assert keep_in and keep_out and keep_half


def check_cell_tanh(kernels):
    """Floats around every threshold, and those where tanh reaches 1."""
    ends = np.arange(F32(7.9).view("i4"), F32(9.1).view("i4"), 7, np.int32)
    levels = (np.arange(-127, 128) - 0.5) / 128.0
    near = np.arctanh(levels).astype(F32).view(np.int32)
    near = (near[:, None] + np.arange(-400, 400, dtype=np.int32)).reshape(-1)
    x = np.concatenate([ends.view(F32), -ends.view(F32), near.view(F32)])
    x = np.concatenate([x, [0, -0.0, 1e30, -1e30, 1e-40]]).astype(F32)
    check_tanh_of(kernels, x, [(1 / 128, 0), (2 / 255, 0), (2 / 255, -1)])


def check_tanh_of(kernels, x, scales):
    """The integers of onnxruntime's own tanh."""
    from edgebrain.onnx.session import make_session

    node = helper.make_node("Tanh", ["x"], ["y"])
    values = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n"]) for n in "xy"
    ]
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    (y,) = make_session(model.SerializeToString()).run(None, {"x": x})
    out = np.zeros(len(x), np.int8)
    for scale, zero in scales:
        kernels.eb_cell_tanh_s8(
            ctypes.c_void_p(x.ctypes.data),
            ctypes.c_void_p(out.ctypes.data),
            len(x),
            ctypes.c_float(scale),
            zero,
        )
        want = np.clip(np.rint(y / F32(scale)) + F32(zero), -128, 127)
        np.testing.assert_array_equal(out, want.astype(np.int8))
