"""STFT and inverse of a signal that arrives in pieces, in numpy.

Frames lie on the grid of the offline form: frame t covers samples
t * hop - offset to t * hop - offset + win_length - 1, where offset is half a
window if centred, else 0. A frame is transformed left-aligned (window first,
then zeros up to n_fft), as a device does it: its magnitude is the offline
one, its phase differs by a constant delay, which the inverse takes back. Under
any real mask the output equals the offline one to float32 rounding.

Nothing here imports torch.
"""

from edgebrain.errors import UserError
from edgebrain.signal.settings import SignalSettings
from edgebrain.signal.transform import analysis_window
from edgebrain.signal.windows import EDGE_FLOOR, split_hops
import numpy as np

# Long feeds are worked through in blocks of so many hops, which bounds the
# memory whatever is fed at once.
BLOCK_FRAMES = 32


class StreamingSTFT:
    """Spectra of left-aligned frames, as soon as their samples are there.

    ``power`` and ``peak_normalize`` of the settings play no part here.
    """

    def __init__(self, settings: SignalSettings) -> None:
        self.settings = settings
        win, hop = settings.win_length, settings.hop_length
        self._window = analysis_window(settings).astype(np.float32)
        self._buffer = np.zeros(win + BLOCK_FRAMES * hop, np.float32)
        self._padded = np.zeros((BLOCK_FRAMES + 1, settings.n_fft), np.float32)
        self._views = np.lib.stride_tricks.sliding_window_view(
            self._buffer, win
        )[::hop]
        self.reset()

    def reset(self) -> None:
        """Forget the signal so far."""
        self._held = self.settings.offset
        self._buffer[: self._held] = 0.0
        self.samples = 0
        self.frames = 0

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Take real samples (n,), n from 0; return the spectra they complete.

        complex64, (bins, frames), frames from 0.
        """
        samples = checked_samples(samples)
        self.samples += len(samples)
        blocks = []
        while len(samples):
            room = min(len(samples), len(self._buffer) - self._held)
            self._buffer[self._held : self._held + room] = samples[:room]
            self._held += room
            samples = samples[room:]
            blocks.append(self._transform())
        if not blocks:
            return np.zeros((self.settings.bins, 0), np.complex64)
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, 1)

    def flush(self) -> np.ndarray:
        """End the signal and return its last spectra, (bins, frames).

        The end is zero-padded, so that in all num_frames(samples) frames
        were returned. Then this object is as new.
        """
        settings = self.settings
        missing = settings.num_frames(self.samples) - self.frames
        end = self.frames + missing - 1
        covered = self.samples + settings.offset
        zeros = end * settings.hop_length + settings.win_length - covered
        last = self.feed(np.zeros(zeros if missing else 0, np.float32))
        self.reset()
        return last

    def _transform(self) -> np.ndarray:
        """Return spectra of all whole frames held, and drop what is done."""
        win, hop = self.settings.win_length, self.settings.hop_length
        count = max(0, (self._held - win) // hop + 1)
        frames = self._padded[:count]
        np.multiply(self._views[:count], self._window, out=frames[:, :win])
        done = count * hop
        self._buffer[: self._held - done] = self._buffer[done : self._held]
        self._held -= done
        self.frames += count
        if not count:
            return np.zeros((self.settings.bins, 0), np.complex64)
        return np.fft.rfft(frames).T.astype(np.complex64, copy=False)


class StreamingISTFT:
    """Samples from the spectra of left-aligned frames.

    Every hop of output is divided by the sum of the squared windows over it,
    one gain for each phase of the hop; the first and last hops, which fewer
    frames cover, have their own. See :func:`edgebrain.signal.istft` for the
    floor of these sums.
    """

    def __init__(self, settings: SignalSettings) -> None:
        self.settings = settings
        window = analysis_window(settings)
        self._window = window.astype(np.float32)
        self._squared = split_hops(window, settings.hop_length)
        self._floor = EDGE_FLOOR * self._squared.sum(0).min()
        # Row t: the gains of the hop that frame t completes; the last row
        # serves all later frames.
        self._gains = self._gain(self._squared.cumsum(0))
        self._sum = np.zeros(
            len(self._squared) * settings.hop_length, np.float32
        )
        self.reset()

    def reset(self) -> None:
        """Forget the signal so far."""
        self._sum[:] = 0.0
        self.frames = 0
        self.samples = 0

    def feed(self, spec: np.ndarray) -> np.ndarray:
        """Take left-aligned spectra (bins, frames), return samples done.

        float32, (samples,): a hop for each frame, less the samples before the
        start of a centred signal.
        """
        settings = self.settings
        hop, win = settings.hop_length, settings.win_length
        count = spec.shape[1]
        out = np.empty((count, hop), np.float32)
        if count:
            waves = np.fft.irfft(spec.T, settings.n_fft)[:, :win]
            waves = waves * self._window
        total = self._sum
        for index in range(count):
            total[:win] += waves[index]
            row = min(self.frames, len(self._gains) - 1)
            np.multiply(total[:hop], self._gains[row], out=out[index])
            total[:-hop] = total[hop:]
            total[-hop:] = 0.0
            self.frames += 1
        # Samples before the first are padding.
        begin = (self.frames - count) * hop - settings.offset
        out = out.reshape(-1)[max(0, -begin) :]
        self.samples += len(out)
        return out

    def flush(self, spec: np.ndarray, length: int) -> np.ndarray:
        """Take the last spectra and return the rest of the signal.

        ``spec`` is what :meth:`StreamingSTFT.flush` gives; in all ``length``
        samples were returned. Then this object is as new.
        """
        settings = self.settings
        before = self.samples
        out = self.feed(spec)
        frames = settings.num_frames(length)
        # What the last frames leave behind the last whole hop.
        squared = self._squared
        sums = [
            squared[hop : hop + frames].sum(0) for hop in range(1, len(squared))
        ]
        gains = self._gain(np.reshape(sums, -1))
        rest = self._sum[: len(gains)] * gains
        padding = max(0, settings.offset - frames * settings.hop_length)
        rest = rest[padding:]
        self.reset()
        return np.concatenate([out, rest])[: length - before]

    def _gain(self, sums: np.ndarray) -> np.ndarray:
        """Return the float32 gains for sums of squared windows."""
        return (1.0 / np.maximum(sums, self._floor)).astype(np.float32)


def checked_samples(samples: np.ndarray) -> np.ndarray:
    """Return samples as float32 after a look at their shape and type."""
    samples = np.asarray(samples)
    if samples.ndim != 1 or samples.dtype.kind != "f":
        raise UserError(
            f"samples of shape {samples.shape} and type {samples.dtype}: want "
            "a 1-D array of real floating point; divide integers by their "
            "full scale first"
        )
    return samples.astype(np.float32, copy=False)
