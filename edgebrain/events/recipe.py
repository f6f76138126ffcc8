"""What the recipes of event detection share: keys of the yaml, data."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgebrain.checks import Number, switch
from edgebrain.data.batching import ShuffledSampler
from edgebrain.data.collect import SKIP_BAD
from edgebrain.data.ingest import ingest
from edgebrain.data.layout import SPLITS
from edgebrain.errors import UserError, shorten
from edgebrain.events.augment import Augmentation
from edgebrain.events.dataset import EventDataset, PatchBatch
from edgebrain.events.listing import (
    LabelledClip,
    choose_classes,
    list_clips,
    split_by_fold,
    split_by_group,
)
from edgebrain.events.losses import EventLoss
from edgebrain.events.patches import PatchSettings
from edgebrain.events.synthetic import make_embedded_sounds
from edgebrain.files import write_json
from edgebrain.signal.mel import MelSettings
from edgebrain.training.experiment import Data, prepare_once
from edgebrain.training.keys import Built, names, text

NONE, NEXT = "none", "next"
#: Word for Google's weights, to be downloaded.
YAMNET = "yamnet"


def _frozen(value):
    if value == "all":
        return value
    return Number(whole=True, least=0, optional=True)(value)


def _fold(value):
    if value in (NONE, NEXT):
        return value
    return Number(whole=True, least=1, optional=True)(value)


def _names(value):
    return None if value is None else names(value)


#: Top-level keys of a yaml that only event detection reads.
KEYS = {
    "mel": Built(MelSettings, optional=False),
    "patch": Built(PatchSettings, optional=False),
    "augmentation": Built(Augmentation),
    "loss": Built(EventLoss, optional=False),
    "patches_per_clip": Number(whole=True, least=1),
    "csv_file": text,
    "class_names": _names,
    "multi_label": switch,
    "garbage_class": switch,
    "n_samples_per_garbage_class": Number(whole=True, least=1, optional=True),
    "fold": Number(whole=True, least=1, optional=True),
    "valid_fold": _fold,
    "unknown_classes": _names,
    "false_alarm_rate": Number(least=0, most=1, optional=True),
    "pretrained": text,
    "frozen_layers": _frozen,
    "freeze_norm": switch,
    "equalize": switch,
    "fit_head": switch,
    "head_shrinkage": Number(least=0, most=1),
    "head_scale": Number(above=0),
}


@dataclass
class Listing:
    """The clips of a data folder after a look at their labels.

    Attributes
    ----------
    clips : list of LabelledClip
        Of the classes that are trained.
    unknown : list of LabelledClip
        Of classes that are kept out of training, to be told apart.
    """

    clips: list[LabelledClip]
    class_names: list[str]
    unknown: list[LabelledClip]


def list_data(hparams, find: Callable | None = None) -> Listing:
    """Return the labelled clips that a yaml asks for.

    Arguments
    ---------
    find : callable, optional
        ``find(hparams)`` returns LabelledClips; left out: those of the data
        folder, or of the embedded set without one.

    Raises
    ------
    UserError
        The folder, its table or the classes asked for cannot be used.
    """
    folder = hparams.get("data_folder")
    if find is not None:
        clips = find(hparams)
    else:
        if folder is None:
            cache = Path(hparams["cache_folder"]) / "embedded_sounds"
            folder = make_embedded_sounds(cache)
        clips = list_clips(folder, hparams.get("csv_file"))
    away = list(hparams.get("unknown_classes") or ())
    known = {label for clip in clips for label in clip.labels}
    if missing := sorted(set(away) - known):
        raise UserError(f"unknown_classes: no clip of {', '.join(missing)}")
    unknown = [clip for clip in clips if set(clip.labels) & set(away)]
    kept = [clip for clip in clips if not set(clip.labels) & set(away)]
    chosen, names = choose_classes(
        kept,
        hparams.get("class_names"),
        hparams.get("multi_label", False),
        hparams.get("garbage_class", False),
        hparams.get("n_samples_per_garbage_class"),
        hparams["seed"],
    )
    return Listing(chosen, names, unknown)


@dataclass
class Prepared:
    """Manifests of a data set.

    Attributes
    ----------
    sets : dict of str to dict
        Split to manifest: clip id to ``wav``, ``labels``, ``source``.
    """

    sets: dict[str, dict]
    class_names: list[str]
    summary: str
    notes: tuple[str, ...]


def make_datasets(hparams) -> Data:
    """Split, check and convert the clips; build the sets.

    Arguments
    ---------
    hparams : dict
        After :meth:`.EventBrain.setup`, which lists the clips.

    Returns
    -------
    Data

    Raises
    ------
    UserError
        Lists what is wrong with the data.
    """
    prepared = prepare_once(_prepare, hparams)
    sets = {}
    for split, manifest in prepared.sets.items():
        augmentation = hparams["augmentation"] if split == "train" else None
        sets[split] = EventDataset(
            manifest,
            prepared.class_names,
            hparams["mel"],
            hparams["patch"],
            hparams["seed"],
            augmentation,
            hparams["patches_per_clip"],
        )
    workers = hparams["num_workers"] or 0
    options = {"collate_fn": PatchBatch.collate, "num_workers": workers}
    if workers:
        options["persistent_workers"] = True
    train_loader = {
        **options,
        "batch_size": hparams["batch_size"],
        "sampler": ShuffledSampler(sets["train"], hparams["seed"]),
    }
    hparams["unknown_sets"] = {
        name: sets.pop(name) for name in list(sets) if name not in SPLITS
    }
    return Data(
        **sets,
        train_loader=train_loader,
        eval_loader={**options, "batch_size": hparams["batch_size"]},
    )


def _prepare(hparams) -> Prepared:
    """Write the manifests and convert what is not at the right rate."""
    listing, seed = hparams["listing"], hparams["seed"]
    found, notes = _ingested(hparams)
    clips, unknown = (
        [clip for clip in part if not found[clip.path].fault]
        for part in (listing.clips, listing.unknown)
    )
    kept = {label for clip in clips for label in clip.labels}
    if lost := [name for name in listing.class_names if name not in kept]:
        raise UserError(
            f"no clip of {', '.join(lost)} can be used (empty, silent or "
            "unreadable): mend the files, or leave these out of class_names"
        )
    fold = hparams.get("fold")
    numbers = sorted({c.fold for c in clips if c.fold is not None})
    if fold is not None and numbers:
        valid = hparams.get("valid_fold") or NEXT
        if valid == NEXT and fold in numbers:
            valid = numbers[(numbers.index(fold) + 1) % len(numbers)]
        splits = split_by_fold(clips, fold, None if valid == NONE else valid)
        notes.append(f"fold {fold} is tested on, {valid} selects")
    else:
        splits = split_by_group(clips, seed)
        notes.append(f"split by source, seed {seed}")
    if not splits["valid"]:
        # Every fourth training clip, as it is: the loss says when to stop.
        splits["valid"] = splits["train"][::4]
        notes.append(
            "no clips are left out to select by: valid are training clips"
        )
    if unknown:
        splits |= _halves(unknown)
    sets, lines = {}, []
    for split, clips in splits.items():
        sets[split] = {
            clip.id: {
                "wav": str(found[clip.path].ready),
                "labels": list(clip.labels),
                "source": str(clip.path),
            }
            for clip in clips
        }
        folder = Path(hparams["output_folder"]) / "manifests"
        write_json(folder / f"{split}.json", sets[split])
        hours = sum(found[c.path].info.duration for c in clips) / 3600
        sources = len({clip.group for clip in clips})
        lines.append(
            f"{split:13} {len(clips):6d} clips {hours:7.2f} h "
            f"{sources:6d} sources"
        )
    names = listing.class_names
    lines.append(f"{len(names)} classes: {', '.join(names)}")
    return Prepared(sets, names, "\n".join(lines), tuple(notes))


def _ingested(hparams) -> tuple[dict, list[str]]:
    """Return the recordings by path, and notes of those left out."""
    listing, cache = hparams["listing"], Path(hparams["cache_folder"])
    paths = sorted({c.path for c in (*listing.clips, *listing.unknown)})
    found = ingest(paths, hparams["sample_rate"], cache / "audio")
    bad = {path: r.fault for path, r in found.items() if r.fault}
    unusable = [
        f"{path}: {fault}"
        for path, fault in bad.items()
        if "silent" not in fault and "no samples" not in fault
    ]
    if unusable and not hparams.get("skip_bad"):
        raise UserError.collect(f"unusable audio files; {SKIP_BAD}", unusable)
    quiet = [str(p) for p in bad if f"{p}: {bad[p]}" not in unusable]
    notes = [f"left out, {line}" for line in unusable]
    if quiet:
        notes.append(
            f"left out: {len(quiet)} clips that are empty or silent "
            f"({shorten(quiet)})"
        )
    return found, notes


def _halves(unknown: list[LabelledClip]) -> dict[str, list[LabelledClip]]:
    """Return clips of unknown sounds to choose a threshold by, and to test."""
    labels = sorted({clip.labels[0] for clip in unknown})
    if len(labels) == 1:
        half = len(unknown) // 2
        parts = unknown[:half], unknown[half:]
    else:
        first = labels[: len(labels) // 2]
        parts = (
            [c for c in unknown if (c.labels[0] in first) == wanted]
            for wanted in (True, False)
        )
    return dict(zip(("unknown_valid", "unknown_test"), parts, strict=True))
