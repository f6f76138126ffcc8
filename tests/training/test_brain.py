import math
import re
import time

from edgebrain import progress
from edgebrain.training.brain import EdgeBrain, seed_step
from edgebrain.training.history import History, PatientEpochCounter
import numpy as np
import pytest
import torch


class _Batch:
    id = ["a"]


class _Brain(EdgeBrain):
    """The training step alone, on a loss that is handed in."""

    def compute_forward(self, batch, stage):
        return self.modules["model"](torch.ones(1, 1))

    def compute_objectives(self, predictions, batch, stage):
        return (predictions * next(self.losses)).sum()


def brain(losses, factor=1, kind=_Brain, **options):
    torch.manual_seed(0)
    history = History()
    made = kind(
        modules={"model": torch.nn.Linear(1, 1)},
        opt_class=lambda p: torch.optim.SGD(p, lr=1.0),
        hparams={
            "seed": 1,
            "number_of_epochs": 1,
            "epoch_counter": PatientEpochCounter(1, history, "x", True),
            "grad_accumulation_factor": factor,
        },
        run_opts={"device": "cpu", **options},
    )
    made.losses = iter(losses)
    made.batches_per_epoch = len(losses)
    made.nonfinite_count = 0
    made.init_optimizers()
    return made


def steps(made, count):
    weights = []
    for _ in range(count):
        made.step += 1
        made.fit_batch(_Batch())
        weights.append(made.modules["model"].bias.item())
    return weights


def test_a_loss_that_is_not_finite_changes_nothing():
    made = brain([1.0, math.nan, 1.0])
    first, second, third = steps(made, 3)
    assert first == second and math.isfinite(third) and third != second


def test_too_many_of_them_stop_the_training():
    made = brain([math.nan] * 5, nonfinite_patience=3)
    with pytest.raises(ValueError, match="patience is exhausted"):
        steps(made, 5)


def test_left_over_gradients_are_applied_with_their_own_weight():
    # groups of two and a last batch alone: three steps of lr 1 in all
    weights = steps(brain([1.0] * 5, factor=2), 5)
    moves = np.diff(np.array(weights))
    assert np.allclose(moves, [-1, 0, -1, -1]), moves


def test_dropout_depends_on_seed_epoch_and_step_alone():
    drawn = {}
    for key in ((1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3)):
        seed_step(*key)
        drawn[key] = torch.rand(3).tolist()
    torch.rand(10)
    seed_step(1, 2, 3)
    assert torch.rand(3).tolist() == drawn[1, 2, 3]
    assert len({tuple(values) for values in drawn.values()}) == 4


def test_a_compiled_network_is_known_below_its_wrapper():
    made = brain([1.0])
    model = made.modules["model"]
    made.modules["model"] = torch.compile(model, backend="eager")
    assert made.raw_model is model


class _Data(list):
    def set_epoch(self, epoch):
        pass


class _SlowBrain(_Brain):
    def compute_forward(self, batch, stage):
        time.sleep(0.02)
        return super().compute_forward(batch, stage)


@pytest.mark.parametrize("silent", [False, True])
def test_without_a_terminal_too_it_says_how_far_it_is(
    silent, monkeypatch, capsys
):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.1)
    made = brain([1.0] * 20, kind=_SlowBrain, noprogressbar=silent)
    made.fit(made.hparams.epoch_counter, _Data(range(20)))
    said = re.findall(r"epoch 1: (\d+) %.*train_loss", capsys.readouterr().err)
    assert bool(said) is not silent
    assert silent or any(0 < int(share) < 100 for share in said)
