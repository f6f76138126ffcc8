"""A second task in one file: is the tone of a patch low or high?"""

from types import SimpleNamespace

from edgebrain import tasks
from edgebrain.data.randomness import SeededDataset, SharedEpoch, item_rng
from edgebrain.report.scores import ClipScores, summarise
from edgebrain.signal import magnitude, stft
from edgebrain.tasks import Interface, Port, Setup
from edgebrain.training.brain import EdgeBrain
import numpy as np
import speechbrain as sb
import torch
from torch import nn

CLASSES = ("low", "high")
FRAMES = 21


class ToyTask:
    """See :class:`edgebrain.tasks.Task`; what scoring forms asks is left."""

    name, baseline = "toy", "chance"
    metrics = {
        "accuracy": SimpleNamespace(
            name="accuracy",
            label="accuracy",
            unit="%",
            higher_is_better=True,
            format=".1f",
        )
    }

    def features(self, wav, setup):
        """Return the magnitude, (bins, frames) float32."""
        return magnitude(stft(wav, setup.signal), setup.signal).astype("f4")

    def interface(self, model, setup):
        """Return a window of magnitudes in and logits out."""
        return Interface(
            Port("magnitude", (setup.signal.bins, None)),
            Port("logits", (len(CLASSES),)),
            (FRAMES, FRAMES),
        )

    def result(self, features, output):
        """Return the logits."""
        return output


tasks.register(ToyTask())


class Net(nn.Module):
    """Magnitude (batch, bins, frames) -> logits (batch, classes)."""

    def __init__(self, bins, width):
        super().__init__()
        self.arguments = {"bins": bins, "width": width}
        self.conv = nn.Conv1d(bins, width, 3, padding=1)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(width, len(CLASSES))

    def config(self):
        """Return the arguments of the constructor."""
        return self.arguments

    def forward(self, x):
        """Return the logits of patches."""
        return self.head(self.dropout(self.conv(x).relu()).mean(-1))


class Accuracy:
    """See :class:`edgebrain.training.brain.Scorer`."""

    def __init__(self):
        self.ours = []

    def rows(self):
        """Return chance and ours."""
        chance = {"accuracy": 100 / len(CLASSES)}
        chance = [ClipScores(clip.id, chance) for clip in self.ours]
        return {"chance": chance, "ours": self.ours}

    def columns(self):
        """Return the means."""
        means = {k: summarise(v)["mean"] for k, v in self.rows().items()}
        return {
            "valid_accuracy": means["ours"]["accuracy"],
            "chance_accuracy": means["chance"]["accuracy"],
        }


class ToyBrain(EdgeBrain):
    """Cross-entropy on patches."""

    task = "toy"
    keys = EdgeBrain.keys | {"pitches": None}

    @classmethod
    def setup(cls, hparams):
        """Return signal and class names."""
        return Setup("toy", hparams["signal"], class_names=CLASSES)

    def compute_forward(self, batch, stage):
        """Return logits (batch, classes)."""
        wav = batch.to(self.device).sig.data
        signal = self.hparams.signal
        return self.modules["model"](magnitude(stft(wav, signal), signal))

    def compute_objectives(self, predictions, batch, stage):
        """Return the loss; outside training count what is right."""
        label = batch.label.data[:, 0]
        if stage != sb.Stage.TRAIN:
            right = (predictions.argmax(1) == label).tolist()
            self.scorer.ours += [
                ClipScores(name, {"accuracy": 100.0 * good})
                for name, good in zip(batch.id, right, strict=True)
            ]
        return self.hparams.loss(predictions, label)

    def make_scorer(self, stage):
        """Return an empty one."""
        return Accuracy()


def dataset(split, count, hparams):
    """Return tones that are drawn anew in every epoch of the training."""
    epoch, seed = SharedEpoch(), hparams["seed"]
    samples = (FRAMES - 1) * hparams["signal"].hop_length

    def make(name):
        rng = item_rng(seed, epoch.value, name)
        label = int(name.split("-")[1]) % 2
        pitch = hparams["pitches"][label] * rng.uniform(0.8, 1.25)
        wav = np.sin(np.arange(samples) * 2 * np.pi * pitch / 16000)
        wav += rng.normal(0, 0.5, samples)
        return torch.tensor(wav, dtype=torch.float32), torch.tensor([label])

    data = {f"{split}-{n}": {"duration": 1.0} for n in range(count)}
    make = {"func": make, "takes": ["id"], "provides": ["sig", "label"]}
    keys = ("id", "sig", "label")
    return SeededDataset(data, [make], keys, epoch, split != "train")
