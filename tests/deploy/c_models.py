"""Miniature networks, sounds and builds for the tests of the C code."""

import ctypes
from pathlib import Path
import subprocess

from edgebrain.signal import SignalSettings, magnitude, stft
import numpy as np

SIGNAL = SignalSettings(n_fft=64, win_length=50, hop_length=20)
NNSE_SIGNAL = SignalSettings(
    n_fft=60, win_length=45, hop_length=15, window="sqrt_hann"
)
NNSE_LAYERS = [
    {"layer_type": "conv1d", "layer_neurons": 9, "kernel_size": 4},
    {"layer_type": "lstm", "layer_neurons": 7},
    {"layer_type": "fc", "layer_neurons": 10, "activation": "relu6"},
    {"layer_type": "fc", "layer_neurons": 31, "activation": "sigmoid"},
]
#: Odd sizes on purpose: each leaves a rest in every vector instruction.
NETWORKS = (
    "tcnn",
    "tcnn_prelu",
    "tcnn_late",
    "tcnn_point",
    "lstm",
    "lstm_first",
    "conv_lstm",
    "nnse",
)
SIGNALS = {
    "nnse": NNSE_SIGNAL,
    "conv_power": SignalSettings(
        n_fft=64, win_length=50, hop_length=20, power=2.0
    ),
}


MODELS = Path(__file__).parents[2] / "models"
#: The released networks of enhancement that run frame by frame.
ENHANCERS = sorted(
    path.parent.name
    for path in MODELS.glob("*/stream_int8.onnx")
    if not path.parent.name.endswith("-esc10")
)
#: One of each kind of network.
KINDS = ("tcnn", "lstm", "conv_lstm", "nnse")


def network(name, seed=3):
    """Return an untrained network with lively statistics, and its signal."""
    from edgebrain.enhancement.networks import (
        NNSE,
        STFTTCNN,
        ConvLSTM,
        LSTMMask,
    )
    import torch

    torch.manual_seed(seed)
    model = {
        "tcnn": lambda: STFTTCNN(
            2, 3, 33, 13, 2, bottleneck_channels=9, prologue="power"
        ),
        "tcnn_prelu": lambda: STFTTCNN(
            1,
            3,
            33,
            21,
            3,
            "tanh",
            kernel_size=4,
            activation="prelu",
            prologue="log1p",
        ),
        "tcnn_late": lambda: STFTTCNN(
            1, 2, 33, 18, lookahead_frames=2, prologue="power"
        ),
        "tcnn_point": lambda: STFTTCNN(1, 2, 33, 7, kernel_size=1),
        "lstm": lambda: LSTMMask(33, 11, 2, 7),
        # Without a projection the features go into the LSTM itself.
        "lstm_first": lambda: LSTMMask(33, 9, 1, mask_activation="tanh"),
        "conv_lstm": lambda: ConvLSTM(33, 10, 1, prologue="linear"),
        "conv_power": lambda: ConvLSTM(33, 10, 1, prologue="log1p"),
        "nnse": lambda: NNSE(
            NNSE_LAYERS, bins=31, n_mels=11, scalar_output=1.5
        ),
    }[name]()
    generator = torch.Generator().manual_seed(seed + 1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.3, 1.5, generator=generator)
        if isinstance(module, torch.nn.PReLU):
            module.weight.data.uniform_(0.05, 0.4, generator=generator)
    return model.eval(), SIGNALS.get(name, SIGNAL)


def sound(samples, seed=0):
    """Return bursts of coloured noise between silences, int16."""
    rng = np.random.default_rng(seed)
    wav = np.convolve(rng.standard_normal(samples), [1, 0.9, 0.5], "same")
    at = np.arange(samples) / 1600
    wav *= (
        np.abs(np.sin(at))
        * 10
        ** rng.uniform(-2, 0, 1 + samples // 1600)[np.arange(samples) // 1600]
    )
    wav[samples // 3 : samples // 3 + 400] = 0
    return np.clip(wav * 6000, -32768, 32767).astype(np.int16)


def frames(pcm, signal):
    """Return magnitudes (bins, frames)."""
    wav = pcm.astype(np.float32) / 32768
    return np.ascontiguousarray(magnitude(stft(wav, signal), signal))


def build(folder, *targets):
    """Run make with warnings as errors."""
    done = subprocess.run(
        ["make", "-s", "CFLAGS=-O2 -Werror", *targets],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert not done.returncode, done.stderr
    return done.stdout


def released(name, precision):
    """Return the stream of a released, trained model."""
    end = "" if precision == "float32" else f"_{precision}"
    return MODELS / name / f"stream{end}.onnx"


def unsealed(path):
    """Return a model without the hash that would show its damage at once."""
    import onnx

    model = onnx.load(path)
    kept = [p for p in model.metadata_props if "weights_sha256" not in p.key]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    return model


def quantized_stream(model, signal, source, precision="int8"):
    """Write the streams of a network, ``source`` the float one.

    Returns the path of the quantized one.
    """
    from edgebrain.onnx.export import export_stream
    from edgebrain.onnx.quantization import (
        QuantizationSettings,
        load_source,
        quantize,
    )
    from edgebrain.onnx.quantization_calibration import Clips
    from edgebrain.tasks import Setup

    clips = tuple(frames(sound(4000, s), signal) for s in range(3))
    if not source.exists():
        if hasattr(model, "fit_normalisation"):
            model.fit_normalisation(clips)
        export_stream(model, Setup("enhancement", signal), source)
    target = source.with_name(f"{source.stem}_{precision}.onnx")
    quantize(
        load_source(source),
        target,
        Clips(clips[:2], clips[2:], True),
        QuantizationSettings(precision=precision),
    )
    return target


class CStream:
    """The network of a built folder, frame by frame."""

    def __init__(self, folder):
        self.library = ctypes.CDLL(str(folder / "libnet.so"))
        self.library.eb_init.restype = ctypes.c_void_p
        self.library.eb_step.argtypes = [ctypes.c_void_p] * 3
        self.memory = (ctypes.c_uint64 * (self.library.eb_size() // 8 + 1))()
        self.state = self.library.eb_init(
            self.memory, ctypes.sizeof(self.memory)
        )

    def step(self, magnitude):
        """Return the mask of the next frame, both (bins,) float32."""
        mask = np.zeros_like(magnitude)
        self.library.eb_step(
            self.state, magnitude.ctypes.data, mask.ctypes.data
        )
        return mask
