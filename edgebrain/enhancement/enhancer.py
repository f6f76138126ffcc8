"""The audio around a network: a waveform in, a waveform out."""

import dataclasses
from pathlib import Path

from edgebrain.enhancement.forms.masker import StreamingMasker
from edgebrain.errors import UserError
from edgebrain.onnx.blocks import UNBOUNDED_CONTEXT
from edgebrain.runners import Form, Stream
from edgebrain.signal import SignalSettings, istft, magnitude, peak_gain, stft
from edgebrain.signal.streaming import checked_samples
import numpy as np


class Enhancer:
    """Any form of a trained network behind one interface.

    Made by :func:`edgebrain.enhancement.load_enhancer`. Signals in and out
    are at :attr:`sample_rate`.
    """

    def __init__(self, runner: Form, source: Path | str) -> None:
        self.runner = runner
        self.source = Path(source)
        self.form, self.precision = runner.form, runner.precision
        self.signal: SignalSettings = runner.setup.signal
        self.sample_rate = self.signal.sample_rate
        # A stream cannot know its peak, so the gain is applied around it.
        self._plain = dataclasses.replace(self.signal, peak_normalize=False)
        self._latency: int | None = None

    @property
    def latency_samples(self) -> int:
        """Delay of :meth:`stream` in samples at :attr:`sample_rate`.

        Of a form that works in blocks (patch, offline) a whole block of
        frames is part of it.
        """
        if self._latency is None:
            self._latency = self._masker().latency_samples
        return self._latency

    def enhance(self, wav: np.ndarray) -> np.ndarray:
        """Enhance a whole clip, floating point (n,), finite; return float32.

        The stream form goes frame by frame through the streaming STFT, the
        patch form in patches as a board runs it, others over the whole clip
        at once.
        """
        wav = checked(wav)
        if not len(wav):
            return wav
        gain = peak_gain(wav) if self.signal.peak_normalize else np.float32(1)
        wav = wav * gain
        if self.form == "stream":
            masker = self._masker()
            parts = [masker.feed(wav), masker.flush()]
            return np.concatenate(parts) / gain
        spec = stft(wav, self.signal)
        size = np.ascontiguousarray(magnitude(spec, self.signal), np.float32)
        mask = self.runner.run(size)
        return (istft(spec * mask, self.signal, len(wav)) / gain).astype(
            np.float32, copy=False
        )

    def stream(self, peak: float | None = None) -> Stream:
        """Return a new stream; streams of one enhancer are independent.

        ``peak``, the largest absolute sample of the signal, is needed for a
        network that was trained with ``peak_normalize``, and for no other.
        """
        gain = 1.0
        if self.signal.peak_normalize:
            if peak is None:
                raise UserError(
                    f"{self.source}: was trained with peak_normalize, and a "
                    "live signal does not know its peak; enhance whole files"
                )
            gain = float(peak_gain(np.array([peak], np.float64))[0])
        return self._masker(gain)

    def describe(self) -> str:
        """Return a line on what is run, for people."""
        rate, latency = self.sample_rate, self.latency_samples
        name = self.facts().get("model_class") or "network"
        line = (
            f"{self.source}: {name.rpartition('.')[2]}, {self.form} form, "
            f"{self.precision}, {rate} Hz, latency {latency} samples "
            f"({1000 * latency / rate:.1f} ms)"
        )
        if not self.exact_stream:
            line += (
                "; streams and files go in blocks that see "
                f"{UNBOUNDED_CONTEXT} frames around them, not the whole"
            )
        return line

    @property
    def exact_stream(self) -> bool:
        """Whether :meth:`stream` gives what :meth:`enhance` gives.

        Not where a network that remembers without bound exists only in a
        form without memory: then blocks see so much around them that the
        difference is small.
        """
        return self.runner.streamer().exact

    def facts(self) -> dict:
        """Return what identifies this form, for metrics.json."""
        return {
            "source": str(self.source),
            "form": self.form,
            "precision": self.precision,
            "latency_samples": self.latency_samples,
            "signal": self.signal.to_dict(),
            **self.runner.facts(),
        }

    def _masker(self, gain: float = 1.0) -> Stream:
        """Return a streaming masker with a state of its own."""
        return StreamingMasker(self._plain, self.runner.streamer(), gain)


def checked(wav: np.ndarray) -> np.ndarray:
    """Return float32 samples, all of them finite."""
    wav = checked_samples(wav)
    if not np.isfinite(wav).all():
        bad = int(np.flatnonzero(~np.isfinite(wav))[0])
        raise UserError(f"sample {bad} of the waveform is {wav[bad]}")
    return wav
