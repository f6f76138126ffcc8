"""One interface over the learning-rate schedulers of SpeechBrain and torch.

SpeechBrain's are called with an epoch, a metric, the optimiser, or the
optimiser and a step count; torch's are built around the optimiser. What a
scheduler takes tells when it has to be called.
"""

import functools
import inspect

from edgebrain.errors import UserError
from speechbrain.nnet.schedulers import update_learning_rate
import torch


class Schedule:
    """Calls a scheduler at the right times with the right arguments.

    Arguments
    ---------
    scheduler : object or functools.partial or None
        A SpeechBrain scheduler (``!new:speechbrain.nnet.schedulers...``), or
        a torch one by ``!name:torch.optim.lr_scheduler...``; its
        ``total_steps`` or ``steps_per_epoch`` and ``epochs`` are filled in.
    """

    def __init__(self, scheduler, optimizer, steps_per_epoch, epochs):
        self.optimizer = optimizer
        self.steps = 0
        self.kind = None
        self.recoverable = None
        if scheduler is None:
            return
        if isinstance(scheduler, functools.partial | type):
            scheduler = _build_torch(
                scheduler, optimizer, steps_per_epoch, epochs
            )
        self.scheduler = self.recoverable = scheduler
        self.kind = _kind(scheduler)
        self.limit = getattr(scheduler, "total_steps", None)

    @property
    def learning_rate(self) -> float:
        """The rate of the optimiser's first group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def after_step(self, optimizer_step: int) -> None:
        """Call after each optimiser step, with the number of steps done."""
        if self.kind == "torch_step":
            if self.limit is None or optimizer_step < self.limit:
                self.scheduler.step()
        elif self.kind == "step":
            self.scheduler(self.optimizer)
        elif self.kind == "batch_end":
            self.scheduler.on_batch_end(self.optimizer)
        elif self.kind == "counted_step":
            self.scheduler(self.optimizer, optimizer_step)

    def after_epoch(self, epoch: int, error: float) -> None:
        """Call after validation; ``error`` should fall.

        It is a loss, or a metric with its sign turned.
        """
        if self.kind == "torch_epoch":
            self.scheduler.step()
        elif self.kind == "torch_metric":
            self.scheduler.step(error)
        elif self.kind == "plateau":  # tells the rate, does not set it
            _, rate = self.scheduler([self.optimizer], epoch, error)
            update_learning_rate(self.optimizer, rate)
        elif self.kind in ("epoch", "metric"):
            argument = epoch if self.kind == "epoch" else error
            _, rate = self.scheduler(argument)
            update_learning_rate(self.optimizer, rate)


def _build_torch(factory, optimizer, steps_per_epoch, epochs):
    target = getattr(factory, "func", factory)
    given = getattr(factory, "keywords", {})
    wanted = inspect.signature(target).parameters
    if "optimizer" not in wanted:
        raise UserError(
            f"lr_scheduler: {target.__name__} is not a torch scheduler; "
            "write SpeechBrain's with !new:, torch's with !name:"
        )
    filled = {}
    if "total_steps" in wanted and "epochs" not in given:
        filled["total_steps"] = max(steps_per_epoch * epochs, 1)
    return factory(optimizer, **{**filled, **given})


def _kind(scheduler) -> str:
    torch_schedulers = torch.optim.lr_scheduler
    if isinstance(scheduler, torch_schedulers.ReduceLROnPlateau):
        return "torch_metric"
    if isinstance(scheduler, torch_schedulers.LRScheduler):
        stepwise = (torch_schedulers.OneCycleLR, torch_schedulers.CyclicLR)
        return (
            "torch_step" if isinstance(scheduler, stepwise) else "torch_epoch"
        )
    if hasattr(scheduler, "on_batch_end"):
        return "batch_end"
    if callable(scheduler):
        kinds = {
            ("metric_value",): "metric",
            ("current_epoch",): "epoch",
            ("opt",): "step",
            ("opt", "num_updates"): "counted_step",
            ("optim_list", "current_epoch", "current_loss"): "plateau",
        }
        takes = tuple(inspect.signature(scheduler).parameters)
        if takes in kinds:
            return kinds[takes]
    raise UserError(
        f"lr_scheduler: {type(scheduler).__name__} is not a scheduler of "
        "speechbrain.nnet.schedulers or torch.optim.lr_scheduler"
    )
