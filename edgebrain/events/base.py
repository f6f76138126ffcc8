"""Which sounds a recording holds, and when, by a network in any form."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from edgebrain.events.patches import clip_patches, settings_of, unknown_below
from edgebrain.events.timeline import (
    DEFAULT_RULES,
    Event,
    EventRules,
    Timeline,
)
from edgebrain.signal.mel import StreamingLogMel, log_mel
from edgebrain.tasks import Setup
import numpy as np


class Detector:
    """Which sounds a recording holds, and when.

    Made by :func:`.detector.load_detector`.

    Arguments
    ---------
    network : TorchForm or OnnxForm
    source : Path or str
        Where it was loaded from.

    Attributes
    ----------
    setup : edgebrain.tasks.Setup
    class_names : tuple of str
    sample_rate : int
    form, precision : str
    """

    def __init__(self, network, source: Path | str) -> None:
        self.network, self.source = network, Path(source)
        self.setup: Setup = network.setup
        self.form, self.precision = network.form, network.precision
        self.class_names = self.setup.class_names
        self.sample_rate = self.setup.signal.sample_rate
        self.mel, self.patch = settings_of(self.setup)
        self.multi_label = bool(self.setup.features["multi_label"])
        #: Probability below which a sound is unknown; 0: none was chosen.
        self.unknown_below = unknown_below(self.setup.features)
        #: Of events where none are given: they start where training chose.
        self.rules = DEFAULT_RULES
        if self.unknown_below:
            on = max(self.unknown_below, DEFAULT_RULES.off)
            self.rules = replace(DEFAULT_RULES, on=on)
        #: Frames that a row of a timeline is made of, and from one to the next.
        self.window = self.patch.patch_length
        self.step = self.patch.step
        if self.form == "stream":
            card = network.runner.metadata
            self.window = card.receptive_field_frames
            self.step = network.runner.frames

    @property
    def latency_samples(self) -> int:
        """Samples from the first of a window to its scores."""
        return self.mel.num_samples(self.window)

    def describe(self) -> str:
        """Return a line for people."""
        return (
            f"{self.source}: {self.form} {self.precision}, "
            f"{len(self.class_names)} classes, a score each "
            f"{self.seconds(self.step):.2f} s"
        )

    def facts(self) -> dict:
        """Return what identifies this form, for metrics.json."""
        return {
            "source": str(self.source),
            "form": self.form,
            "precision": self.precision,
            "latency_samples": self.latency_samples,
            **self.network.facts(),
        }

    def probabilities(self, patches: np.ndarray) -> np.ndarray:
        """Return (n, classes) for log-mel patches (n, mels, frames)."""
        return self.from_logits(
            self.network(np.ascontiguousarray(patches, np.float32))
        )

    def from_logits(self, logits: np.ndarray) -> np.ndarray:
        """Return the probabilities of logits, both (n, classes)."""
        if not len(logits):
            return logits
        if self.multi_label:
            return 1.0 / (1.0 + np.exp(-logits))
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        return shifted / shifted.sum(1, keepdims=True)

    def classify(self, wav: np.ndarray) -> np.ndarray:
        """Return the probabilities of the patches of a clip, as in training.

        Silence is cut out; the mean over the patches is that of the clip.

        Arguments
        ---------
        wav : numpy.ndarray
            (samples,) at :attr:`sample_rate`.

        Returns
        -------
        numpy.ndarray
            (patches, classes).
        """
        return self.probabilities(clip_patches(wav, self.mel, self.patch))

    def detect(
        self, wav: np.ndarray, rules: EventRules = DEFAULT_RULES
    ) -> list[Event]:
        """Return the events of a recording.

        Arguments
        ---------
        wav : numpy.ndarray
            (samples,) at :attr:`sample_rate`.
        rules : EventRules
        """
        return self.timeline([wav]).events(rules)

    def timeline(self, blocks: Iterable[np.ndarray]) -> Timeline:
        """Return the probabilities over time of a recording in pieces.

        Arguments
        ---------
        blocks : iterable of numpy.ndarray
            Consecutive samples (n,); only the probabilities are kept.
        """
        stream = self.stream()
        rows = [stream.feed(block) for block in blocks]
        rows.append(stream.flush())
        return stream.timeline(np.concatenate(rows))

    def stream(self) -> "DetectorStream":
        """Return a new stream; streams of one detector are independent."""
        kind = StepStream if self.form == "stream" else PatchStream
        return kind(self)

    def seconds(self, frames: int) -> float:
        """Return the length of frames from the first of one to the next."""
        return frames * self.setup.signal.hop_length / self.sample_rate


class DetectorStream:
    """Probabilities of sound that arrives in pieces.

    A subclass has :meth:`_next` and begins anew in :meth:`reset`.

    Arguments
    ---------
    detector : Detector
    """

    #: Frames that are dropped in front of the first window.
    late = 0

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.reset()

    def _next(self, samples: np.ndarray) -> np.ndarray:
        """Return the rows (k, classes) that are due after new samples."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget the sound so far."""
        self._first, self._rows = np.zeros(0, np.float32), 0

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Take samples (n,), return rows (k, classes) of whole windows."""
        samples = np.asarray(samples, np.float32)
        if not self._rows:
            # For flush, of a sound that is shorter than a window.
            whole = np.concatenate([self._first, samples])
            self._first = whole[: self.detector.latency_samples]
        rows = self._next(samples)
        self._rows += len(rows)
        return rows

    def flush(self) -> np.ndarray:
        """End the sound; one that was shorter than a window is repeated."""
        detector, held, rows = self.detector, self._first, self._rows
        self.reset()
        if rows or not len(held):
            return np.zeros((0, len(detector.class_names)))
        # A step more: not every form scores where a window ends.
        frames = detector.window + detector.step
        found = self._next(np.resize(held, detector.mel.num_samples(frames)))
        self.reset()
        return found[:1]

    def timeline(self, rows: np.ndarray) -> Timeline:
        """Return rows of this stream, the first ones first, with their times.

        A row stands for the middle ``step`` of its window.
        """
        detector = self.detector
        step = detector.seconds(detector.step)
        middle = self.late + detector.window / 2
        middle *= detector.setup.signal.hop_length / detector.sample_rate
        times = middle + step * np.arange(len(rows))
        return Timeline(times, rows, detector.class_names, step)

    def _sounding(self, rows: np.ndarray, loudest: np.ndarray) -> np.ndarray:
        """Return rows, those of windows of silence zero, by their maxima.

        Silence is cut out in training: what a network says of it is nothing.
        """
        mel = self.detector.mel
        least = -1 if mel.to_db else np.log(2 * mel.log_offset)
        return rows * (loudest > least)[:, None]


class PatchStream(DetectorStream):
    """Rows of a network that is shown whole patches."""

    def reset(self) -> None:
        """Forget the sound so far."""
        super().reset()
        mel = self.detector.mel
        # dB below the loudest: of each patch, for a stream has no end.
        self._features = None if mel.to_db else StreamingLogMel(mel)
        self._frames = np.zeros((mel.n_mels, 0), np.float32)
        self._wav = np.zeros(0, np.float32)

    def _next(self, samples: np.ndarray) -> np.ndarray:
        patches = list(self._patches(samples))
        if not patches:
            return np.zeros((0, len(self.detector.class_names)))
        patches = np.stack(patches)
        rows = self.detector.probabilities(patches)
        return self._sounding(rows, patches.max((1, 2)))

    def _patches(self, samples: np.ndarray) -> Iterator[np.ndarray]:
        mel, patch = self.detector.mel, self.detector.patch
        if self._features is not None:
            new = self._features.feed(samples)
            self._frames = np.concatenate([self._frames, new], axis=1)
            while self._frames.shape[1] >= patch.patch_length:
                yield self._frames[:, : patch.patch_length]
                self._frames = self._frames[:, patch.step :]
            return
        width = mel.num_samples(patch.patch_length)
        self._wav = np.concatenate([self._wav, samples])
        while len(self._wav) >= width:
            yield log_mel(self._wav[:width], mel)[:, : patch.patch_length]
            self._wav = self._wav[patch.step * mel.signal.hop_length :]


class StepStream(DetectorStream):
    """Rows of the stream form, which is shown each frame once."""

    def __init__(self, detector: Detector) -> None:
        step = detector.step
        #: Steps of a window; the first whole one ends with a step.
        self._steps = -(-detector.window // step)
        self.late = self._steps * step - detector.window
        self._features = StreamingLogMel(detector.mel)
        self._network = detector.network.runner.streamer()
        super().__init__(detector)

    def reset(self) -> None:
        """Forget the sound so far."""
        super().reset()
        self._features.reset()
        self._network.reset()
        # The first outputs have seen less than a window.
        self._early = self._steps - 1
        self._loudest = np.zeros(0, np.float32)

    def _next(self, samples: np.ndarray) -> np.ndarray:
        frames = self._features.feed(samples)
        logits, size = self._network(frames).T, self.detector.step
        loudest = np.concatenate([self._loudest, frames.max(0)])
        whole = loudest[: len(loudest) // size * size].reshape(-1, size).max(1)
        self._loudest = loudest[max(0, len(whole) - self._steps + 1) * size :]
        dropped = min(self._early, len(logits))
        self._early -= dropped
        rows = self.detector.from_logits(logits[dropped:])
        if not len(rows):
            return rows
        recent = np.lib.stride_tricks.sliding_window_view(whole, self._steps)
        return self._sounding(rows, recent.max(1)[-len(rows) :])
