"""What every recipe does around its Brain: check, prepare, announce."""

import atexit
from collections.abc import Callable, Mapping
from dataclasses import dataclass
import functools
import inspect
from pathlib import Path
import shutil

from edgebrain import tasks
from edgebrain.errors import UserError, unknown_name
from edgebrain.training.checkpoints import AtomicCheckpointer
from edgebrain.training.config import (
    RUNTIME_KEYS,
    changed_keys,
    flatten,
    load_hparams,
    parse_arguments,
)
from edgebrain.training.history import History, PatientEpochCounter
from edgebrain.training.loggers import build_loggers
from edgebrain.training.weights import ModelCard
import speechbrain as sb
from speechbrain.utils.distributed import (
    ddp_barrier,
    ddp_broadcast,
    ddp_init_group,
    if_main_process,
)
from speechbrain.utils.logger import get_logger
import torch

logger = get_logger(__name__)

#: What a person who stopped a training wants to know.
GO_ON = "stopped; the same command goes on from the last checkpoint"

_SPARE_MB = 50


def begin(
    argv: list[str], brain_class: type, keys: Mapping[str, Callable | None] = {}
):
    """Read the command line and the yaml, and check all before long work.

    Makes the output folder and prints what the model costs.

    Arguments
    ---------
    argv : list of str
        ``[train.yaml, --key, value, ...]``
    brain_class : type
        An :class:`~edgebrain.training.brain.EdgeBrain`, whose task, keys
        and checks of a model count.
    keys : mapping of str to callable or None
        Further top-level keys of the yaml that the caller reads, with
        rules (see :mod:`edgebrain.training.keys`).

    Returns
    -------
    hparams : dict
        With ``history``, ``epoch_counter``, ``checkpointer``,
        ``train_logger`` and ``setup`` added.
    run_opts : speechbrain.utils.run_opts.RunOptions

    Raises
    ------
    UserError
        A value that cannot be; a model that does not fit its task; too
        little disk; an output folder of another configuration.
    """
    hparams_file, run_opts, overrides = parse_arguments(argv)
    ddp_init_group(run_opts)
    atexit.register(_leave_process_group)
    hparams = load_hparams(
        hparams_file, overrides, {**brain_class.keys, **keys}
    )
    task = tasks.find(brain_class.task)
    _check_values(hparams, task)
    model = hparams["modules"]["model"]
    setup = hparams["setup"] = brain_class.setup(hparams)
    cost = brain_class.check_model(model, setup)
    folder = Path(hparams["output_folder"])
    _check_unchanged(folder, hparams_file, hparams, overrides, run_opts)
    _check_disk(folder, model)
    if if_main_process():
        print(cost)
    sb.create_experiment_directory(
        experiment_directory=folder,
        hyperparams_to_save=None if run_opts.test_only else hparams_file,
        overrides=overrides,
    )
    quantizer = hparams.get("quantization_aware")
    if quantizer is not None:
        quantizer.attach(model)
        # Beside the model it moves to its device and is saved with it.
        hparams["modules"]["quantizer"] = quantizer
    history = hparams.setdefault("history", History())
    key = hparams["select_by"]
    hparams.setdefault(
        "epoch_counter",
        PatientEpochCounter(
            hparams["number_of_epochs"],
            history,
            f"valid_{key}",
            tasks.higher_is_better(task, key),
            hparams.get("patience") or 0,
        ),
    )
    hparams.setdefault(
        "checkpointer",
        AtomicCheckpointer(
            _save_folder(hparams),
            recoverables={
                "model": model,
                "model_card": ModelCard(model, setup),
                **({} if quantizer is None else {"quantizer": quantizer}),
                "epoch_counter": hparams["epoch_counter"],
                "history": history,
            },
        ),
    )
    hparams["train_logger"] = build_loggers(
        folder,
        hparams.get("tensorboard", False),
        hparams.get("mlflow", False),
        parameters=flatten(hparams_file, overrides),
    )
    return hparams, run_opts


def _leave_process_group() -> None:
    """End the threads of torch.distributed before the interpreter ends.

    Else they may abort the process after all its work is done.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _check_values(hparams, task) -> None:
    problems, metrics = [], hparams["metrics"]
    metrics = [metrics] if isinstance(metrics, str) else list(metrics)
    hparams["metrics"] = metrics
    for name in metrics:
        if name not in task.metrics:
            problems.append(str(unknown_name("metric", name, task.metrics)))
    known = [*metrics, "loss"]
    if not problems and hparams["select_by"] not in known:
        error = unknown_name("select_by", hparams["select_by"], known)
        problems.append(f"{error}; it must be one of metrics, or loss")
    if hparams.get("quantization_aware") and not hparams.get("init_from"):
        problems.append(
            "quantization_aware: goes on from a trained network: give its "
            "results folder as init_from"
        )
    if problems:
        raise UserError.collect("the configuration cannot be used", problems)


def _save_folder(hparams) -> Path:
    """Return where the checkpoints are, which the yaml may set."""
    default = Path(hparams["output_folder"]) / "save"
    return Path(hparams.get("save_folder") or default)


def _check_unchanged(folder, hparams_file, hparams, overrides, run_opts):
    """Refuse to go on with other settings than those that began here."""
    before = folder / "hyperparams.yaml"
    has_checkpoint = any(_save_folder(hparams).glob("CKPT*"))
    if not before.is_file() or not has_checkpoint:
        return
    ignore = set(RUNTIME_KEYS)
    if not _plans_ahead(hparams.get("lr_scheduler")):
        ignore.add("number_of_epochs")
    new = flatten(hparams_file, overrides)
    changed = changed_keys(flatten(before), new, ignore)
    if not changed:
        return
    test_folder = Path(hparams["test_folder"])
    if run_opts.test_only and not (test_folder / "metrics.json").exists():
        logger.info("Testing with other settings: " + "; ".join(changed))
        return
    raise UserError.collect(
        f"{folder} was made with other settings; use another output_folder "
        "(with --test_only, another test_folder), or delete it",
        changed,
    )


def _plans_ahead(scheduler) -> bool:
    """Tell whether a schedule depends on the number of epochs."""
    target = getattr(scheduler, "func", scheduler)
    if not isinstance(scheduler, functools.partial | type):
        return False
    return "total_steps" in inspect.signature(target).parameters


def _check_disk(folder, model) -> None:
    """Refuse when the checkpoints will not fit."""
    numbers = sum(p.numel() for p in model.state_dict().values())
    # weights and two moments, for last, best and the one being written
    needed = numbers * 4 * 3 * 3 / 2**20 + _SPARE_MB
    existing = next(
        p for p in [folder, *folder.absolute().parents] if p.exists()
    )
    free = shutil.disk_usage(existing).free / 2**20
    if free < needed:
        raise UserError(
            f"{folder}: {needed:.0f} MiB are needed for checkpoints and "
            f"results, {free:.0f} MiB are free; make room or set output_folder"
        )


@dataclass
class Data:
    """The sets of a recipe and how they are batched.

    Attributes
    ----------
    train, valid, test : SeededDataset
    train_loader, eval_loader : dict
        Arguments of the loaders.
    """

    train: object
    valid: object
    test: object
    train_loader: dict
    eval_loader: dict


def prepare_once(prepare, hparams):
    """Prepare data on one process; return what is prepared on all.

    Arguments
    ---------
    prepare : callable
        ``prepare(hparams)`` returns what has ``summary`` (str) and ``notes``
        (tuple of str), both printed.
    hparams : dict
    """
    prepared = None
    if if_main_process():
        prepared = prepare(hparams)
        print("\n".join([prepared.summary, *prepared.notes]))
    prepared = ddp_broadcast(prepared)
    ddp_barrier()
    return prepared
