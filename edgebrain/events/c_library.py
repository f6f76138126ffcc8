"""The C form of a detector: samples in, scores out, as a device has them."""

from ctypes import c_uint32, c_void_p
from pathlib import Path

from edgebrain import shared_library
from edgebrain.events.base import Detector, DetectorStream
from edgebrain.events.patches import trim
from edgebrain.shared_library import to_int16
import numpy as np


class Library(shared_library.Library):
    """The library of a detector.

    Attributes
    ----------
    step : int
        Frames from one time of scores to the next.

    Raises
    ------
    UserError
        As of :class:`edgebrain.shared_library.Library`.
    """

    def __init__(self, path: Path | str) -> None:
        arguments = [*[c_void_p] * 4, c_uint32]
        super().__init__(path, {"detect_hops": (c_uint32, arguments)})
        self.step = self.description["step"]
        #: Hops that come before the one that completes a first frame.
        self.first_hop = self.description["first_hop"]


class HopStream:
    """One stream, as a device holds it."""

    def __init__(self, library: Library) -> None:
        self._library, self._hop = library, library.setup.signal.hop_length
        self._memory, self._state = library.memory()
        self._waiting = np.zeros(0, np.int16)

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Take samples (n,), return logits (k, classes) of that time."""
        new = np.concatenate([self._waiting, to_int16(samples)])
        hops = len(new) // self._hop
        self._waiting = new[hops * self._hop :]
        classes = len(self._library.setup.class_names)
        scores = np.empty((hops, classes), np.float32)
        times = np.empty(hops, np.uint32)
        addresses = (a.ctypes.data for a in (new, scores, times))
        count = self._library._detect_hops(self._state, *addresses, hops)
        return scores[:count]

    def reset(self) -> None:
        """Forget the stream so far."""
        self._library._reset(self._state)
        self._waiting = self._waiting[:0]


class LibraryDetector(Detector):
    """A C library behind the interface of every other form.

    Notes
    -----
    Samples are rounded to int16. Where the library scores more often than
    the patches of the network follow each other, so does :meth:`stream`.
    """

    def __init__(self, library: Library, source: Path | str) -> None:
        super().__init__(library, source)
        self.step = library.step

    def classify(self, wav: np.ndarray) -> np.ndarray:
        """Return the probabilities of the patches of a clip, as in training.

        Each patch is a stream of its own, from samples to scores.

        Arguments
        ---------
        wav : numpy.ndarray
            (samples,) at :attr:`sample_rate`.

        Returns
        -------
        numpy.ndarray
            (patches, classes).
        """
        wav = trim(wav, self.mel, self.patch)
        hop, stream = self.setup.signal.hop_length, HopStream(self.network)
        hops = self.network.first_hop + self.patch.patch_length
        last = self.mel.num_frames(len(wav)) - self.patch.patch_length
        rows = []
        for start in range(0, last + 1, self.patch.step):
            piece = wav[start * hop :][: hops * hop]
            # The last window may end within a hop.
            piece = np.pad(piece, (0, hops * hop - len(piece)))
            rows.append(stream.feed(piece)[:1])
            stream.reset()
        return self.from_logits(np.concatenate(rows))

    def stream(self) -> "LibraryStream":
        """Return a new stream; streams of one detector are independent."""
        return LibraryStream(self)


class LibraryStream(DetectorStream):
    """Rows of what a device computes."""

    def __init__(self, detector: LibraryDetector) -> None:
        self._stream = HopStream(detector.network)
        super().__init__(detector)

    def reset(self) -> None:
        """Forget the sound so far."""
        super().reset()
        self._stream.reset()

    def _next(self, samples: np.ndarray) -> np.ndarray:
        return self.detector.from_logits(self._stream.feed(samples))
