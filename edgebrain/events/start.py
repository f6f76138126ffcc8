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
def fit_head(model, reader, loss, penalty: float) -> None:
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
    model.eval()
    inputs, labels = [], []
    for features, target in _patches(model, reader, list(reader.data)):
        inputs.append(model.embed(features).mean(2).float().cpu().numpy())
        labels.append(target.numpy())
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
