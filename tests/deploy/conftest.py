"""Miniature quantized streams of every network, and their C code."""

from pathlib import Path
import shutil
import sys

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
from c_models import build, frames, network, sound  # noqa: E402


@pytest.fixture(scope="session")
def quantized(tmp_path_factory):
    """Return a maker of quantized streams, each made once."""
    from edgebrain.onnx.export import export_stream
    from edgebrain.onnx.quantization import (
        QuantizationSettings,
        load_source,
        quantize,
    )
    from edgebrain.onnx.quantization_calibration import Clips

    folder, made = tmp_path_factory.mktemp("streams"), {}

    def make(name, precision):
        if (name, precision) in made:
            return made[name, precision]
        source = folder / f"{name}.onnx"
        model, signal = network(name)
        clips = tuple(frames(sound(4000, s), signal) for s in range(3))
        if name not in made:
            if name == "nnse":
                model.fit_normalisation(clips)
            export_stream(model, signal, source)
            made[name] = load_source(source)
        target = folder / f"{name}_{precision}.onnx"
        quantize(
            made[name],
            target,
            Clips(clips[:2], clips[2:], True),
            QuantizationSettings(precision=precision),
        )
        made[name, precision] = target
        return target

    return make


@pytest.fixture(scope="session")
def generated(quantized, tmp_path_factory):
    """Return a maker of (program, folder) with a built shared library."""
    missing = [tool for tool in ("cc", "make") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not installed: {' '.join(missing)}")
    from deploy.c.generator.package import generate

    folder, made = tmp_path_factory.mktemp("c"), {}

    def make(name, precision):
        if (name, precision) not in made:
            target = folder / f"{name}_{precision}"
            program = generate(quantized(name, precision), target, "net")
            build(target, "all")
            made[name, precision] = program, target
        return made[name, precision]

    return make
