"""Training speed of the Brain against a plain loop, the floor.

Both train the same medium STFT-TCNN with the same loss on crops of the same
length. The plain loop loads ready pairs and does forward, loss, backward and
step; the Brain also mixes each item anew.
"""

from pathlib import Path
import statistics
import tempfile
import time

import common
from edgebrain.data.audio import read
from edgebrain.data.batching import train_loader_kwargs
from edgebrain.enhancement.brain import EnhancementBrain
from edgebrain.enhancement.losses import EnhancementLoss
from edgebrain.enhancement.networks import STFTTCNN
from edgebrain.signal import SignalSettings, magnitude, stft
from edgebrain.training.history import History, PatientEpochCounter
import speechbrain as sb
import torch
from torch.utils.data import DataLoader

BATCH = 4
WORKERS = 1
ROUNDS = 3


def _read_pairs(files):
    """Return noisy and clean of a batch of pairs, (batch, samples)."""
    sides = zip(*files, strict=True)
    return [torch.stack([torch.from_numpy(read(f)) for f in s]) for s in sides]


def _network():
    torch.manual_seed(0)
    return STFTTCNN(n_blocks=2, num_layers=3, tcn_latent_dim=512, causal=True)


class _Floor:
    """The plain loop."""

    def __init__(self, cache, settings):
        self.settings = settings
        self.model = _network()
        self.loss = EnhancementLoss("spec_mse", settings)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.loader = DataLoader(
            common.ready_pairs(cache),
            collate_fn=_read_pairs,
            batch_size=BATCH,
            shuffle=True,
            num_workers=WORKERS,
            persistent_workers=True,
        )

    def epoch(self) -> None:
        """Train over all pairs once."""
        for noisy, clean in self.loader:
            spec = stft(noisy, self.settings)
            mask = self.model(magnitude(spec, self.settings))
            lengths = torch.full((len(noisy),), noisy.shape[-1])
            target = stft(clean, self.settings)
            loss, _ = self.loss(mask * spec, target, None, clean, lengths)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()


class _Ours:
    """The Brain of the recipes, without validation."""

    def __init__(self, cache, settings, folder):
        history = History()
        self.data = common.training_set(cache)
        self.counter = PatientEpochCounter(0, history, "valid_loss", False)
        self.brain = EnhancementBrain(
            modules={"model": _network()},
            opt_class=lambda p: torch.optim.Adam(p, lr=1e-3),
            hparams={
                "signal": settings,
                "loss": EnhancementLoss("spec_mse", settings),
                "metrics": ["stoi"],
                "select_by": "loss",
                "seed": 0,
                "number_of_epochs": ROUNDS + 1,
                "epoch_counter": self.counter,
                "history": history,
                "output_folder": folder,
            },
            run_opts={"noprogressbar": True, "device": "cpu"},
        )
        self.loader = train_loader_kwargs(self.data, "crops", BATCH, 0, WORKERS)
        self.started = False

    def epoch(self) -> None:
        """Train over the set once, as Brain.fit does."""
        self.counter.limit += 1
        if not self.started:
            self.brain.fit(
                self.counter, self.data, train_loader_kwargs=self.loader
            )
            self.started = True
        else:
            self.brain._fit_train(
                self.brain.train_loader, next(self.counter), enable=False
            )


def run(cache) -> list[tuple[str, str]]:
    """Return rows for the floor, the Brain and their ratio."""
    settings = SignalSettings()
    sb.utils.seed.seed_everything(0)
    with tempfile.TemporaryDirectory() as folder:
        floor = _Floor(cache, settings)
        ours = _Ours(cache, settings, Path(folder))
        seconds = {"floor": [], "ours": []}
        floor.epoch(), ours.epoch()  # start workers, fill caches
        # In turns, so that both see the same machine.
        for _ in range(ROUNDS):
            for name, side in (("floor", floor), ("ours", ours)):
                start = time.perf_counter()
                side.epoch()
                seconds[name].append(time.perf_counter() - start)
    audio = len(ours.data) * common.CROP_SECONDS
    speed = {k: audio / statistics.median(v) for k, v in seconds.items()}
    what = f"medium STFT-TCNN, batch {BATCH} x {common.CROP_SECONDS:g} s"
    return [
        (f"training, {what}: plain loop", f"{speed['floor']:.1f} s of audio/s"),
        (f"training, {what}: train.py", f"{speed['ours']:.1f} s of audio/s"),
        ("plain loop / train.py", f"{speed['floor'] / speed['ours']:.3f}"),
    ]
