"""Measure one form of one network in this process, and print JSON.

    python benchmarks/one_form.py PATH FORM PRECISION [SECONDS] [REPEATS]

A process of its own, so that its peak of memory is that of this form, and
the ONNX forms run without torch. PATH is what load_enhancer takes.
"""

import contextlib
import json
from pathlib import Path
import resource
import statistics
import sys
import time

import numpy as np

_WARM_UP = 50


def main(argv):
    """Measure what the command line names."""
    path, form, precision, *rest = argv
    seconds, repeats = (*map(float, rest), 30.0, 3)[: max(2, len(rest))]
    print(json.dumps(measure(path, form, precision, seconds, int(repeats))))


def measure(path, form, precision, seconds, repeats) -> dict:
    """Return the figures of a form.

    ``factor``: seconds of processor time a second of audio, the whole clip at
    once, median of the repeats. ``peak`` and ``base``: bytes of resident
    memory, at most and before the network was loaded. Of the stream form also
    ``hop_factor``, the same fed hop by hop, and ``hop`` and ``frame``, see
    :class:`_Laps`: a hop from samples to samples, and the graph alone.
    """
    _import(form)
    from edgebrain.enhancement import load_enhancer

    base = _start_of_memory()
    enhancer = load_enhancer(path, form=form, precision=precision)
    wav = signal(seconds, enhancer.sample_rate)
    enhancer.enhance(wav)
    peak = _peak_of_memory()
    times = [_processor_time(enhancer.enhance, wav) for _ in range(repeats)]
    figures = {
        "factor": statistics.median(times) / seconds,
        "peak": peak,
        "base": base,
    }
    if form == "stream":
        figures |= _measure_hops(enhancer, wav, repeats)
        figures["frame"] = _measure_frames(enhancer, wav, repeats)
    return figures


def signal(seconds: float, sample_rate: int) -> np.ndarray:
    """Return noise in bursts of the length of syllables, float32 (n,)."""
    count = round(seconds * sample_rate)
    noise = np.random.default_rng(0).standard_normal(count)
    level = np.sin(np.pi * 4 * np.arange(count) / sample_rate) ** 2
    return (0.1 * level * noise).astype(np.float32)


def _measure_hops(enhancer, wav, repeats) -> dict:
    """Return the figures of a stream that is fed a hop at a time."""
    hop = enhancer.signal.hop_length
    hops = [wav[i : i + hop] for i in range(0, len(wav) - hop + 1, hop)]
    factors, laps = [], _Laps()
    for _ in range(repeats):
        stream = enhancer.stream()
        for samples in hops[:_WARM_UP]:
            stream.feed(samples)
        stream.reset()
        start = time.process_time()
        for samples in hops:
            with laps:
                stream.feed(samples)
        busy = time.process_time() - start
        factors.append(busy * enhancer.sample_rate / (len(hops) * hop))
    return {"hop_factor": statistics.median(factors), "hop": laps.figures()}


def _measure_frames(enhancer, wav, repeats) -> dict:
    """Return the figures of the graph alone, without audio around it."""
    from edgebrain.onnx.streamers import BoundGraph
    from edgebrain.signal import magnitude, stft

    graph = BoundGraph(enhancer.runner)
    size = magnitude(stft(wav, enhancer.signal), enhancer.signal)
    step, laps = graph.features.shape[2], _Laps()
    for _ in range(repeats):
        graph.reset()
        for at in range(0, size.shape[1] - step + 1, step):
            graph.features[0] = size[:, at : at + step]
            with laps:
                graph.run()
    return laps.figures(step)


class _Laps:
    """Many short times, by the processor and by the clock.

    The clock also counts what others do on the machine meanwhile: a slice
    of the scheduler's, some ms, in the highest hundredth of a busy one.
    """

    def __init__(self) -> None:
        self.processor: list[float] = []
        self.clock: list[float] = []

    def __enter__(self) -> None:
        self._clock = time.perf_counter()
        self._processor = time.thread_time()

    def __exit__(self, *_) -> None:
        self.processor.append(time.thread_time() - self._processor)
        self.clock.append(time.perf_counter() - self._clock)

    def figures(self, frames: int = 1) -> dict:
        """Return seconds a frame: ``median``, ``high`` and ``clock_high``.

        The latter two are 99th percentiles.
        """
        median, high = np.percentile(self.processor, [50, 99]) / frames
        clock_high = np.percentile(self.clock, 99) / frames
        return {
            "median": float(median),
            "high": float(high),
            "clock_high": float(clock_high),
        }


def _import(form: str) -> None:
    """Import what the form needs: that memory is not the network's."""
    if form == "torch":
        from edgebrain.enhancement.forms import torch_runner
        import torch

        torch.set_num_threads(1)
        return torch_runner
    from edgebrain.onnx import runner

    return runner


def _processor_time(function, *arguments) -> float:
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def _start_of_memory() -> int:
    """Return the bytes resident now; the peak counts from here if it can.

    Only Linux can forget a peak, and not in every container: else it is
    that of the imports.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak_of_memory()


def _peak_of_memory() -> int:
    """Return the most bytes that were resident."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: a new process takes over that of its parent.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(sys.argv[1:])
