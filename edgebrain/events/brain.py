"""The Brain of every event detection recipe: patches to class logits."""

from pathlib import Path

from edgebrain import tasks
from edgebrain.errors import UserError
from edgebrain.events.dataset import EventDataset, PatchBatch
from edgebrain.events.metrics import score
from edgebrain.events.networks.yamnet_weights import load_yamnet
from edgebrain.events.recipe import KEYS, NONE, list_data
from edgebrain.events.results import write_results
from edgebrain.events.scoring import Scorer
from edgebrain.models.complexity import window_table
from edgebrain.models.verify import check_output
from edgebrain.tasks import Setup
from edgebrain.training.brain import EdgeBrain
from edgebrain.training.results import pick_checkpoint
import numpy as np
import speechbrain as sb
from speechbrain.utils.logger import get_logger
import torch

logger = get_logger(__name__)


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
        """List the clips, give the network their classes; say what it needs."""
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
        loss = hparams["loss"]
        if loss.multi_label != hparams.get("multi_label", False):
            raise UserError("loss: multi_label must be that of the yaml")
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
            fit_head(
                model,
                self.train_data.reader,
                self.hparams.loss,
                self.hparams.batch_size,
            )

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
        return Scorer(self.hparams.loss.multi_label, first)

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


def load_pretrained(model, source) -> None:
    """Take weights for all but the head.

    Arguments
    ---------
    source : Path or str
        YAMNet's TF Lite file, a results or checkpoint folder of this
        project, or a file of weights.

    Raises
    ------
    UserError
        Nothing usable there, or no layer fits.
    """
    path = Path(source)
    if path.suffix == ".tflite":
        load_yamnet(model, path)
        return
    if not path.is_file():
        path = pick_checkpoint(path)[0] / "model.ckpt"
    state = torch.load(path, map_location="cpu", weights_only=True)
    own = model.state_dict()
    fits = {
        name: value
        for name, value in state.items()
        if name in own and own[name].shape == value.shape
    }
    layers = {name for name in fits if not name.startswith("head.")}
    if not layers:
        raise UserError(f"{path}: no layer fits {type(model).__name__}")
    own.update(fits)
    model.load_state_dict(own)
    logger.info(f"{len(fits)} of {len(own)} tensors taken from {path}")


@torch.no_grad()
def fit_head(model, reader, loss, batch_size: int, penalty=0.02) -> None:
    """Fit the dense layer to the training clips as they are.

    Logistic regression on standardised embeddings, by L-BFGS: a network
    with pretrained layers starts from here, not from a random head that
    would first pull the layers apart (Kumar et al., 2022, arXiv 2202.10054).

    Arguments
    ---------
    model : SeparableNet
        Its head is set.
    reader : ClipReader
        Of the training clips.
    penalty : float
        Of the squares of the weights.
    """
    still = EventDataset(
        reader.data, reader.class_names, reader.mel, reader.patch, reader.seed
    )
    model.eval()
    inputs, labels = [], []
    for first in range(0, len(still), batch_size):
        last = min(first + batch_size, len(still))
        batch = PatchBatch.collate([still[i] for i in range(first, last)])
        inputs.append(model.embed(batch.features).mean(2).float().numpy())
        labels.append(batch.target[batch.clip].numpy())
    x, y = np.concatenate(inputs), np.concatenate(labels)
    mean, deviation = x.mean(0), x.std(0) + 1e-5
    x = torch.from_numpy((x - mean) / deviation)
    y = torch.from_numpy(y)
    weight = torch.zeros(y.shape[1], x.shape[1], requires_grad=True)
    bias = torch.zeros(y.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=200, line_search_fn="strong_wolfe"
    )

    def closure():
        solver.zero_grad()
        with torch.enable_grad():
            cost = loss(x @ weight.T + bias, y)
            cost = cost + penalty * weight.square().sum()
            cost.backward()
        return cost

    solver.step(closure)
    scaled = weight / torch.from_numpy(deviation)
    model.head.weight.copy_(scaled)
    model.head.bias.copy_(bias - scaled @ torch.from_numpy(mean))
