"""The weights beside a released model are those of its ONNX files."""

import json
from pathlib import Path

from edgebrain.enhancement.brain import EnhancementBrain
from edgebrain.enhancement.networks import STFTTCNN
from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings
from edgebrain.tasks import Setup
from edgebrain.training.config import load_hparams
from edgebrain.training.weights import RELEASED, ModelCard, start_from
import numpy as np
import onnxruntime
import pytest
import torch

MODELS = Path(__file__).parents[2] / "models"


def test_released_weights_are_those_of_the_onnx_file():
    folders = [path.parent for path in sorted(MODELS.glob(f"*/{RELEASED}"))]
    assert MODELS / "tcnn-120k" in folders
    for folder in folders:
        hparams = load_hparams(
            str(folder / "train.yaml"),
            {"data_folder": "none"},
            EnhancementBrain.keys,
        )
        model = hparams["model"]
        start_from(model, folder)
        magnitude = np.random.default_rng(0).uniform(0, 3, (1, 257, 40))
        magnitude = magnitude.astype(np.float32)
        session = onnxruntime.InferenceSession(folder / "offline.onnx")
        name = session.get_inputs()[0].name
        (want,) = session.run(None, {name: magnitude})
        with torch.no_grad():
            got = model.eval()(torch.from_numpy(magnitude)).numpy()
        assert np.ptp(want) > 0.3
        np.testing.assert_allclose(got, want, atol=1e-4)


def test_weights_of_another_network_are_refused():
    with pytest.raises(UserError, match="weights of another model"):
        start_from(STFTTCNN(tcn_latent_dim=8), MODELS / "tcnn-120k")


def test_card_of_before_an_argument_was_there_means_its_default(tmp_path):
    def card(**arguments):
        model = STFTTCNN(1, 1, bottleneck_channels=16, **arguments)
        return ModelCard(model, Setup("enhancement", SignalSettings()))

    old = card()
    del old.content["model_arguments"]["linear_bins"]
    path = tmp_path / "model_card.ckpt"
    path.write_text(json.dumps(old.content))
    card().load(path)
    with pytest.raises(UserError, match="linear_bins"):
        card(linear_bins=8).load(path)
