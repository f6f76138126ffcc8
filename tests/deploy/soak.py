#!/usr/bin/env python3
"""Run C and onnxruntime on minutes of sound without a reset, and compare.

    python tests/deploy/soak.py models/{lstm,nnse,tcnn}*/stream_int8.onnx
    python tests/deploy/soak.py --networks 20 --seconds 300

Prints how many mask values differ. Mel features are sums of floats, whose
order onnxruntime does not fix: there it is given the integers of the C code's
features.
"""

import argparse
from pathlib import Path
import sys
import tempfile

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from c_models import KINDS, CStream, build, network, quantized_stream  # noqa: E402
from c_reference import Reference  # noqa: E402
from edgebrain.onnx.session import make_session  # noqa: E402
from edgebrain.signal import magnitude, stft  # noqa: E402
from edgebrain.signal.probe import speech_like  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402

from deploy.c.generator.generate import generate  # noqa: E402

#: Of sound that is made and compared at once.
BLOCK_SECONDS = 10


def blocks(signal, seconds, seed=0):
    """Yield magnitudes (bins, frames): speech and noise at any level."""
    rng = np.random.default_rng(seed)
    for _ in range(-(-seconds // BLOCK_SECONDS)):
        count = BLOCK_SECONDS * signal.sample_rate
        speech = speech_like(BLOCK_SECONDS, signal.sample_rate)
        wav = np.roll(speech, rng.integers(count)) * 10 ** rng.uniform(-2, 0.3)
        colour = rng.uniform(0, 1, 3)
        noise = np.convolve(rng.standard_normal(count), colour, "same")
        wav += noise * 10 ** rng.uniform(-4, -0.7)
        wav[: rng.integers(count // 4)] = 0
        wav = np.clip(wav, -1, 1).astype(np.float32)
        yield np.ascontiguousarray(magnitude(stft(wav, signal), signal))


class FrameByFrame:
    """onnxruntime on a stream, from the magnitude or the features on."""

    def __init__(self, path, program, from_features):
        model = onnx.load(path)
        card = program.metadata
        self.source = "magnitude"
        if from_features:
            # The float prologue is left over and goes.
            self.source = program.features.name
            known = onnx.shape_inference.infer_shapes(model).graph.value_info
            (value,) = (v for v in known if v.name == self.source)
            producer = next(
                n for n in model.graph.node if self.source in n.output
            )
            model.graph.node.remove(producer)
            model.graph.input.append(value)
        self.session = make_session(model.SerializeToString())
        inputs = {i.name: i.shape for i in self.session.get_inputs()}
        if not from_features:
            states = {s["input"] for s in card.states}
            (self.source,) = set(inputs) - states
        self.kept = {s["output"]: s["input"] for s in card.states}
        self.feeds = {
            name: np.zeros(shape, np.float32)
            for name, shape in inputs.items()
            if name != self.source
        }
        self.shape = inputs[self.source]
        names = [o.name for o in self.session.get_outputs()]
        (self.mask,) = set(names) - set(self.kept)
        self.names = [self.mask, *self.kept]

    def step(self, values):
        """Return the mask of the next frame."""
        feeds = {**self.feeds, self.source: values.reshape(self.shape)}
        mask, *states = self.session.run(self.names, feeds)
        inputs = list(self.kept.values())
        self.feeds.update(zip(inputs, states, strict=True))
        return mask.reshape(-1)


def compare(path, folder, seconds, seed=0):
    """Return how many mask values differ, of how many, and the largest gap.

    Arguments
    ---------
    path : str or Path
        An int8 stream.
    folder : Path
        Where its C code is put and built.
    seconds : int
    seed : int, optional
        Of the sound.
    """
    program = generate(path, folder, "net").program
    build(folder, "all")
    signal = program.metadata.signal
    from_features = any(kind == "mel" for kind, _ in program.prologue)
    onnx_stream = FrameByFrame(path, program, from_features)
    c_stream, reference = CStream(folder), Reference(program)
    quantization = program.features.quantization
    differ, total, gap = 0, 0, 0.0
    for block in blocks(signal, seconds, seed):
        for frame in np.ascontiguousarray(block.T):
            values = frame
            if from_features:
                values = quantization.dequantize(reference.features(frame))
            apart = np.abs(c_stream.step(frame) - onnx_stream.step(values))
            differ += np.count_nonzero(apart)
            total += apart.size
            gap = max(gap, float(apart.max()))
    return differ, total, gap


def random_stream(number, folder):
    """Return the path of a random int8 network, of each kind in turn."""
    kind = KINDS[number % len(KINDS)]
    model, signal = network(kind, seed=100 + number)
    return quantized_stream(model, signal, folder / f"{kind}_{number}.onnx")


def main(argv):
    """Run with the words of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", nargs="*", type=Path, metavar="MODEL", help="int8 streams")
    add("--networks", type=int, default=0, help="random ones beside them")
    add("--seconds", type=int, default=300)
    arguments = parser.parse_args(argv)
    worst = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = [
            *arguments.model,
            *(random_stream(n, folder) for n in range(arguments.networks)),
        ]
        for number, path in enumerate(paths):
            differ, total, gap = compare(
                path, folder / f"c{number}", arguments.seconds, number
            )
            worst = max(worst, differ)
            print(
                f"{path}: {differ:,} of {total:,} mask values differ, by "
                f"{gap:g} at the most",
                flush=True,
            )
    return int(worst > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
