"""Miniature quantized networks, and their C code."""

from pathlib import Path
import shutil
import sys

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
from c_models import build, network, quantized_stream  # noqa: E402


@pytest.fixture(scope="session")
def quantized(tmp_path_factory):
    """Return a maker of quantized streams, each made once."""
    folder, made = tmp_path_factory.mktemp("streams"), {}

    def make(name, precision):
        if (name, precision) not in made:
            made[name, precision] = quantized_stream(
                *network(name), folder / f"{name}.onnx", precision
            )
        return made[name, precision]

    return make


@pytest.fixture(scope="session")
def generated(quantized, tmp_path_factory):
    """Return a maker of (program, folder) with a built shared library."""
    missing = [tool for tool in ("cc", "make") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)}")
    from deploy.c.generator.generate import generate

    folder, made = tmp_path_factory.mktemp("c"), {}

    def make(name, precision):
        if (name, precision) not in made:
            target = folder / f"{name}_{precision}"
            program = generate(
                quantized(name, precision), target, "net"
            ).program
            build(target, "all")
            made[name, precision] = program, target
        return made[name, precision]

    return make


@pytest.fixture(scope="session")
def models(onnx_folder, small_network, tmp_path_factory):
    """Return the path of models for ST's tool by name, most of them int8."""
    from edgebrain.data import audio
    from edgebrain.enhancement.networks import LSTMMask
    from edgebrain.onnx.export import export_patch, export_stream
    from edgebrain.onnx.quantization import (
        QuantizationSettings,
        load_source,
        quantize,
    )
    from edgebrain.onnx.quantization_calibration import read_clips
    from edgebrain.signal import SignalSettings
    from edgebrain.signal.probe import speech_like
    from edgebrain.tasks import Setup
    import numpy as np
    import torch

    folder = tmp_path_factory.mktemp("models")
    for number in range(3):
        rng = np.random.default_rng(number)
        noise = 0.02 * rng.normal(size=16000)
        wav = (speech_like(1.0, 16000) + noise).astype(np.float32)
        audio.write(folder / "noisy" / f"{number}.wav", wav, 16000)
    torch.manual_seed(1)
    lstm, patch = folder / "lstm.onnx", folder / "even_patch.onnx"
    setup = Setup("enhancement", SignalSettings())
    export_stream(LSTMMask(257, 8, 1).eval(), setup, lstm)
    export_patch(
        small_network(prologue="linear"),
        setup,
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
        clips = read_clips(folder / "noisy", setup, 3, 0, 1.0)
        settings = QuantizationSettings()
        quantize(load_source(path), paths[name], clips, settings)
    return paths
