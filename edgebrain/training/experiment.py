"""What every recipe does around its Brain: check, prepare, announce."""

import atexit
from dataclasses import dataclass
import functools
import inspect
from pathlib import Path
import shutil

from edgebrain.data.batching import eval_loader_kwargs, train_loader_kwargs
from edgebrain.data.embedded import make_embedded_corpus
from edgebrain.data.manifest import prepare_folder
from edgebrain.data.sources import load_manifest
from edgebrain.enhancement import metrics
from edgebrain.enhancement.datasets import mixing_dataset, paired_dataset
from edgebrain.errors import UserError, unknown_name
from edgebrain.models import (
    check_causality,
    check_model_output,
    check_step,
    complexity,
    model_traits,
)
from edgebrain.training.checkpoints import AtomicCheckpointer
from edgebrain.training.config import RUNTIME_KEYS, changed_keys, flatten
from edgebrain.training.history import History, PatientEpochCounter
from edgebrain.training.loggers import build_loggers
from edgebrain.training.weights import ModelCard
from speechbrain.utils.distributed import (
    ddp_barrier,
    ddp_broadcast,
    if_main_process,
)
from speechbrain.utils.logger import get_logger
import torch

logger = get_logger(__name__)

#: Top-level yaml keys that the code below and the Brain read.
YAML_KEYS = frozenset(
    """
    seed data_folder output_folder save_folder cache_folder test_folder
    sample_rate signal model modules loss opt_class lr_scheduler
    number_of_epochs batch_size batching crop_seconds num_workers
    max_batch_seconds train_mixing eval_mixing metrics select_by patience
    save_every_epochs init_from weight_clipping activation_regularizer
    quantization_aware
    tensorboard mlflow save_enhanced n_jobs grad_accumulation_factor
    max_grad_norm precision eval_precision ckpt_interval_minutes
    ckpt_interval_steps optimizer_step_limit nonfinite_patience
    """.split()
)
#: What a person who stopped a training wants to know.
GO_ON = "stopped; the same command goes on from the last checkpoint"

_COUNTS = {"number_of_epochs": 1, "batch_size": 1, "num_workers": 0}
_SPARE_MB = 50


def begin(hparams_file, hparams, overrides, run_opts) -> None:
    """Check the configuration and complete it, before any long work.

    Adds ``history``, ``epoch_counter``, ``checkpointer`` and
    ``train_logger`` to ``hparams``, and prints what the model costs.

    Arguments
    ---------
    hparams_file : str
    hparams : dict
        From :func:`edgebrain.training.config.load_hparams`.
    overrides : dict
    run_opts : speechbrain.utils.run_opts.RunOptions

    Raises
    ------
    UserError
        A value that cannot be; a model of another shape; too little disk;
        an output folder of another configuration.
    """
    atexit.register(_leave_process_group)
    _check_values(hparams)
    model, signal = hparams["modules"]["model"], hparams["signal"]
    check_model_output(model, signal.bins)
    if model_traits(model).causal:
        check_causality(model, signal.bins)
    if model_traits(model).streaming:
        check_step(model, signal.bins)
    folder = Path(hparams["output_folder"])
    _check_unchanged(folder, hparams_file, hparams, overrides, run_opts)
    _check_disk(folder, model)
    if if_main_process():
        print(complexity.describe(model, signal).table())
    quantizer = hparams.get("quantization_aware")
    if quantizer is not None:
        quantizer.attach(model)
        # Beside the model it moves to its device and is saved with it.
        hparams["modules"]["quantizer"] = quantizer
    save = _save_folder(hparams)
    save.mkdir(parents=True, exist_ok=True)
    history = hparams.setdefault("history", History())
    key = hparams["select_by"]
    hparams.setdefault(
        "epoch_counter",
        PatientEpochCounter(
            hparams["number_of_epochs"],
            history,
            f"valid_{key}",
            metrics.higher_is_better(key),
            hparams.get("patience") or 0,
        ),
    )
    hparams.setdefault(
        "checkpointer",
        AtomicCheckpointer(
            save,
            recoverables={
                "model": model,
                "model_card": ModelCard(model, signal),
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


def _leave_process_group() -> None:
    """End the threads of torch.distributed before the interpreter ends.

    Else they may abort the process after all its work is done.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _check_values(hparams) -> None:
    problems = []
    for key, least in _COUNTS.items():
        value = hparams[key]
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or value < least:
            problems.append(f"{key}: a whole number from {least}, not {value}")
    try:
        hparams["metrics"] = metrics.check_metrics(hparams["metrics"])
    except UserError as error:
        problems.append(f"metrics: {error}")
    known = [*hparams["metrics"], "loss"]
    if hparams["select_by"] not in known:
        error = unknown_name("select_by", hparams["select_by"], known)
        problems.append(f"{error}; it must be one of metrics, or loss")
    if hparams.get("grad_accumulation_factor", 1) < 1:
        problems.append("grad_accumulation_factor: at least 1")
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
    train, valid, test : EnhancementDataset
    train_loader, eval_loader : dict
        Arguments of the loaders.
    """

    train: object
    valid: object
    test: object
    train_loader: dict
    eval_loader: dict


def make_datasets(hparams, prepare=None) -> Data:
    """Prepare the data and build the sets.

    Arguments
    ---------
    hparams : dict
    prepare : callable, optional
        ``prepare(hparams)`` returns a PreparedData; called on one process
        only. Left out: the data folder, or the embedded corpus, as it is.

    Returns
    -------
    Data

    Raises
    ------
    UserError
        Lists what is wrong with the data.
    """
    prepared = None
    if if_main_process():
        prepared = (prepare or _prepare_folder)(hparams)
        print("\n".join([prepared.summary, *prepared.notes]))
    prepared = ddp_broadcast(prepared)
    ddp_barrier()
    return build_datasets(hparams, prepared)


def _prepare_folder(hparams):
    source = hparams.get("data_folder")
    cache = Path(hparams["cache_folder"])
    if source is None:
        print("No data_folder given: the embedded corpus is used.")
        source = make_embedded_corpus(
            cache / "embedded_corpus", sample_rate=hparams["sample_rate"]
        )
    return prepare_folder(
        source,
        Path(hparams["output_folder"]) / "manifests",
        hparams["sample_rate"],
        cache,
        hparams["seed"],
    )


def build_datasets(hparams, prepared) -> Data:
    """Build training, validation and test sets from manifests.

    Arguments
    ---------
    hparams : dict
    prepared : edgebrain.data.manifest.PreparedData

    Returns
    -------
    Data
    """
    seed, rate = hparams["seed"], hparams["sample_rate"]
    crops = hparams["batching"] == "crops"
    crop_seconds = hparams["crop_seconds"] if crops else None
    common = {"sample_rate": rate, "seed": seed}
    sets = {}
    for split in ("train", "valid", "test"):
        train = split == "train"
        options = {
            **common,
            "crop_seconds": crop_seconds if train else None,
            "fixed": not train,
            "data_root": prepared.data_root,
        }
        if prepared.kind == "paired":
            # Of a mixing, pairs take the random level in training alone.
            levels = hparams.get("train_mixing") if train else None
            sets[split] = paired_dataset(
                prepared.paired[split], settings=levels, **options
            )
            continue
        key = "train_mixing" if train else "eval_mixing"
        sets[split] = mixing_dataset(
            prepared.speech[split],
            prepared.noise.get(split),
            prepared.rir.get(split),
            _possible(hparams[key], prepared, split, key),
            **options,
        )
    train_loader = train_loader_kwargs(
        sets["train"],
        hparams["batching"],
        hparams["batch_size"],
        seed,
        hparams["num_workers"],
        hparams.get("max_batch_seconds"),
    )
    # One clip a batch: padding could change what a score is made of.
    eval_loader = eval_loader_kwargs(1, min(hparams["num_workers"], 1))
    return Data(**sets, train_loader=train_loader, eval_loader=eval_loader)


def _possible(mixing, prepared, split, key):
    """Switch off what the data folder has no recordings for, and say so."""
    speech = load_manifest(prepared.speech[split], prepared.data_root)
    speakers = {entry.get("speaker") for entry in speech.values()}
    missing = {
        "noise": not prepared.noise and mixing.noise_prob > 0,
        "reverb": not prepared.rir and mixing.reverb_prob > 0,
        "babble": len(speakers) < 2 and mixing.babble_prob > 0,
    }
    reasons = {
        "noise": "there is no noise/ folder",
        "reverb": "there is no rir/ folder",
        "babble": "there is one speaker",
    }
    for what, absent in missing.items():
        if absent and if_main_process():
            print(f"{key}, {split}: no {what}, for {reasons[what]}")
    return mixing.without(**missing)
