"""A mask over a signal that arrives in pieces, in numpy.

Nothing here imports torch.
"""

from edgebrain.errors import UserError
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

    Arguments
    ---------
    streamer : edgebrain.runners.Streamer
        Takes magnitudes raised to ``settings.power`` and returns real masks,
        both (bins, frames).
    """

    def __init__(self, settings: SignalSettings, streamer: Streamer) -> None:
        if settings.peak_normalize:
            raise UserError(
                "peak_normalize: a stream does not know its peak; train "
                "with peak_normalize false, or enhance whole files"
            )
        self.settings = settings
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
        """Take samples and return those that are done.

        Arguments
        ---------
        samples : numpy.ndarray
            Real floating point, shape (n,), n from 0.

        Returns
        -------
        numpy.ndarray
            float32, shape (m,); m may be 0.
        """
        samples = checked_samples(samples)
        block = BLOCK_FRAMES * self.settings.hop_length
        done = []
        for start in range(0, len(samples), block):
            spec = self._analysis.feed(samples[start : start + block])
            done.append(self._synthesis.feed(self._masked(spec)))
        if not done:
            return np.zeros(0, np.float32)
        return done[0] if len(done) == 1 else np.concatenate(done)

    def flush(self) -> np.ndarray:
        """End the signal and return the rest: as many samples as were fed.

        Then this object is as new.

        Returns
        -------
        numpy.ndarray
            float32, shape (m,).
        """
        length = self._analysis.samples
        if not length:
            self.reset()
            return np.zeros(0, np.float32)
        last = self._masked(self._analysis.flush())
        if self._waiting.shape[1]:
            last = np.concatenate([last, self._drained()], 1)
        rest = self._synthesis.flush(last, length)
        self.reset()
        return rest

    def _masked(self, spec: np.ndarray) -> np.ndarray:
        """Return the spectra whose mask is there; the others wait."""
        if not spec.shape[1]:
            return spec
        size = magnitude(spec, self.settings)
        mask = self._checked_mask(
            self.streamer(np.ascontiguousarray(size, np.float32))
        )
        if self._waiting.shape[1]:
            spec = np.concatenate([self._waiting, spec], 1)
        ready = mask.shape[1]
        waiting = spec.shape[1] - ready
        if not 0 <= waiting <= self.lookahead_frames:
            raise UserError(
                f"the network gave {ready} masks while {spec.shape[1]} frames "
                f"waited: with lookahead_frames {self.lookahead_frames} it "
                "may owe no more than so many, and no fewer than 0"
            )
        self._waiting = spec[:, ready:]
        return mask * spec[:, :ready]

    def _drained(self) -> np.ndarray:
        """Return the masked spectra of all frames that still wait."""
        mask = self._checked_mask(self.streamer.flush())
        owed = self._waiting.shape[1]
        if mask.shape[1] < owed:
            raise UserError(
                f"the network gave {mask.shape[1]} masks at the end of the "
                f"signal but owed {owed}"
            )
        return mask[:, :owed] * self._waiting

    def _checked_mask(self, mask: np.ndarray) -> np.ndarray:
        """Return a mask as float32 after a look at its shape."""
        mask = np.asarray(mask)
        if mask.ndim != 2 or mask.shape[0] != self.settings.bins:
            raise UserError(
                f"the network gave a mask of shape {mask.shape}, expected "
                f"({self.settings.bins}, frames)"
            )
        if np.iscomplexobj(mask):
            raise UserError(
                "the network gave a complex mask, expected a real one"
            )
        return mask.astype(np.float32, copy=False)
