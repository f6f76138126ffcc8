"""The Brain below every recipe: resume, select, schedule, report.

What a task adds is its ``compute_forward`` and ``compute_objectives`` and,
where there is more to score than a loss, :meth:`EdgeBrain.make_scorer`.
"""

from collections.abc import Callable
import math
from pathlib import Path
import time
from typing import ClassVar, Protocol
from unittest.mock import patch

from edgebrain import tasks
from edgebrain.progress import Progress
from edgebrain.report import tables
from edgebrain.report.scores import ClipScores
from edgebrain.training.checkpoints import KEEP, find_best
from edgebrain.training.keys import KEYS
from edgebrain.training.reporting import (
    epoch_line,
    places,
    say,
    warn_of_few,
    write_history,
)
from edgebrain.training.schedules import Schedule
from edgebrain.training.weights import load_checkpoint, start_from
import numpy as np
import speechbrain as sb
from speechbrain.utils.checkpoints import DEFAULT_SAVE_HOOKS, get_default_hook
from speechbrain.utils.distributed import (
    ddp_broadcast,
    get_rank,
    if_main_process,
)
from speechbrain.utils.logger import get_logger
import torch
from torch.nn.parallel import DistributedDataParallel

logger = get_logger(__name__)

#: Training items that the statistics of features are of.
_STATISTICS = 200


class Scorer(Protocol):
    """Takes what ``compute_objectives`` hands it outside training."""

    def columns(self) -> dict:
        """Return the means of a validation, as columns of the history.

        ``valid_<metric>``; ``<baseline>_<metric>`` at least in the first
        epoch, ``failed_<metric>``: clips without a score.
        """

    def rows(self) -> dict[str, list[ClipScores]]:
        """Return the scores of all clips: the baseline first, then ours.

        Asked by :meth:`EdgeBrain.write_rows` alone.
        """


class EdgeBrain(sb.Brain):
    """Train, select and test a network of any task.

    Expects in ``hparams`` what :func:`edgebrain.training.experiment.begin`
    puts there, and the keys of :data:`edgebrain.training.keys.KEYS`.
    ``modules`` holds ``model`` and, in quantization-aware training,
    ``quantizer``.

    With the same seed, results do not depend on an interruption: the data
    are seeded by item, and dropout by (seed, epoch, step).

    Attributes
    ----------
    task : str
        Name of the task, see :mod:`edgebrain.tasks`.
    keys : dict of str to callable
        Top-level keys of the yaml that the code reads, with what checks
        their values. A subclass that reads more adds its own:
        ``keys = EnhancementBrain.keys | {"my_key": None}``.
    scorer : Scorer or None
        Of the validation or test under way, on the main process.
    """

    task: ClassVar[str]
    keys: ClassVar[dict[str, Callable | None]] = KEYS

    @classmethod
    def build(cls, hparams, run_opts) -> "EdgeBrain":
        """Return a Brain of what :func:`.experiment.begin` returned."""
        return cls(
            modules=hparams["modules"],
            opt_class=hparams["opt_class"],
            hparams=hparams,
            run_opts=run_opts,
            checkpointer=hparams["checkpointer"],
        )

    def fit_and_test(self, data) -> None:
        """Train on the sets of a recipe, then score the best checkpoint.

        ``data`` is a :class:`edgebrain.training.experiment.Data`.
        """
        self.fit(
            self.hparams.epoch_counter,
            data.train,
            data.valid,
            train_loader_kwargs=data.train_loader,
            valid_loader_kwargs=data.eval_loader,
        )
        self.evaluate(data.test, test_loader_kwargs=data.eval_loader)

    # -- what a task overrides --------------------------------------------

    @classmethod
    def setup(cls, hparams) -> tasks.Setup:
        """Return what the network needs besides its weights."""
        return tasks.Setup(cls.task, hparams["signal"])

    @classmethod
    def check_model(cls, model, setup) -> str:
        """Refuse a network that does not fit; return what it costs."""
        return ""

    def make_scorer(self, stage) -> Scorer | None:
        """Return what scores the clips of a validation or test."""
        return None

    def features(self, item):
        """Return the input of the network for an item of the data set.

        Only asked where the network has ``fit_normalisation``.
        """
        raise NotImplementedError

    def write_test(self, folder: Path, facts: dict) -> tuple[str, dict]:
        """Write what :attr:`scorer` found in a test into a folder.

        ``facts`` are further entries of metrics.json: what was tested. Returns
        the table, the baseline first, and the means by metric.
        """
        return self.write_rows(folder, facts, tasks.find(self.task).metrics)

    def write_rows(self, folder, facts, metrics, files=None):
        """Write scores of single clips; return as :meth:`write_test`.

        Arguments
        ---------
        files : dict, optional
            Clip id to ``{"clean_file": ..., ...}``, for per_clip.csv.
        """
        rows = self.scorer.rows()
        summary = tables.metrics_summary(rows)
        table = tables.metrics_table(rows, metrics)
        clips = tables.per_clip(rows, files)
        tables.write_results(folder, {**facts, **summary}, clips, table)
        return table, summary[list(rows)[-1]]["mean"]

    # -- training ---------------------------------------------------------

    def init_optimizers(self):
        """Build optimiser and schedule; register them for checkpoints."""
        super().init_optimizers()
        factor = self.grad_accumulation_factor
        self.schedule = Schedule(
            getattr(self.hparams, "lr_scheduler", None),
            self.optimizer,
            math.ceil(self.batches_per_epoch / factor),
            self.hparams.number_of_epochs,
        )
        scheduler = self.schedule.recoverable
        if scheduler is not None and self.checkpointer is not None:
            hooks = {}
            if get_default_hook(scheduler, DEFAULT_SAVE_HOOKS) is None:
                hooks = {
                    "custom_save_hook": _save_attributes,
                    "custom_load_hook": _load_attributes,
                }
            self.checkpointer.add_recoverable(
                "lr_scheduler", scheduler, **hooks
            )

    def _wrap_distributed(self):
        """Wrap the model for several processes, on CPUs too.

        The base class always asks for SyncBatchNorm, which exists on GPUs
        only; elsewhere the statistics of the first process are shared.
        """
        if not self.distributed_launch or self.device_type == "cuda":
            super()._wrap_distributed()
            return
        for name, module in self.modules.items():
            if any(p.requires_grad for p in module.parameters()):
                self.modules[name] = DistributedDataParallel(
                    module, find_unused_parameters=self.find_unused_parameters
                )

    def fit(self, epoch_counter, train_set, valid_set=None, **kwargs):
        """Train as ``speechbrain.Brain.fit`` does.

        Arguments
        ---------
        **kwargs
            ``train_loader_kwargs``, ``valid_loader_kwargs``, ``progressbar``.
        """
        if self.test_only:
            return
        loader_kwargs = kwargs.pop("train_loader_kwargs", {})
        self.train_data = train_set
        self.train_loader = self.make_dataloader(
            train_set, sb.Stage.TRAIN, **loader_kwargs
        )
        batch_sampler = loader_kwargs.get("batch_sampler")
        if self.train_sampler is None and batch_sampler is not None:
            self.train_sampler = batch_sampler
        self.batches_per_epoch = len(self.train_loader)
        if valid_set is not None and if_main_process():
            warn_of_few("validation", valid_set)
        kwargs.setdefault("progressbar", not self.noprogressbar)
        with patch.object(sb.core, "tqdm", self._progress):
            super().fit(epoch_counter, self.train_loader, valid_set, **kwargs)

    def _progress(self, loader, **kwargs) -> Progress:
        """Return what SpeechBrain's loops draw with in place of tqdm."""
        return Progress(loader, desc=self.doing, **kwargs)

    def on_fit_start(self):
        """Resume, or start from given weights and feature statistics."""
        self._compile()
        self._wrap_distributed()
        self.init_optimizers()
        regularizer = getattr(self.hparams, "activation_regularizer", None)
        if regularizer is not None:
            regularizer.attach(self.raw_model)
        resumed = None
        if self.checkpointer is not None:
            resumed = self.checkpointer.recover_if_possible()
        if resumed is not None:
            epoch = self.hparams.epoch_counter.current
            where = f"in epoch {epoch + 1}" if self.step else f"after {epoch}"
            say(f"Resuming {where} from {resumed.path.name}")
            return
        source = getattr(self.hparams, "init_from", None)
        if source:
            start_from(self.raw_model, source)
        elif hasattr(self.raw_model, "fit_normalisation"):
            first = range(min(_STATISTICS, len(self.train_data)))
            self.raw_model.fit_normalisation(
                self.features(self.train_data[i]) for i in first
            )

    def fit_batch(self, batch):
        """Train on a batch; a loss that is not finite skips it.

        Unlike the base class, gradients left over at the end of an epoch are
        applied, and dropout is drawn from (seed, epoch, step).
        """
        factor = self.grad_accumulation_factor
        epoch = self.hparams.epoch_counter.current
        seed_step(self.hparams.seed, epoch, self.step)
        last = self.step == self.batches_per_epoch
        should_step = self.step % factor == 0 or last
        in_tail = self.step > self.batches_per_epoch // factor * factor
        group = self.batches_per_epoch % factor if in_tail else factor
        self.on_fit_batch_start(batch, should_step)
        with self.no_sync(not should_step):
            with self.training_ctx:
                outputs = self.compute_forward(batch, sb.Stage.TRAIN)
                loss = self.compute_objectives(outputs, batch, sb.Stage.TRAIN)
            finite = self._all_finite(loss)
            if not finite:
                self.check_loss_isfinite(loss)
            # a gradient scaler looks for such gradients itself, and must
            if finite or self.scaler.is_enabled():
                self.scaler.scale(loss / group).backward()
        if should_step:
            self.optimizers_step()
            self.schedule.after_step(self.optimizer_step)
            clipper = getattr(self.hparams, "weight_clipping", None)
            if clipper is not None:
                clipper(self.raw_model)
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        return loss.detach().cpu()

    def _all_finite(self, loss) -> bool:
        """Tell whether the loss is finite on every process."""
        finite = torch.isfinite(loss.detach()).float()
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(
                finite, op=torch.distributed.ReduceOp.MIN
            )
        return bool(finite)

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time, steps_since_ckpt):
        """Save only between optimiser steps: gradients are not saved."""
        due = super()._should_save_intra_epoch_ckpt(
            last_ckpt_time, steps_since_ckpt
        )
        return due and self.step % self.grad_accumulation_factor == 0

    # -- stages -----------------------------------------------------------

    @property
    def raw_model(self):
        """The model without wrappers of parallel or compiled training."""
        model = self.modules["model"]
        for wrapper in ("_orig_mod", "module"):  # compiled, parallel
            model = getattr(model, wrapper, model)
        return model

    def on_stage_start(self, stage, epoch=None):
        """Tell the data the epoch; start a scorer for valid and test."""
        self.scorer = None
        self.doing = f"epoch {epoch}" if epoch is not None else "test"
        if stage == sb.Stage.VALID:
            self.doing += ", validation"
        if stage == sb.Stage.TRAIN:
            self.started = time.time()
            self.train_data.set_epoch(epoch)
        elif if_main_process():
            self.scorer = self.make_scorer(stage)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Score, select, save and report."""
        if stage == sb.Stage.TRAIN:
            self.train_loss = float(stage_loss)
        elif stage == sb.Stage.VALID:
            self._end_validation(float(stage_loss), epoch)
        else:
            means = {"loss": float(stage_loss)}
            if if_main_process():
                means |= self._end_test(float(stage_loss))
            self.hparams.train_logger.log_stats(
                {"epoch loaded": self.tested["epoch"]}, test_stats=means
            )
            if self.scorer is not None:
                say(self.report)

    def _end_validation(self, valid_loss, epoch):
        """Add the epoch's row; schedule, save and report by it."""
        row = None
        history = self.hparams.history
        if if_main_process():
            row = {
                "epoch": epoch,
                "lr": self.schedule.learning_rate,
                "train_loss": self.train_loss,
                "valid_loss": valid_loss,
                **(self.scorer.columns() if self.scorer else {}),
            }
            baseline = f"{tasks.find(self.task).baseline}_"
            for key, value in history.rows[0].items() if history.rows else ():
                if key.startswith(baseline):
                    row[key] = value
        history.append(ddp_broadcast(row))
        row, key = history.rows[-1], self.hparams.select_by
        value = row[f"valid_{key}"]
        error = -value if self._higher_is_better(key) else value
        finite = math.isfinite(error)
        self.schedule.after_epoch(epoch, error if finite else math.inf)
        self._save_epoch(row)
        self.hparams.train_logger.log_stats(
            {"epoch": row["epoch"], "lr": row["lr"]},
            train_stats={"loss": row["train_loss"]},
            valid_stats={
                k.removeprefix("valid_"): v
                for k, v in row.items()
                if k.startswith("valid_")
            },
        )
        if if_main_process():
            task = tasks.find(self.task)
            higher = self._higher_is_better(key)
            best = history.best_epoch(f"valid_{key}", higher)
            write_history(history, self.hparams.output_folder, task, best)
            epochs = self.hparams.number_of_epochs
            found = best == row["epoch"]
            line = epoch_line(row, key, task.baseline, epochs, found)
            seconds = (time.time() - self.started) * (epochs - row["epoch"])
            say(f"{line}  {seconds / 60:.1f} min left")

    def _save_epoch(self, row):
        """Keep the last and the best checkpoint, and each n-th if asked."""
        key = self.hparams.select_by
        meta = {
            name.removeprefix("valid_"): value
            for name, value in row.items()
            if name == "epoch" or name.startswith("valid_")
        }
        every = getattr(self.hparams, "save_every_epochs", 0)
        meta[KEEP] = bool(every) and row["epoch"] % every == 0
        higher = self._higher_is_better(key)
        self.checkpointer.save_and_keep_only(
            meta=meta,
            name=f"epoch-{row['epoch']:04d}",
            importance_keys=[],
            **{"max_keys" if higher else "min_keys": [key]},
        )

    def _higher_is_better(self, key) -> bool:
        return tasks.higher_is_better(tasks.find(self.task), key)

    # -- testing ----------------------------------------------------------

    def evaluate(self, test_set, max_key=None, min_key=None, **kwargs):
        """Score the best checkpoint on a test set.

        Arguments
        ---------
        max_key, min_key : str, optional
            Metric that picks the checkpoint; left out: ``select_by``.
        **kwargs
            ``test_loader_kwargs``, ``progressbar``.
        """
        if max_key is None and min_key is None:
            key = self.hparams.select_by
            higher = self._higher_is_better(key)
            max_key, min_key = (key, None) if higher else (None, key)
        self.test_data = test_set
        if if_main_process():
            warn_of_few("test", test_set)
        kwargs.setdefault("progressbar", not self.noprogressbar)
        kwargs["test_loader_kwargs"] = dict(
            kwargs.get("test_loader_kwargs") or {}
        )
        with patch.object(sb.core, "tqdm", self._progress):
            return super().evaluate(
                test_set, max_key=max_key, min_key=min_key, **kwargs
            )

    def on_evaluate_start(self, max_key=None, min_key=None):
        """Load the weights of the best checkpoint, and only the weights."""
        best = find_best(self.checkpointer, max_key, min_key)
        load_checkpoint(self.raw_model, best, self.hparams.setup)
        if "quantizer" in self.modules:
            self.modules["quantizer"].load(best.paramfiles["quantizer"])
        self.tested = {
            "checkpoint": best.path.name,
            "epoch": int(best.meta["epoch"]),
            "selected_by": max_key or min_key,
        }
        say(
            f"Testing epoch {self.tested['epoch']}, the best by "
            f"{max_key or min_key} ({best.meta[max_key or min_key]:.4f})"
        )

    def _end_test(self, loss):
        """Write and print the results of the test; return the means."""
        if self.scorer is None:
            return {}
        folder = Path(self.hparams.test_folder)
        table, means = self.write_test(folder, {**self.tested, "loss": loss})
        self.report = (
            f"\n{places(self.hparams.output_folder, folder)}\n\n{table}"
        )
        return means


def seed_step(seed: int, epoch: int, step: int) -> None:
    """Seed torch, so dropout depends on (seed, epoch, step) alone.

    A resumed run then needs no saved generator state, on any device.
    """
    words = [int(seed), int(epoch), int(step), get_rank() or 0]
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0] >> 1))


def _save_attributes(scheduler, path):
    """Save a scheduler that SpeechBrain cannot, by its attributes."""
    if if_main_process():
        torch.save(vars(scheduler), path)


def _load_attributes(scheduler, path, end_of_epoch):
    """Load what :func:`_save_attributes` saved."""
    vars(scheduler).update(torch.load(path, weights_only=False))
