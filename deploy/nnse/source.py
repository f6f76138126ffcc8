"""The C text of the tables, in the layout of Ambiq's NNSE."""

from edgebrain.enhancement.forms.nnse_integer import Layer
from edgebrain.enhancement.forms.nnse_runner import packed_order
from edgebrain.signal.windows import make_window
import numpy as np

from deploy.nnse.fixed_point import to_fixed

#: The headers that the layout belongs to.
HEADER_VERSION = "AmbiqAI/nnse of 2023-07-07"
_KINDS = {"fc": "&fc_8x16", "lstm": "&lstm_8x16"}
_ACTIVATIONS = {
    "ftanh": "&tanh_fix",
    "sigmoid": "&sigmoid_fix",
    "relu6": "&relu6_fix",
    "linear": "&linear_fix",
}


def pack(matrix: np.ndarray) -> np.ndarray:
    """Return a (rows, columns) matrix in the runtime's order, flat."""
    return matrix.reshape(-1)[packed_order(*matrix.shape)]


def pack_gates(kernel: np.ndarray) -> np.ndarray:
    """Return (4, units, columns) in groups of 4 units, gate after gate."""
    units = kernel.shape[1]
    return np.concatenate(
        [
            pack(kernel[gate, top : top + 4])
            for top in range(0, units, 4)
            for gate in range(4)
        ]
    )


def header(net_id: int, name: str) -> str:
    """Return def_nn{id}_{name}.h."""
    guard = f"__DEF_NN{net_id}_{name.upper()}__"
    return "\n".join(
        [
            f"/* For the headers of {HEADER_VERSION}. */",
            f"#ifndef {guard}",
            f"#define {guard}",
            "#include <stdint.h>",
            '#include "neural_nets.h"',
            '#include "nn_speech.h"',
            f"extern const int32_t feature_mean_{name}[];",
            f"extern const int32_t feature_stdR_{name}[];",
            f"extern NeuralNetClass net_{name};",
            f"extern PARAMS_NNSP params_nn{net_id}_{name};",
            "#endif",
            "",
        ]
    )


def source(
    net_id: int,
    name: str,
    layers: list[Layer],
    mean: np.ndarray,
    invstd: np.ndarray,
    signal,
) -> str:
    """Return def_nn{id}_{name}.c."""
    window = f"stft_win_coeff_w{signal.win_length}_h{signal.hop_length}"
    parameters = {
        "samplingRate": signal.sample_rate,
        "fftsize": signal.n_fft,
        "winsize_stft": signal.win_length,
        "hopsize_stft": signal.hop_length,
        "num_mfltrBank": len(mean),
        "num_dnsmpl": 1,
        "pt_stft_win_coeff": window,
        "start_bin": 0,
        "is_dcrm": 0,
        "pre_gain_q1": 2,
    }
    lines = [
        f"/* For the headers of {HEADER_VERSION}: PARAMS_NNSP without",
        " * p_melBanks and feature_type. Written by deploy/nnse_tables.py.",
        " * Link the runtime with 64-bit accumulators: with 32-bit ones the",
        " * first layer is wrong. */",
        "#include <stdint.h>",
        *(
            f'#include "{file}.h"'
            for file in (
                "neural_nets",
                "activation",
                "affine",
                "lstm",
                "nn_speech",
            )
        ),
        "",
        "/* Kernels are read through int32_t pointers. */",
        "#ifndef NNSE_ALIGNED",
        "#define NNSE_ALIGNED __attribute__((aligned(4)))",
        "#endif",
        "",
        f"extern const int16_t {window}[];",
        f"PARAMS_NNSP params_nn{net_id}_{name} = {{",
        *(f"    .{key} = {value}," for key, value in parameters.items()),
        "};",
        array("int32_t", f"feature_mean_{name}", mean, 8),
        array("int32_t", f"feature_stdR_{name}", invstd, 8),
    ]
    for number, layer in enumerate(layers):
        lines += _layer(name, number, layer)
    for number, layer in enumerate(layers):
        if layer.kind == "lstm":
            size = f"[{layer.units}]"
            lines.append(f"int32_t cstate_layer{number}_{name}{size};")
            lines.append(f"int16_t hstate_layer{number}_{name}{size};")
    return "\n".join([*lines, "", _net(name, layers), ""])


def _layer(name: str, number: int, layer: Layer) -> list[str]:
    if layer.kind == "fc":
        kernels = {"kernel": pack(layer.kernel)}
        bias = layer.bias
    else:
        kernels = {
            "kernel": pack_gates(layer.kernel),
            "kernel_rec": pack_gates(layer.recurrent),
        }
        bias = pack_gates(layer.bias[..., None])
    lines = [
        array("uint8_t", f"{name}_{kind}{number}", values, 2, True)
        for kind, values in kernels.items()
    ]
    return [*lines, array("uint16_t", f"{name}_bias{number}", bias, 4)]


def array(
    kind: str, name: str, values: np.ndarray, digits: int, aligned=False
) -> str:
    """Return a constant array in hexadecimal, two's complement."""
    mask = (1 << (4 * digits)) - 1
    texts = [f"0x{int(value) & mask:0{digits}x}" for value in values]
    a_row = max(1, 72 // (digits + 4))
    rows = [
        "    " + ", ".join(texts[start : start + a_row]) + ","
        for start in range(0, len(texts), a_row)
    ]
    attribute = " NNSE_ALIGNED" if aligned else ""
    head = f"const {kind} {name}[]{attribute} = {{"
    return "\n".join([head, *rows, "};"])


def _net(name: str, layers: list[Layer]) -> str:
    """Return net_{name}: a positional initialiser, field by field."""
    first = layers[0].kernel.shape[-1]
    recurrent = [layer.kind == "lstm" for layer in layers]

    def states(kind):
        """Return the name of each layer's c or h, 0 where it has none."""
        return [
            f"{kind}state_layer{n}_{name}" if is_lstm else 0
            for n, is_lstm in enumerate(recurrent)
        ]

    def arrays(kind, pointer):
        """Return each layer's table as such a pointer, 0 where it has none."""
        return [
            f"({pointer}*) {name}_{kind}{n}"
            if kind != "kernel_rec" or is_lstm
            else 0
            for n, is_lstm in enumerate(recurrent)
        ]

    fields = [
        ("numlayers", [len(layers)]),
        ("size_layer", [first, *(layer.units for layer in layers)]),
        ("net_layer_type", [layer.kind for layer in layers]),
        ("qbit_kernel", [layer.q_kernel for layer in layers]),
        ("qbit_input", [layer.q_input for layer in layers]),
        ("qbit_bias", [layer.q_bias for layer in layers]),
        ("activation_type", [layer.activation for layer in layers]),
        ("pt_cstate", states("c")),
        ("pt_hstate", states("h")),
        ("act_func", [_ACTIVATIONS[layer.activation] for layer in layers]),
        ("layer_func", [_KINDS[layer.kind] for layer in layers]),
        ("pt_kernel", arrays("kernel", "int8_t")),
        ("pt_bias", arrays("bias", "int16_t")),
        ("pt_kernel_rec", arrays("kernel_rec", "int8_t")),
    ]
    lines = [f"NeuralNetClass net_{name} = {{"]
    for field, values in fields:
        text = ", ".join(map(str, values))
        text = text if field == "numlayers" else f"{{{text}}}"
        lines.append(f"    {text}, /* {field} */")
    return "\n".join([*lines, "};"])


def front_end(name: str, filters: np.ndarray, signal) -> str:
    """Return the window and the mel triangles (bands, bins) as a C file."""
    win, hop = signal.win_length, signal.hop_length
    window = make_window("sqrt_hann", win) * (2 * hop / win) ** 0.5
    used = [np.flatnonzero(band) for band in filters]
    first = np.array([band[0] for band in used])
    count = np.array([band[-1] + 1 - band[0] for band in used])
    values = np.concatenate(
        [
            band[low : low + n]
            for band, low, n in zip(filters, first, count, strict=True)
        ]
    )
    return "\n".join(
        [
            "/* Window and mel triangles of the front end, Q15. The runtime",
            " * has tables of its own: compile this file where it lacks",
            " * them, and compare where it does not. Band b is the sum of",
            " * mel_coeff times power over mel_count[b] bins from",
            " * mel_first[b], the coefficients one band after another. */",
            "#include <stdint.h>",
            f"extern const int16_t stft_win_coeff_w{win}_h{hop}[];",
            f"extern const int16_t mel_first_{name}[];",
            f"extern const int16_t mel_count_{name}[];",
            f"extern const int16_t mel_coeff_{name}[];",
            array(
                "int16_t",
                f"stft_win_coeff_w{win}_h{hop}",
                to_fixed(window, 15, np.int16),
                4,
            ),
            array("int16_t", f"mel_first_{name}", first, 4),
            array("int16_t", f"mel_count_{name}", count, 4),
            array("int16_t", f"mel_coeff_{name}", values, 4),
            "",
        ]
    )
