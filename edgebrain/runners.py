"""What every form of a trained network offers, whatever computes it.

PyTorch, ONNX files and tables for another runtime are each a
:class:`Runner`: features in, outputs out. A C library takes samples, for its
signal path is part of what ships: it is a :class:`Form` with a
:class:`Stream` of its own.
"""

from typing import Any, Protocol

from edgebrain.tasks import Setup
import numpy as np


class Form(Protocol):
    """A trained network in one form.

    Attributes
    ----------
    form : str
        ``torch``, ``offline``, ``patch``, ``stream`` or ``c``.
    setup : Setup
        Task, signal and features that it was trained with.
    """

    form: str
    precision: str
    setup: Setup

    def facts(self) -> dict[str, Any]:
        """Return what tells it from others, for metrics.json."""


class Streamer(Protocol):
    """Outputs for features that arrive in pieces.

    Attributes
    ----------
    lookahead_frames : int
        Most frames whose output is owed after a call.
    exact : bool
        Whether the outputs are those of the whole clip. Not where a network
        that remembers without bound is run in blocks.
    """

    lookahead_frames: int
    exact: bool

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Take the next frames, return the next outputs, both float32.

        (channels, k), k from 1, give (outputs, j), j from 0: of a network
        that looks ahead or works in patches fewer at first, the rest later.
        """

    def flush(self) -> np.ndarray:
        """End the stream: return the outputs still owed, and be as new."""

    def reset(self) -> None:
        """Forget the stream so far."""


class Runner(Form, Protocol):
    """A form that takes features."""

    def run(self, features: np.ndarray) -> np.ndarray:
        """Return the outputs for a whole clip, both float32.

        (channels, frames) give (outputs, frames), or (classes, windows) of a
        network that judges windows.
        """

    def streamer(self) -> Streamer:
        """Return a streamer with a memory of its own."""


class Stream(Protocol):
    """Samples in, samples out, while a signal arrives."""

    @property
    def latency_samples(self) -> int:
        """Sample n has come out once n + latency_samples went in."""

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Take samples (n,), n from 0, and return those done, (m,)."""

    def flush(self) -> np.ndarray:
        """End the signal: as many samples came out as went in."""

    def reset(self) -> None:
        """Forget the signal so far."""
