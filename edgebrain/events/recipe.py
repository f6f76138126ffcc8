"""What the recipes of event detection share: keys of the yaml, data, folds."""

from collections.abc import Callable
import csv
from dataclasses import dataclass
from pathlib import Path
import subprocess
import sys

from edgebrain.checks import Number, switch
from edgebrain.data.batching import ShuffledSampler
from edgebrain.data.collect import SKIP_BAD
from edgebrain.data.ingest import ingest
from edgebrain.data.layout import SPLITS
from edgebrain.errors import UserError
from edgebrain.events.dataset import EventDataset, PatchBatch
from edgebrain.events.listing import (
    LabelledClip,
    choose_classes,
    list_clips,
    split_by_fold,
    split_by_group,
)
from edgebrain.events.metrics import Predictions
from edgebrain.events.results import read_predictions, write_results
from edgebrain.events.synthetic import make_embedded_sounds
from edgebrain.files import write_json
from edgebrain.training.config import parse_arguments, resolve
from edgebrain.training.experiment import Data, prepare_once
from edgebrain.training.keys import KEYS as SHARED_KEYS
from ruamel.yaml import YAML

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


#: Top-level keys of a yaml that only event detection reads.
KEYS = {
    "mel": None,
    "patch": None,
    "augmentation": None,
    "patches_per_clip": Number(whole=True, least=1),
    "csv_file": None,
    "class_names": None,
    "multi_label": switch,
    "garbage_class": switch,
    "n_samples_per_garbage_class": Number(whole=True, least=1, optional=True),
    "fold": Number(whole=True, least=1, optional=True),
    "valid_fold": _fold,
    "unknown_classes": None,
    "false_alarm_rate": Number(least=0, most=1, optional=True),
    "pretrained": None,
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
    fold, notes = hparams.get("fold"), []
    numbers = sorted({c.fold for c in listing.clips if c.fold is not None})
    if fold is not None and numbers:
        valid = hparams.get("valid_fold") or NEXT
        if valid == NEXT:
            valid = (
                numbers[(numbers.index(fold) + 1) % len(numbers)]
                if (fold in numbers)
                else fold
            )
        splits = split_by_fold(
            listing.clips, fold, None if valid == NONE else valid
        )
        notes.append(f"fold {fold} is tested on, {valid} selects")
    else:
        splits = split_by_group(listing.clips, seed)
        notes.append(f"split by source, seed {seed}")
    if not splits["valid"]:
        # Every fourth training clip, as it is: the loss says when to stop.
        splits["valid"] = splits["train"][::4]
        notes.append(
            "no clips are left out to select by: valid are training clips"
        )
    half = len(listing.unknown) // 2
    if listing.unknown:
        labels = sorted({c.labels[0] for c in listing.unknown})
        first = labels[: max(1, len(labels) // 2)]
        parts = (
            [c for c in listing.unknown if c.labels[0] in first],
            [c for c in listing.unknown if c.labels[0] not in first],
        )
        if len(labels) == 1:
            parts = (listing.unknown[:half], listing.unknown[half:])
        splits["unknown_valid"], splits["unknown_test"] = parts
    cache = Path(hparams["cache_folder"])
    everything = {c.path for clips in splits.values() for c in clips}
    found = ingest(sorted(everything), hparams["sample_rate"], cache / "audio")
    bad = {path: r.fault for path, r in found.items() if r.fault}
    unusable = [
        f"{path}: {fault}"
        for path, fault in bad.items()
        if "silent" not in fault and "no samples" not in fault
    ]
    if unusable and not hparams.get("skip_bad"):
        raise UserError.collect(f"unusable audio files; {SKIP_BAD}", unusable)
    if bad:
        notes.append(f"left out: {len(bad)} clips that are empty or silent")
        notes += unusable
        splits = {
            split: [clip for clip in clips if clip.path not in bad]
            for split, clips in splits.items()
        }
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


def run_folds(script: Path | str, argv: list[str]) -> None:
    """Train and test each fold by itself, then score all clips as one set.

    Each fold is a process of its own, so that what is interrupted goes on
    where it was. Writes ``folds/`` beside the results of the folds.

    Arguments
    ---------
    script : Path or str
        The train.py that is run.
    argv : list of str
        Its words, with ``--folds all`` or ``--folds 1,2``.

    Raises
    ------
    UserError
        There are no folds, or one failed.
    """
    place = argv.index("--folds")
    wanted = argv[place + 1 : place + 2]
    rest = argv[:place] + argv[place + 2 :]
    folds = list(range(1, 6)) if wanted in ([], ["all"]) else None
    try:
        folds = folds or [int(word) for word in wanted[0].split(",")]
    except ValueError:
        raise UserError(
            f"--folds: all, or numbers such as 1,2, not {wanted[0]}"
        ) from None
    yaml, _, overrides = parse_arguments(rest, SHARED_KEYS | KEYS)
    places = [
        YAML().load(resolve(yaml, {**overrides, "fold": fold}))
        for fold in folds
    ]
    tested = [Path(place["test_folder"]) for place in places]
    outputs = [Path(place["output_folder"]) for place in places]
    if len(set(outputs)) < len(folds):
        raise UserError(
            f"{yaml}: output_folder must contain <fold>, or each fold would "
            "overwrite the one before"
        )
    for fold in folds:
        print(f"\nfold {fold}", flush=True)
        command = [sys.executable, str(script), *rest, "--fold", str(fold)]
        if subprocess.run(command).returncode:
            raise UserError(f"fold {fold} did not finish; see above")
    parts = [read_predictions(folder) for folder in tested]
    names = parts[0][1]
    together = Predictions.join(part for part, _, _ in parts)
    target = outputs[0].parent / "folds"
    table = write_results(
        target, together, names, parts[0][2], {"folds": folds}
    )
    accuracies = [
        part.scores.argmax(1) == part.target.argmax(1) for part, _, _ in parts
    ]
    with open(target / "folds.csv", "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["fold", "clips", "clip_accuracy"])
        for fold, right in zip(folds, accuracies, strict=True):
            writer.writerow([fold, len(right), f"{100 * right.mean():.2f}"])
    each = ", ".join(f"{100 * right.mean():.2f}" for right in accuracies)
    print(f"\nall folds: {each}\n{table}\n\n{target}")
