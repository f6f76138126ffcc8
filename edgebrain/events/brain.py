"""The Brain of every event detection recipe: patches to class logits."""

import json
from pathlib import Path

from edgebrain import tasks
from edgebrain.errors import UserError
from edgebrain.events.dataset import PatchBatch
from edgebrain.events.metrics import (
    MULTI_LABEL,
    SINGLE_LABEL,
    UNKNOWN,
    score,
)
from edgebrain.events.networks.yamnet_weights import fetch_yamnet
from edgebrain.events.patches import unknown_below
from edgebrain.events.recipe import KEYS, NONE, YAMNET, list_data
from edgebrain.events.results import write_results
from edgebrain.events.scoring import Scorer
from edgebrain.events.start import equalize, fit_head, load_pretrained
from edgebrain.models.complexity import window_table
from edgebrain.models.verify import check_output
from edgebrain.tasks import CHOSEN, Setup
from edgebrain.training.brain import EdgeBrain
import speechbrain as sb
import torch


class EventBrain(EdgeBrain):
    """Train, select and test an event network.

    ``modules`` holds ``model``: log-mel patches (batch, mels, frames) ->
    logits (batch, classes). ``hparams`` holds, besides what
    :class:`~edgebrain.training.brain.EdgeBrain` needs, ``mel``
    (MelSettings), ``patch`` (PatchSettings), ``loss`` (EventLoss); and the
    keys of :data:`edgebrain.events.recipe.KEYS`.
    """

    task = "events"
    keys = EdgeBrain.keys | KEYS
    #: A recipe's own way to list its clips, see :func:`.recipe.list_data`.
    find_clips = None

    @classmethod
    def setup(cls, hparams) -> Setup:
        """List the clips, give the network their classes; say what it needs.

        Google's weights are fetched here, before any long work.
        """
        begun = any(Path(hparams["save_folder"]).glob("CKPT*"))
        if hparams.get("pretrained") == YAMNET and not begun:
            hparams["pretrained"] = fetch_yamnet(hparams["cache_folder"])
        listing = hparams["listing"] = list_data(hparams, cls.find_clips)
        model = hparams["modules"]["model"]
        count = len(listing.class_names)
        if hasattr(model, "set_classes"):
            model.set_classes(count)
        elif getattr(model, "n_classes", count) != count:
            raise UserError(
                f"{type(model).__name__}: n_classes {model.n_classes}, the "
                f"data have {count}: {', '.join(listing.class_names)}"
            )
        if hparams.get("false_alarm_rate") is not None and not listing.unknown:
            raise UserError(
                "false_alarm_rate: needs unknown_classes, on some of whose "
                "clips a threshold is chosen"
            )
        if hparams.get("equalize") and not (
            hasattr(model, "equalize") and hparams.get("freeze_norm")
        ):
            raise UserError(
                "equalize: needs freeze_norm: True, and a SeparableNet or a "
                "YAMNet"
            )
        loss = hparams["loss"]
        if loss.multi_label != hparams.get("multi_label", False):
            raise UserError("loss: multi_label must be that of the yaml")
        there = MULTI_LABEL if loss.multi_label else SINGLE_LABEL
        there = (*there, *(UNKNOWN if listing.unknown else ()))
        if wrong := [n for n in hparams["metrics"] if n not in there]:
            raise UserError(
                f"metrics: no {', '.join(wrong)} with multi_label: "
                f"{loss.multi_label} and unknown_classes: "
                f"{hparams.get('unknown_classes')}; there is "
                f"{', '.join(there)}; set metrics and select_by"
            )
        labels = [label for c in listing.clips for label in c.labels]
        counts = [labels.count(name) for name in listing.class_names]
        loss.prepare(torch.tensor(counts, dtype=torch.float32))
        return event_setup(
            hparams["mel"],
            hparams["patch"],
            listing.class_names,
            loss.multi_label,
        )

    @classmethod
    def check_model(cls, model, setup) -> str:
        """Refuse what gives no logits of a patch; return what it costs."""
        interface = tasks.find(cls.task).interface(model, setup)
        mels, (frames, _) = interface.input.shape[0], interface.window
        built = [getattr(model, n, None) for n in ("mels", "patch_frames")]
        if None not in built and built != [mels, frames]:
            raise UserError(
                f"{type(model).__name__} is built for patches of {built[0]} "
                f"mels x {built[1]} frames, the yaml gives {mels} x {frames}: "
                "change one of them"
            )
        check_output(model, interface)
        return window_table(model, interface)

    def on_fit_start(self):
        """Take pretrained weights, freeze, fit the head; then resume."""
        model = self.raw_model
        fresh = self.checkpointer.find_checkpoint() is None
        source = getattr(self.hparams, "pretrained", None)
        if source not in (None, NONE) and fresh:
            load_pretrained(model, source)
        if hasattr(model, "freeze"):
            model.freeze(
                getattr(self.hparams, "frozen_layers", None) or 0,
                getattr(self.hparams, "freeze_norm", False),
            )
        if self.device_type == "cpu":
            model.to(memory_format=torch.channels_last)
        super().on_fit_start()
        if fresh and getattr(self.hparams, "fit_head", False):
            shrinkage = getattr(self.hparams, "head_shrinkage", 0.1)
            scale = getattr(self.hparams, "head_scale", 0.3)
            reader = self.train_data.reader
            fit_head(model, reader, self.hparams.loss, shrinkage, scale)
        # Last: what the head takes counts too.
        if fresh and getattr(self.hparams, "equalize", False):
            equalize(model, self.train_data.reader)

    def compute_forward(self, batch, stage):
        """Return the logits (patches, classes) of a PatchBatch."""
        batch = batch.to(self.device)
        training = stage == sb.Stage.TRAIN
        model = self.modules["model"] if training else self.raw_model
        return model(batch.features)

    def compute_objectives(self, predictions, batch, stage):
        """Return the loss; outside training, hand the clips to the scorer."""
        logits = predictions.float()
        batch = batch.to(self.device)
        loss = self.hparams.loss(logits, batch.target[batch.clip])
        if stage != sb.Stage.TRAIN and self.scorer is not None:
            chances = self.hparams.loss.probabilities(logits.detach())
            self.scorer.add(
                batch.id,
                batch.clip.cpu().numpy(),
                chances.cpu().numpy(),
                batch.target.cpu().numpy(),
            )
        return loss

    def make_scorer(self, stage):
        """Return what scores the clips."""
        first = stage == sb.Stage.TEST or not self.hparams.history.rows
        names = self.hparams.setup.class_names
        several = self.hparams.loss.multi_label
        # Before a test: that of the checkpoint.
        threshold = self.threshold if stage == sb.Stage.TEST else 0.0
        return Scorer(names, several, first, threshold)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Hear unknown sounds too, and choose a threshold; then score."""
        if self.scorer is not None:
            self._hear_unknown(stage)
        super().on_stage_end(stage, stage_loss, epoch)

    @torch.no_grad()
    def _hear_unknown(self, stage):
        """Score clips of classes that are not trained; they have no loss."""
        name = f"unknown_{stage.name.lower()}"
        clips = getattr(self.hparams, "unknown_sets", {}).get(name, ())
        for number in range(len(clips)):
            batch = PatchBatch.collate([clips[number]])
            self.compute_objectives(
                self.compute_forward(batch, stage), batch, stage
            )
        rate = getattr(self.hparams, "false_alarm_rate", None)
        if rate is not None and stage == sb.Stage.VALID:
            chosen = self.scorer.choose_threshold(rate)
            self.hparams.setup.features[CHOSEN] = {"unknown_below": chosen}

    def on_evaluate_start(self, max_key=None, min_key=None):
        """Load the best checkpoint, and the threshold chosen with it."""
        super().on_evaluate_start(max_key, min_key)
        folder = self.checkpointer.checkpoints_dir / self.tested["checkpoint"]
        card = json.loads((folder / "model_card.ckpt").read_text("utf-8"))
        self.threshold = unknown_below(card["features"])
        if self.threshold:
            self.tested["unknown_below"] = self.threshold

    def write_test(self, folder, facts):
        """Write scores of clips and classes; see the base class."""
        found = self.scorer.predictions()
        several = self.hparams.loss.multi_label
        names = self.hparams.setup.class_names
        table = write_results(folder, found, names, several, facts)
        return table, score(found, several)


def event_setup(mel, patch, class_names, multi_label) -> Setup:
    """Return what an event network needs besides its weights."""
    features = {
        "mel": mel.to_dict(),
        "patch": patch.to_dict(),
        "multi_label": bool(multi_label),
    }
    return Setup("events", mel.signal, features, tuple(class_names))
