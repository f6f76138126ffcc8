"""What every recipe does around its Brain: check, prepare, announce."""

import atexit
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
import shutil

from edgebrain import tasks
from edgebrain.errors import UserError, unknown_name
from edgebrain.files import check_place
from edgebrain.training.checkpoints import AtomicCheckpointer
from edgebrain.training.config import (
    as_trained,
    flatten,
    load_hparams,
    parse_arguments,
)
from edgebrain.training.folder import (
    check_content,
    check_disk,
    check_unchanged,
    make_folder,
)
from edgebrain.training.history import History, PatientEpochCounter
from edgebrain.training.loggers import Loggers
from edgebrain.training.schedules import Schedule
from edgebrain.training.weights import ModelCard, check_source
from speechbrain.utils.distributed import (
    ddp_barrier,
    ddp_broadcast,
    ddp_init_group,
    if_main_process,
    infer_device,
)
from speechbrain.utils.logger import get_logger
import torch

logger = get_logger(__name__)

#: What a person who stopped a training wants to know.
GO_ON = "stopped; the same command goes on from the last checkpoint"


def begin(
    argv: list[str], brain_class: type, keys: Mapping[str, Callable | None] = {}
):
    """Read the command line and the yaml, and check all before long work.

    Makes the output folder and prints what the model costs.

    Arguments
    ---------
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
    keys = {**brain_class.keys, **keys}
    hparams_file, run_opts, overrides = parse_arguments(argv, keys)
    if run_opts.test_only:
        hparams_file, overrides = as_trained(hparams_file, overrides)
    ddp_init_group(run_opts)
    atexit.register(_leave_process_group)
    hparams = load_hparams(hparams_file, overrides, keys)
    task = tasks.find(brain_class.task)
    model = hparams["modules"]["model"]
    hparams.setdefault("save_folder", f"{hparams['output_folder']}/save")
    _check_values(hparams, run_opts, task, model)
    setup = hparams["setup"] = brain_class.setup(hparams)
    cost = brain_class.check_model(model, setup)
    folder = Path(hparams["output_folder"])
    check_unchanged(hparams_file, hparams, overrides, run_opts.test_only)
    check_disk(folder, model)
    if if_main_process():
        print(cost)
        loss = hparams["loss"]
        print(f"  loss              {getattr(loss, '__name__', loss)}")
        hparams["was_there"] = folder.is_dir()
        make_folder(folder, hparams_file, overrides, run_opts.test_only)
    ddp_barrier()
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
            hparams["save_folder"],
            recoverables={
                "model": model,
                "model_card": ModelCard(model, setup),
                **({} if quantizer is None else {"quantizer": quantizer}),
                "epoch_counter": hparams["epoch_counter"],
                "history": history,
            },
        ),
    )
    hparams["train_logger"] = Loggers(
        folder,
        hparams.get("tensorboard", False),
        hparams.get("mlflow", False),
        flatten(hparams_file, overrides),
    )
    return hparams, run_opts


def _leave_process_group() -> None:
    """End the threads of torch.distributed before the interpreter ends.

    Else they may abort the process after all its work is done.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _check_values(hparams, run_opts, task, model) -> None:
    """Check what depends on more than one key, or has to be tried."""
    problems = []
    for name in hparams["metrics"]:
        if name not in task.metrics:
            problems.append(str(unknown_name("metric", name, task.metrics)))
    known = [*hparams["metrics"], "loss"]
    if not problems and hparams["select_by"] not in known:
        error = unknown_name("select_by", hparams["select_by"], known)
        problems.append(f"{error}; it must be one of metrics, or loss")
    if hparams.get("quantization_aware") and not hparams.get("init_from"):
        problems.append(
            "quantization_aware: goes on from a trained network: give its "
            "results folder as init_from"
        )

    def option(key):
        given = key in run_opts.overridden_args or key not in hparams
        return getattr(run_opts, key) if given else hparams[key]

    device = run_opts.device or infer_device()
    for key in ("precision", "eval_precision"):
        if option(key) == "fp16" and not device.startswith("cuda"):
            problems.append(f"{key}: fp16 needs a GPU; bf16 works on a CPU too")
    if option("ckpt_interval_minutes") and option("ckpt_interval_steps"):
        problems.append(
            "ckpt_interval_minutes and ckpt_interval_steps: give one of them"
        )
    if not callable(hparams["loss"]):
        problems.append(f"loss: must be callable, not {hparams['loss']!r}")
    looks = {
        key: partial(check_place, hparams.get(key))
        for key in ("output_folder", "save_folder", "test_folder")
        if key == "output_folder"
        or not str(hparams[key]).startswith(f"{hparams['output_folder']}/")
    }
    looks["cache_folder"] = partial(check_place, hparams.get("cache_folder"))
    looks["init_from"] = partial(check_source, hparams.get("init_from"))
    looks["opt_class"] = partial(_try_optimizer, hparams, model)
    for key, look in looks.items():
        try:
            look()
        except UserError as error:
            problems.append(f"{key}: {error}")
    if problems:
        raise UserError.collect("the configuration cannot be used", problems)


def _try_optimizer(hparams, model) -> None:
    """Build optimiser and schedule, as the Brain will."""
    try:
        optimizer = hparams["opt_class"](model.parameters())
        Schedule(hparams.get("lr_scheduler"), optimizer, 1, 10)
    except (TypeError, ValueError) as error:
        raise UserError(f"{error}") from None


@dataclass
class Data:
    """The sets of a recipe and how they are batched."""

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
    """
    prepared = None
    folder = Path(hparams["output_folder"])
    if if_main_process():
        try:
            prepared = prepare(hparams)
            if "was_there" in hparams:
                check_content(folder, hparams["save_folder"])
        except UserError:
            if not hparams.get("was_there", True):
                shutil.rmtree(folder)
            raise
        print("\n".join([prepared.summary, *prepared.notes]))
    prepared = ddp_broadcast(prepared)
    ddp_barrier()
    return prepared
