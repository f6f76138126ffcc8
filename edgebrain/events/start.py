"""What a training starts from: pretrained layers, a fitted last one."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.events.dataset import EventDataset, PatchBatch
from edgebrain.events.networks.yamnet_weights import load_yamnet
from edgebrain.training.results import pick_checkpoint
import numpy as np
from speechbrain.utils.logger import get_logger
import torch
from torch import Tensor

logger = get_logger(__name__)
#: Clips whose patches are computed at once, and those that equalize.
_CLIPS, _EQUALIZING = 16, 48


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


def equalize(model, reader) -> None:
    """Make channels alike, by some of the training clips as they are.

    See :meth:`.SeparableNet.equalize`.

    Arguments
    ---------
    reader : ClipReader
        Of the training clips.
    """
    names = list(reader.data)
    some = names[:: max(1, len(names) // _EQUALIZING)][:_EQUALIZING]
    model.eval()
    patches = [features for features, _ in _patches(model, reader, some)]
    model.equalize(torch.cat(patches))


def _patches(
    model, reader, names: Sequence[str]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield patches, where the model is, and targets of whole clips."""
    data = {name: reader.data[name] for name in names}
    still = EventDataset(
        data, reader.class_names, reader.mel, reader.patch, reader.seed
    )
    device = next(model.parameters()).device
    for first in range(0, len(still), _CLIPS):
        last = min(first + _CLIPS, len(still))
        batch = PatchBatch.collate([still[i] for i in range(first, last)])
        yield batch.features.to(device), batch.target[batch.clip]


@torch.no_grad()
def fit_head(model, reader, loss, shrinkage: float, scale: float) -> None:
    """Fit the dense layer to the training clips as they are.

    A network with pretrained layers starts from here, not from a random head
    that would first pull the layers apart (Kumar et al., 2022, arXiv
    2202.10054).

    Arguments
    ---------
    model : SeparableNet
        Its head is set.
    reader : ClipReader
        Of the training clips.
    loss : EventLoss
        Its weights count as so many more clips of a class.
    shrinkage : float
        See :func:`discriminant`.
    scale : float
        Factor of the logits: patches of one clip are alike, which makes them
        too sure.
    """
    model.eval()
    inputs, labels = [], []
    for features, target in _patches(model, reader, list(reader.data)):
        inputs.append(model.embed(features).mean(2).double().cpu().numpy())
        labels.append(target.double().numpy())
    x, y = np.concatenate(inputs), np.concatenate(labels)
    weight, bias, odds = discriminant(x, y, shrinkage, loss.multi_label)
    if loss.weights is not None:
        odds = odds * loss.weights.double().numpy()
    model.head.weight.copy_(torch.from_numpy(scale * weight))
    model.head.bias.copy_(torch.from_numpy(scale * bias + np.log(odds)))


def discriminant(
    x: np.ndarray, y: np.ndarray, shrinkage: float, multi_label: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return weights and biases of linear discriminants, and the odds.

    Embeddings of a class are taken for normal ones around a mean of its own,
    all with one covariance (Rao, 1948), which is shrunk to its diagonal
    (Friedman, 1989). The logarithm of the odds of a class is to be added to
    its bias. Of several labels each is told from all that is without it.

    Arguments
    ---------
    x : numpy.ndarray
        (n, size).
    y : numpy.ndarray
        (n, classes), 1 where there is the class.
    shrinkage : float
        From 0 to 1.

    Returns
    -------
    tuple of numpy.ndarray
        (classes, size), (classes,), (classes,).
    """
    middle = x.mean(0)
    x = x - middle
    rest = x - y @ np.linalg.lstsq(y, x, rcond=None)[0]
    covariance = rest.T @ rest / len(x)
    own = covariance.diagonal()
    # A channel that is never heard has no variance.
    own = np.maximum(own, 1e-6 * own.mean())
    covariance = (1 - shrinkage) * covariance
    np.fill_diagonal(covariance, own)
    counts = np.maximum(y.sum(0), 1)
    present, absent = y.T @ x / counts[:, None], np.zeros((1, x.shape[1]))
    odds = counts / len(x)
    if multi_label:
        others = np.maximum(len(x) - counts, 1)
        absent = (1 - y).T @ x / others[:, None]
        odds = counts / others
    weight = np.linalg.solve(covariance, (present - absent).T).T
    bias = -weight @ middle - ((present + absent) / 2 * weight).sum(1)
    return weight, bias, odds
