"""The C form of a network: a shared library made by deploy/c_engine.py.

Samples go in and out as int16, hop by hop, and are what a device computes,
bit for bit.
"""

from ctypes import c_uint32, c_void_p
from pathlib import Path

from edgebrain import shared_library
from edgebrain.enhancement.enhancer import Enhancer, checked
from edgebrain.shared_library import to_int16
import numpy as np

_FULL_SCALE = 32768.0


class Library(shared_library.Library):
    """The library of an enhancer."""

    def __init__(self, path: Path | str) -> None:
        pointers, counts = [c_void_p] * 3, [c_uint32] * 2
        super().__init__(path, {"process_hops": (None, pointers + counts)})
        self.delay = self.description["delay"]


class LibraryEnhancer(Enhancer):
    """A C library behind the interface of every other form.

    Notes
    -----
    Samples are rounded to int16 on the way in, so what lies outside -1 to 1
    is cut off, and an int16 recording passes as it is.
    """

    @property
    def latency_samples(self) -> int:
        """Delay of :meth:`stream` in samples."""
        return self.runner.delay + self.signal.hop_length

    @property
    def exact_stream(self) -> bool:
        """True: a clip is enhanced as a stream."""
        return True

    def _masker(self, gain: float = 1.0) -> "LibraryStream":
        return LibraryStream(self.runner)

    def enhance(self, wav: np.ndarray) -> np.ndarray:
        """Enhance a whole clip, see :meth:`.Enhancer.enhance`."""
        stream = self.stream()
        return np.concatenate([stream.feed(checked(wav)), stream.flush()])


class LibraryStream:
    """Any number of samples in, those done out: a :class:`.runners.Stream`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._memory, self._state = library.memory()
        self._hop = library.setup.signal.hop_length
        self._delay = library.delay
        self.latency_samples = self._delay + self._hop
        self._begin()

    def reset(self) -> None:
        """Forget the signal so far."""
        self._library._reset(self._state)
        self._begin()

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Take samples (n,), n from 0, and return those done, (m,)."""
        self._owed += len(samples)
        done = self._run(samples)
        self._owed -= len(done)
        return done

    def flush(self) -> np.ndarray:
        """End the signal: as many samples came out as went in."""
        owed = self._owed
        zeros = np.zeros(owed and owed + self.latency_samples, np.float32)
        rest = self._run(zeros)[:owed]
        self.reset()
        return rest

    def process(self, samples: np.ndarray) -> np.ndarray:
        """Return as many samples as a device does, int16; whole hops only."""
        out = np.empty_like(samples)
        addresses = (array.ctypes.data for array in (samples, out))
        hops = len(samples) // self._hop
        self._library._process_hops(self._state, *addresses, hops, self._hop)
        return out

    def _begin(self) -> None:
        self._waiting = np.zeros(0, np.int16)
        self._early, self._owed = self._delay, 0

    def _run(self, samples: np.ndarray) -> np.ndarray:
        new = np.concatenate([self._waiting, to_int16(samples)])
        whole = len(new) // self._hop * self._hop
        self._waiting = new[whole:]
        out = self.process(new[:whole])
        skipped = min(self._early, len(out))
        self._early -= skipped
        return out[skipped:].astype(np.float32) / np.float32(_FULL_SCALE)
