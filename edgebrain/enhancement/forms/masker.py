"""A mask over a signal that arrives in pieces, in numpy.

Nothing here imports torch.
"""

from edgebrain.runners import Streamer
from edgebrain.signal.settings import SignalSettings
from edgebrain.signal.streaming import (
    BLOCK_FRAMES,
    StreamingISTFT,
    StreamingSTFT,
    checked_samples,
)
from edgebrain.signal.transform import magnitude
import numpy as np


class StreamingMasker:
    """A mask over a signal that arrives in pieces.

    The streamer takes magnitudes raised to ``settings.power`` and returns
    real masks, both (bins, frames). The gain is applied before and taken back
    after.
    """

    def __init__(
        self, settings: SignalSettings, streamer: Streamer, gain: float = 1.0
    ) -> None:
        self.settings, self._gain = settings, np.float32(gain)
        self.streamer = streamer
        self.lookahead_frames = streamer.lookahead_frames
        self._analysis = StreamingSTFT(settings)
        self._synthesis = StreamingISTFT(settings)
        self._waiting = np.zeros((settings.bins, 0), np.complex64)

    @property
    def latency_samples(self) -> int:
        """Delay in samples: win_length + lookahead_frames * hop_length.

        Sample n of the output has been returned once n + latency_samples
        samples have been fed, whatever the sizes of the feeds, and one
        sample of every hop not before. Centred or not makes no difference.
        """
        ahead = self.lookahead_frames * self.settings.hop_length
        return self.settings.latency_samples + ahead

    def reset(self) -> None:
        """Forget the signal so far."""
        self._analysis.reset()
        self._synthesis.reset()
        self._waiting = self._waiting[:, :0]
        self.streamer.reset()

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Take samples (n,), n from 0, and return those done, float32 (m,)."""
        samples = checked_samples(samples) * self._gain
        block = BLOCK_FRAMES * self.settings.hop_length
        done = [np.zeros(0, np.float32)]
        for start in range(0, len(samples), block):
            spec = self._analysis.feed(samples[start : start + block])
            done.append(self._synthesis.feed(self._masked(spec)))
        return np.concatenate(done) / self._gain

    def flush(self) -> np.ndarray:
        """End the signal; return the rest, so as many samples as were fed.

        Then this object is as new.
        """
        length, rest = self._analysis.samples, np.zeros(0, np.float32)
        if length:
            last = self._masked(self._analysis.flush())
            if self._waiting.shape[1]:
                last = np.concatenate([last, self._drained()], 1)
            rest = self._synthesis.flush(last, length) / self._gain
        self.reset()
        return rest

    def _masked(self, spec: np.ndarray) -> np.ndarray:
        """Return the spectra whose mask is there; the others wait."""
        if not spec.shape[1]:
            return spec
        features = magnitude(spec, self.settings)
        mask = self.streamer(np.ascontiguousarray(features, np.float32))
        spec = np.concatenate([self._waiting, spec], 1)
        ready = mask.shape[1]
        self._waiting = spec[:, ready:]
        return mask * spec[:, :ready]

    def _drained(self) -> np.ndarray:
        """Return the masked spectra of all frames that still wait."""
        mask = self.streamer.flush()
        return mask[:, : self._waiting.shape[1]] * self._waiting
