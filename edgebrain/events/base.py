"""Which sounds a recording holds, and when, by a network in any form."""

from collections.abc import Iterable
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
        return DetectorStream(self)

    def seconds(self, frames: int) -> float:
        """Return the length of frames from the first of one to the next."""
        return frames * self.setup.signal.hop_length / self.sample_rate


class DetectorStream:
    """Probabilities of sound that arrives in pieces.

    Arguments
    ---------
    detector : Detector
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        mel = detector.mel
        # dB below the loudest: of each patch, for a stream has no end.
        self._features = None if mel.to_db else StreamingLogMel(mel)
        self._steps = None
        if detector.form == "stream":
            self._steps = detector.network.runner.streamer()
        self.reset()

    def reset(self) -> None:
        """Forget the sound so far."""
        self._held = np.zeros((self.detector.mel.n_mels, 0), np.float32)
        self._samples = self._wav = np.zeros(0, np.float32)
        self._rows = 0
        # A stream form's first outputs have seen less than a window.
        detector = self.detector
        self._early = (detector.window - 1) // detector.step
        self._loudest = np.zeros(0, np.float32)
        for part in (self._features, self._steps):
            if part is not None:
                part.reset()

    def feed(self, samples: np.ndarray) -> np.ndarray:
        """Take samples (n,), return rows (k, classes) of whole windows."""
        samples = np.asarray(samples, np.float32)
        if self._steps is not None:
            return self._next_steps(self._features.feed(samples))
        patches = list(self._patches(samples))
        self._rows += len(patches)
        if not patches:
            return np.zeros((0, len(self.detector.class_names)))
        patches = np.stack(patches)
        rows = self.detector.probabilities(patches)
        return rows * self._sounds(patches.max((1, 2)))[:, None]

    def _sounds(self, loudest: np.ndarray) -> np.ndarray:
        """Return whether windows hold more than silence, by their maximum.

        Silence is cut out in training: what a network says of it is nothing.
        """
        mel = self.detector.mel
        return loudest > (np.log(2 * mel.log_offset) if not mel.to_db else -1)

    def _next_steps(self, frames: np.ndarray) -> np.ndarray:
        """Return the rows of the stream form that are due after new frames."""
        size = self.detector.step
        window = -(-self.detector.window // size)
        logits = self._steps(frames).T
        loudest = np.concatenate([self._loudest, frames.max(0)])
        whole = loudest[: len(loudest) // size * size].reshape(-1, size).max(1)
        self._loudest = loudest[max(0, len(whole) - window + 1) * size :]
        dropped = min(self._early, len(logits))
        self._early -= dropped
        rows = self.detector.from_logits(logits[dropped:])
        self._rows += len(rows)
        if not len(rows):
            return rows
        recent = np.lib.stride_tricks.sliding_window_view(whole, window)
        sounds = self._sounds(recent.max(1))[len(recent) - len(rows) :]
        return rows * sounds[:, None]

    def flush(self) -> np.ndarray:
        """End the sound; one that was shorter than a patch is repeated."""
        held, rows = self._samples, self._rows
        self.reset()
        if rows or not len(held) or self._steps is not None:
            return np.zeros((0, len(self.detector.class_names)))
        found = self.feed(np.resize(held, self.detector.latency_samples))
        self.reset()
        return found

    def timeline(self, rows: np.ndarray) -> Timeline:
        """Return rows of this stream, the first ones first, with their times.

        A row stands for the middle ``step`` of its window.
        """
        detector = self.detector
        step = detector.seconds(detector.step)
        # The first whole window of a stream ends with a step.
        end = -(-detector.window // detector.step) * detector.step
        late = 0 if self._steps is None else end - detector.window
        middle = detector.seconds(late) + detector.seconds(detector.window) / 2
        times = middle + step * np.arange(len(rows))
        return Timeline(times, rows, detector.class_names, step)

    def _patches(self, samples: np.ndarray):
        patch = self.detector.patch
        if not self._rows:
            # For flush, of a sound that is shorter than a patch.
            whole = np.concatenate([self._samples, samples])
            self._samples = whole[: self.detector.latency_samples]
        if self._features is None:
            yield from self._whole(samples)
            return
        frames = self._features.feed(samples)
        self._held = np.concatenate([self._held, frames], axis=1)
        while self._held.shape[1] >= patch.patch_length:
            yield self._held[:, : patch.patch_length]
            self._held = self._held[:, patch.step :]

    def _whole(self, samples: np.ndarray):
        """Yield the features of each patch by itself."""
        mel, patch = self.detector.mel, self.detector.patch
        width = mel.num_samples(patch.patch_length)
        hop = patch.step * mel.signal.hop_length
        self._wav = np.concatenate([self._wav, samples])
        while len(self._wav) >= width:
            yield log_mel(self._wav[:width], mel)[:, : patch.patch_length]
            self._wav = self._wav[hop:]
