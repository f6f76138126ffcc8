"""NNSE-style sequential network on log-mel or log-power features."""

from collections.abc import Iterable
from pathlib import Path

from edgebrain.checks import Name, Number, check
from edgebrain.enhancement.networks.nnse_arch import (
    ACTIVATIONS,
    LAYER_TYPES,
    find_architecture,
    read_architecture,
)
from edgebrain.errors import UserError, unknown_name
from edgebrain.models.base import MaskModel, State
from edgebrain.models.blocks import LSTMStack
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

FLOOR = 2.0**-15
# Features are logarithms of power with a spread of about one; below this
# one is constant (a bin that a file format leaves empty) and must not grow.
_SMALLEST_STD = 1e-2

_MODULES = {
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "relu6": nn.ReLU6,
    "linear": nn.Identity,
}
_DEFAULTS = {
    "layer_type": None,
    "layer_neurons": None,
    "kernel_size": 1,
    "strides": 1,
    "activation": "tanh",
    "dropprob": 0.0,
}
_COUNT = Number(whole=True, least=1)
_SHARE = Number(least=0, most=1)
_RULES = {
    "features": Name("features", ("mel", "pspec")),
    "bins": Number(whole=True, least=2),
    "n_mels": _COUNT,
    "sample_rate": _COUNT,
    "input_dropprob": _SHARE,
    "scalar_output": Number(least=1e-6, most=1e6),
}
_LAYER_RULES = {
    "layer_type": Name("layer type", LAYER_TYPES),
    "layer_neurons": _COUNT,
    "kernel_size": _COUNT,
    # Each frame needs a mask.
    "strides": Number(whole=True, least=1, most=1),
    "activation": Name("activation", ACTIVATIONS),
    "dropprob": _SHARE,
}


def mel_filterbank(n_mels: int, bins: int, sample_rate: int) -> np.ndarray:
    """Return triangles equally spaced in mel, float32 (n_mels, bins).

    From 0 to half the rate, mel = 2595 log10(1 + f / 700); the edges lie on
    whole bins, floor((n_fft + 1) f / sample_rate) with n_fft = 2 (bins - 1).
    Each triangle peaks at 1.
    """
    top = 2595 * np.log10(1 + sample_rate / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, n_mels + 2) / 2595) - 1)
    edges = np.floor((2 * bins - 1) * hertz / sample_rate).astype(int)
    filters = np.zeros((n_mels, bins))
    for m, (low, centre, high) in enumerate(
        zip(edges[:-2], edges[1:-1], edges[2:], strict=True)
    ):
        rise, fall = np.arange(low, centre), np.arange(centre, high)
        filters[m, rise] = (rise - low) / max(centre - low, 1)
        filters[m, fall] = (high - fall) / max(high - centre, 1)
    empty = np.flatnonzero(filters.sum(axis=1) == 0)
    if len(empty):
        raise UserError(
            f"n_mels {n_mels}: {len(empty)} of the triangles hold none of the "
            f"{bins} bins (the first: {empty[0]}): take fewer, or a larger "
            "n_fft"
        )
    return filters.astype(np.float32)


class LogSpectrum(nn.Module):
    """log10 of mel bands or of the power spectrum, normalised.

    (log10(x + 2^-15) - mean) * invstd with x = |X|^2 or its mel bands.
    """

    def __init__(self, features: str, bins: int, n_mels: int, sample_rate: int):
        super().__init__()
        self.size = n_mels if features == "mel" else bins
        filters = None
        if features == "mel":
            bank = mel_filterbank(n_mels, bins, sample_rate)
            filters = torch.from_numpy(bank).unsqueeze(-1)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("mean", torch.zeros(self.size))
        self.register_buffer("invstd", torch.ones(self.size))

    def raw(self, magnitude: Tensor) -> Tensor:
        """Return the features before normalisation, (batch, size, t)."""
        power = magnitude * magnitude
        if self.filters is not None:
            # A convolution with constant weights: embedded tools refuse a
            # MatMul whose constant comes first.
            power = F.conv1d(power, self.filters)
        return torch.log10(power + FLOOR)

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return (batch, size, frames)."""
        centred = self.raw(magnitude) - self.mean.unsqueeze(-1)
        return centred * self.invstd.unsqueeze(-1)

    def count_macs(self, inputs: tuple, output: Tensor) -> int:
        """Return the multiplications of the mel triangles, zeros left out."""
        if self.filters is None:
            return 0
        frames = output.shape[0] * output.shape[-1]
        return int(torch.count_nonzero(self.filters)) * frames


class CausalConv1d(nn.Module):
    """Full convolution over the current and the frames before."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int):
        super().__init__()
        self.context = kernel_size - 1
        self.pad = nn.ConstantPad1d((self.context, 0), 0.0)
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, out_channels, frames)."""
        return self.conv(self.pad(x) if self.context else x)

    def step(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """Go on from ``cache``, (batch, in_channels, kernel_size - 1)."""
        seen = torch.cat([cache, x], dim=-1)
        return self.conv(seen), seen[..., -self.context :]


class NNSE(MaskModel):
    """Sequence of conv1d, lstm and fc layers, as Ambiq's NNSE.

    By default 72 mel bands of 6 frames -> 72 / LSTM 72 / 72 / 72 -> 257 with
    102,209 parameters. The input is the plain magnitude (signal setting
    ``power: 1``); NNSE's own STFT is 512 / 480 / 160 with ``sqrt_hann``.

    Arguments
    ---------
    layers : list of dict, optional
        Of each layer ``layer_type`` (conv1d: a causal stack of
        ``kernel_size`` frames into a fully connected layer; lstm; fc),
        ``layer_neurons``, ``activation`` (tanh, sigmoid, relu6, linear; an
        lstm has tanh), ``dropprob`` (of the layer's output). The last has
        ``bins`` neurons.
    arch_file : str or Path, optional
        Instead of ``layers``: an architecture text, a path or the name of a
        shipped one (``72_mel``, ``128_pspec``, ``256_pspec``). ``config()``
        holds the layers read, so a checkpoint needs no such file.
    features : str
        ``mel`` or ``pspec``.
    sample_rate : int
        Hz; places the mel bands.
    input_dropprob : float
        Dropout of the features; an architecture text may say its own.
    scalar_output : float
        Factor on the output, the same.

    Notes
    -----
    In front of a clip, the stack of frames holds zeros, the mean of each
    feature. One dropout mask serves all frames of an item. The LSTM has one
    bias a gate.

    States, in order of layers: ``conv{n}_cache`` (batch, inputs,
    kernel_size - 1), ``lstm{n}_h`` and ``lstm{n}_c`` (batch, neurons).
    """

    causal = True
    lookahead_frames = 0

    def __init__(
        self,
        layers: list[dict] | None = None,
        arch_file: str | Path | None = None,
        features: str = "mel",
        bins: int = 257,
        n_mels: int = 72,
        sample_rate: int = 16000,
        input_dropprob: float = 0.0,
        scalar_output: float = 1.0,
    ):
        super().__init__(bins)
        self._keep(_RULES, locals())
        if layers is not None and arch_file is not None:
            raise UserError(
                "NNSE: both layers and arch_file are given: leave one out"
            )
        inputs = n_mels if features == "mel" else bins
        if layers is None:
            default = "72_mel" if features == "mel" else "128_pspec"
            path = find_architecture(arch_file or default)
            read = read_architecture(path)
            layers = read.layers
            input_dropprob = read.input_dropprob
            scalar_output = read.scalar_output
            if read.input_neurons != inputs:
                raise UserError(
                    f"NNSE: {path.name} has input_neurons "
                    f"{read.input_neurons}, but features {features!r} gives "
                    f"{inputs} a frame"
                )
        self._keep(_RULES, locals())
        self.layers = layers = _checked_layers(layers, bins)
        self.arch_file = None
        kinds = [layer["layer_type"] for layer in layers]
        if "lstm" not in kinds:
            self.receptive_field_frames = 1 + sum(
                layer["kernel_size"] - 1 for layer in layers
            )

        self.front_end = LogSpectrum(features, bins, n_mels, sample_rate)
        # Dropout1d drops whole channels: one mask for all frames.
        self.dropout = nn.Dropout1d(self.input_dropprob)
        self.net = nn.ModuleDict()
        self.after = nn.ModuleDict()
        for position, layer in enumerate(layers):
            kind, neurons = layer["layer_type"], layer["layer_neurons"]
            number = kinds[:position].count(kind)
            name = f"{kind.removesuffix('1d')}{number}"
            if kind == "lstm":
                self.net[name] = LSTMStack(inputs, neurons, single_bias=True)
                activation = nn.Identity()
            else:
                size = layer["kernel_size"]
                self.net[name] = CausalConv1d(inputs, neurons, size)
                activation = _MODULES[layer["activation"]]()
            self.after[name] = nn.Sequential(
                activation, nn.Dropout1d(layer["dropprob"])
            )
            inputs = neurons

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return the mask of a whole clip, (batch, bins, frames)."""
        x = self.dropout(self.front_end(magnitude))
        for name, layer in self.net.items():
            x = self.after[name](layer(x))
        return self._scaled(x)

    def step(self, magnitude: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the masks of the next frames and the new state."""
        self._check_state(state)
        x, new = self.front_end(magnitude), {}
        for name, layer in self.net.items():
            keys = list(self._layer_shapes(name))
            if not keys:
                x = layer(x)
            elif name.startswith("lstm"):
                x, parts = layer.step(x, [state[key] for key in keys])
                new.update(zip(keys, parts, strict=True))
            else:
                x, new[keys[0]] = layer.step(x, state[keys[0]])
            x = self.after[name](x)
        return self._scaled(x), new

    @torch.no_grad()
    def fit_normalisation(self, magnitudes: Iterable) -> None:
        """Set mean and invstd of the features from training data.

        Unpadded magnitudes, (bins, frames) or (batch, bins, frames).
        """
        front = self.front_end
        count, total, squares = 0, 0.0, 0.0
        for item in magnitudes:
            item = torch.as_tensor(item).to(front.mean)
            item = item.unsqueeze(0) if item.dim() == 2 else item
            frames = front.raw(item).transpose(0, 1).flatten(1).double()
            count += frames.shape[1]
            total = total + frames.sum(1)
            squares = squares + frames.square().sum(1)
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0.0)
        front.mean.copy_(mean)
        front.invstd.copy_(1 / variance.sqrt().clamp(min=_SMALLEST_STD))

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.scalar_output == 1.0 else x * self.scalar_output

    def _layer_shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        layer = self.net[name]
        if isinstance(layer, LSTMStack):
            return layer.state_shapes(int(name.removeprefix("lstm")))
        if layer.context:
            return {f"{name}_cache": (layer.conv.in_channels, layer.context)}
        return {}

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return those of caches, h and c in the order of the layers."""
        return {
            key: shape
            for name in self.net
            for key, shape in self._layer_shapes(name).items()
        }


def _checked_layers(layers: list[dict], bins: int) -> list[dict]:
    """Return the layers with every key, each value in its type."""
    if not isinstance(layers, list) or not layers:
        raise UserError(f"NNSE: layers must be a list of dicts, got {layers!r}")
    full, problems = [], []
    for number, layer in enumerate(layers):
        where = f"layers[{number}]"
        if not isinstance(layer, dict):
            raise UserError(f"NNSE: {where} must be a dict, got {layer!r}")
        for key in layer.keys() - _DEFAULTS.keys():
            raise unknown_name(f"key of NNSE's {where}", key, _DEFAULTS)
        layer = check(f"NNSE: {where}", {**_DEFAULTS, **layer}, _LAYER_RULES)
        kind = layer["layer_type"]
        if kind != "conv1d" and layer["kernel_size"] > 1:
            problems.append(
                f"{where}.kernel_size belongs to conv1d, not to {kind}"
            )
        if kind == "lstm" and layer["activation"] != "tanh":
            problems.append(
                f"{where}.activation of an lstm is tanh, got "
                f"{layer['activation']!r}"
            )
        full.append(layer)
    last = full[-1]["layer_neurons"]
    if last != bins:
        problems.append(
            f"the last layer has {last} neurons, the mask {bins} bins"
        )
    if problems:
        raise UserError.collect("NNSE", problems)
    return full
