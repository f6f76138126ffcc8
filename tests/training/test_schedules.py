import functools

from edgebrain.errors import UserError
from edgebrain.training.schedules import Schedule
import pytest
from speechbrain.nnet import schedulers
import torch


def run(scheduler, errors=(1.0, 1.1, 1.2, 1.3, 1.4, 1.5), steps=3):
    """Return the rate after each epoch."""
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    schedule = Schedule(scheduler, optimizer, steps, len(errors))
    rates, count = [], 0
    for epoch, error in enumerate(errors, 1):
        for _ in range(steps):
            optimizer.step()
            count += 1
            schedule.after_step(count)
        schedule.after_epoch(epoch, error)
        rates.append(schedule.learning_rate)
    return rates


torch_schedulers = torch.optim.lr_scheduler


def test_none_keeps_the_rate():
    assert run(None) == [0.1] * 6


def test_one_cycle_ends_after_the_last_step():
    rates = run(functools.partial(torch_schedulers.OneCycleLR, max_lr=0.1))
    assert max(rates) > 0.05 and rates[-1] < 1e-4


@pytest.mark.parametrize(
    "scheduler",
    [
        schedulers.NewBobScheduler(initial_value=0.1),
        schedulers.LinearScheduler(0.1, 0.01, 6),
        schedulers.StepScheduler(0.1),
        schedulers.ReduceLROnPlateau(patience=0, dont_halve_until_epoch=0),
        schedulers.NoamScheduler(0.1, 2),
        schedulers.WarmCoolDecayLRSchedule(0.1, 2, 4, 18),
        schedulers.CyclicLRScheduler(0.01, 0.2, step_size=5),
        schedulers.CyclicCosineScheduler(2, 0.1, total_steps=18),
        schedulers.InverseSquareRootScheduler(2),
        functools.partial(torch_schedulers.StepLR, step_size=1),
        functools.partial(torch_schedulers.ReduceLROnPlateau, patience=0),
        functools.partial(torch_schedulers.CyclicLR, base_lr=0.01, max_lr=0.2),
        functools.partial(torch_schedulers.CosineAnnealingLR, T_max=6),
    ],
    ids=lambda s: getattr(s, "func", type(s)).__name__,
)
def test_every_kind_moves_the_rate(scheduler):
    rates = run(scheduler)
    assert len(set(rates)) > 1 and all(rate > 0 for rate in rates[:-1])


@pytest.mark.parametrize("thing", [3, "OneCycleLR", torch.optim.SGD])
def test_other_things_are_refused(thing):
    with pytest.raises(UserError, match="lr_scheduler"):
        run(thing)
