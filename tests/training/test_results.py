"""The best network comes out of a results folder, custom classes too."""

import hashlib
import json
import math
import shutil
import sys

from edgebrain.enhancement.networks import STFTTCNN
from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings
from edgebrain.tasks import Setup
from edgebrain.training.results import load_model
from edgebrain.training.weights import ModelCard
import pytest
import torch

SETTINGS = SignalSettings(n_fft=32, win_length=32, hop_length=16)
OWN = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.Conv1d(17, width, 1)
    def forward(self, x):
        return torch.sigmoid(self.net(x))
"""


def write_checkpoint(results, name, model, **meta):
    folder = results / "save" / f"CKPT+{name}"
    folder.mkdir(parents=True)
    torch.save(model.state_dict(), folder / "model.ckpt")
    ModelCard(model, Setup("enhancement", SETTINGS)).save(
        folder / "model_card.ckpt"
    )
    lines = [f"{key}: {value}" for key, value in meta.items()]
    (folder / "CKPT.yaml").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def results(tmp_path):
    """Return a folder of three checkpoints, the second best by loss."""
    (tmp_path / "hyperparams.yaml").write_text(
        "# Generated 2026-01-01 from:\n# /nowhere/train.yaml\nselect_by: loss\n"
    )
    for number, loss in enumerate((0.3, 0.1, 0.2)):
        torch.manual_seed(number)
        write_checkpoint(
            tmp_path,
            f"2026-01-0{number}",
            STFTTCNN(1, 2, 17, 4),
            loss=loss,
            stoi=0.5 + 0.1 * number,
            epoch=number,
            unixtime=number,
        )
    return tmp_path


def test_the_best_by_the_metric_of_the_training(results):
    model, settings, sha256, info, _ = load_model(results)
    assert info.checkpoint.name == "CKPT+2026-01-01"
    assert info.selected_by == "loss" and info.meta["epoch"] == 1
    assert info.line() == "CKPT+2026-01-01, epoch 1, best by loss (0.1)"
    assert settings == SETTINGS and not model.training
    weights = info.checkpoint / "model.ckpt"
    assert sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    saved = torch.load(weights, weights_only=True)
    for name, value in model.state_dict().items():
        assert torch.equal(value, saved[name])


def test_a_metric_of_which_more_is_better(results):
    yaml = results / "hyperparams.yaml"
    yaml.write_text(yaml.read_text().replace("loss", "stoi"))
    assert load_model(results).info.meta["epoch"] == 2


def test_without_a_yaml_the_newest(results):
    (results / "hyperparams.yaml").unlink()
    info = load_model(results).info
    assert info.meta["epoch"] == 2 and info.selected_by is None


def test_a_checkpoint_by_name_or_folder(results):
    name = "CKPT+2026-01-00"
    for words in (
        (results, name),
        (results, results / "save" / name),
        (results / "save", name),
        (results / "save" / name,),
    ):
        info = load_model(*words).info
        assert info.meta["epoch"] == 0 and info.selected_by is None
    with pytest.raises(UserError, match="did you mean CKPT"):
        load_model(results, "CKPT+2026-01-09")


def test_a_score_that_is_not_finite_never_wins(results):
    for folder in (results / "save").iterdir():
        meta = folder / "CKPT.yaml"
        text = meta.read_text().replace("loss: 0.1", "loss: .nan")
        meta.write_text(text)
    assert load_model(results).info.meta["loss"] == 0.2
    for folder in (results / "save").iterdir():
        (folder / "CKPT.yaml").write_text(f"loss: {math.inf}\n")
    with pytest.raises(UserError, match="none of its 3 .* finite loss"):
        load_model(results)


def test_nothing_in_the_folder_changes(results):
    partial = results / "save" / "partial-CKPT+2026-01-09"
    partial.mkdir()
    before = sorted(results.rglob("*"))
    load_model(results)
    assert sorted(results.rglob("*")) == before


def test_no_checkpoint(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError, match="no checkpoint there"):
            load_model(folder)


def test_a_card_from_before_an_argument_is_of_the_same_model(results):
    path = results / "save" / "CKPT+2026-01-01" / "model_card.ckpt"
    content = json.loads(path.read_text())
    del content["model_arguments"]["int8_step"]
    path.write_text(json.dumps(content))
    setup = Setup("enhancement", SETTINGS)
    ModelCard(STFTTCNN(1, 2, 17, 4), setup).load(path)
    with pytest.raises(UserError, match="of another model"):
        ModelCard(STFTTCNN(1, 2, 17, 4, int8_step=0.5), setup).load(path)


def test_damaged_parts_are_named(results):
    folder = results / "save" / "CKPT+2026-01-01"
    card = folder / "model_card.ckpt"
    text = card.read_text()
    content = json.loads(text)
    content["model_arguments"]["tcn_latent_dim"] = 5
    card.write_text(json.dumps(content))
    with pytest.raises(UserError, match="weights of another model"):
        load_model(results)
    content["model_arguments"] = {"wrong": 1}
    card.write_text(json.dumps(content))
    with pytest.raises(UserError, match="does not take the arguments"):
        load_model(results)
    content["model_class"] = "edgebrain.models.Gone"
    card.write_text(json.dumps(content))
    with pytest.raises(UserError, match="has no Gone"):
        load_model(results)
    content["model_class"] = "no_such_module.Net"
    card.write_text(json.dumps(content))
    with pytest.raises(UserError, match="folder that holds no_such_module.py"):
        load_model(results)
    card.write_text(text[:40])
    with pytest.raises(UserError, match="not whole JSON"):
        load_model(results)
    card.unlink()
    with pytest.raises(UserError, match="has no model_card"):
        load_model(results)
    card.write_text(text)
    (folder / "model.ckpt").write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot be read as weights"):
        load_model(results)


@pytest.mark.parametrize("beside", ["yaml", "results"])
def test_a_class_of_ones_own(beside, tmp_path, monkeypatch):
    """It keeps no arguments: they come from the yaml of the training."""
    module = f"own_net_{beside}"
    code, results = tmp_path / "code", tmp_path / "results"
    for folder in (code, results):
        folder.mkdir()
    file = (code if beside == "yaml" else results) / f"{module}.py"
    file.write_text(OWN)
    monkeypatch.syspath_prepend(file.parent)
    net = __import__(module).Net(17)
    write_checkpoint(results, "2026-01-01", net, loss=0.1)
    (results / "hyperparams.yaml").write_text(
        f"# Generated 2026-01-01 from:\n# {code}/train.yaml\n"
        f"width: 17\nmodel: &id001 !new:{module}.Net\n  width: 17\n"
        "modules:\n  model: *id001\nselect_by: loss\n"
        "data: !new:not.to.be.Built\n"
    )
    monkeypatch.undo()
    del sys.modules[module]
    path = list(sys.path)
    loaded = load_model(results)
    assert sys.path == path
    assert type(loaded.model).__name__ == "Net"
    assert torch.equal(loaded.model.net.weight, net.net.weight)
    shutil.rmtree(code)
    (results / "hyperparams.yaml").unlink()
    with pytest.raises(UserError, match="no record of its arguments"):
        load_model(results)
