"""What a data folder holds: labelled clips, and who goes into which split.

Nothing here decodes audio. Three layouts are known::

    meta/esc50.csv and audio/          ESC-10 and ESC-50, five folds
    <name>.csv and the files it names  filename, category[, fold][, group]
                                       [, split]
    <class>/<clip>.wav                 a folder for each class
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
import csv
from dataclasses import dataclass, replace
import math
from pathlib import Path

from edgebrain.data.audio import AUDIO_SUFFIXES
from edgebrain.data.layout import SPLITS, find_audio
from edgebrain.data.splits import FRACTIONS, divide, hash_order
from edgebrain.errors import UserError, nearest

#: Class of all sounds that are none of those asked for.
OTHER = "other"


@dataclass(frozen=True)
class LabelledClip:
    """A recording and what is heard in it.

    Arguments
    ---------
    id : str
        Unique in its data set.
    labels : tuple of str
        One class, or several.
    group : str
        Its source: no group is ever in two splits.
    fold : int or None
        Of a published division.
    split : str or None
        "train", "valid" or "test" where the data set says.
    """

    id: str
    path: Path
    labels: tuple[str, ...]
    group: str
    fold: int | None = None
    split: str | None = None


def list_clips(
    folder: Path | str, csv_file: str | None = None
) -> list[LabelledClip]:
    """Return the clips of a data folder, sorted by id.

    Arguments
    ---------
    csv_file : str, optional
        Name of the table in the folder; left out: ``meta/esc50.csv``, the
        only csv in the folder, or a folder for each class.

    Raises
    ------
    UserError
        No layout fits; a column, a file or a label is missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such data folder; set data_folder")
    esc = folder / "meta" / "esc50.csv"
    if csv_file is None and esc.is_file():
        return _read_table(esc, folder / "audio")
    tables = [folder / csv_file] if csv_file else sorted(folder.glob("*.csv"))
    tables = [t for t in tables if csv_file or t.name != "attribution.csv"]
    if len(tables) == 1:
        return _read_table(tables[0], folder)
    if tables:
        names = ", ".join(t.name for t in tables)
        raise UserError(f"{folder}: several tables ({names}); set csv_file")
    clips = [
        LabelledClip(
            str(Path(name).with_suffix("")), path, (name.split("/")[0],), name
        )
        for name, path in find_audio(folder).files.items()
        if "/" in name
    ]
    if not clips:
        raise UserError(
            f"{folder}: holds neither meta/esc50.csv, a csv with filename "
            "and category, nor a folder of recordings for each class"
        )
    return clips


def split_labels(text: str) -> tuple[str, ...]:
    """Return the labels of a table's cell: ``dog``, ``a,b``, ``['a', 'b']``.

    >>> split_labels("['Bark', 'Dog']")
    ('Bark', 'Dog')
    """
    words = text.strip().strip("[]").replace(";", ",").split(",")
    return tuple(w for w in (w.strip().strip("'\"") for w in words) if w)


def _read_table(table: Path, audio: Path) -> list[LabelledClip]:
    if not table.is_file():
        raise UserError(f"{table}: no such table; set csv_file")
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = sorted(reader.fieldnames or ())
            rows = list(reader)
    except UnicodeDecodeError as error:
        raise UserError(f"{table}: save it in UTF-8 ({error})") from None
    for need in ("filename", "category"):
        if need not in columns:
            raise UserError(
                f"{table}: has no column {need!r} (it has "
                f"{', '.join(columns) or 'none'}); name it so, with commas "
                "between the columns"
            )
    clips, problems = {}, []
    for line, row in enumerate(rows, 2):
        name, labels = (
            row["filename"] or "",
            split_labels(row["category"] or ""),
        )
        path = _existing(audio / name) if name else None
        clip_id = name and str(Path(name).with_suffix(""))
        if path is None:
            problems.append(f"line {line}: {audio / name} does not exist")
        elif not labels:
            problems.append(f"line {line}: {name} has no category")
        elif clip_id in clips:
            problems.append(f"line {line}: {name} is there twice")
        else:
            group = row.get("src_file") or row.get("group") or clip_id
            try:
                fold = int(row["fold"]) if row.get("fold") else None
            except ValueError:
                problems.append(f"line {line}: fold {row['fold']!r}: a number")
                continue
            split = row.get("split") or None
            if split not in (None, *SPLITS):
                problems.append(
                    f"line {line}: split {split!r}: one of {', '.join(SPLITS)}"
                )
            clips[clip_id] = LabelledClip(
                clip_id, path, labels, group, fold, split
            )
    if problems:
        raise UserError.collect(
            f"{table} cannot be used; mend these lines, or take them out",
            problems,
        )
    return [clips[key] for key in sorted(clips)]


def _existing(path: Path) -> Path | None:
    """Return a file that is there under its name or with another suffix."""
    for suffix in (path.suffix, ".wav", ".ogg", ".flac"):
        found = path.with_suffix(suffix)
        if suffix.lower() in AUDIO_SUFFIXES and found.is_file():
            return found
    return None


def choose_classes(
    clips: Sequence[LabelledClip],
    class_names: Sequence[str] | None,
    multi_label: bool,
    garbage_class: bool = False,
    n_samples_per_garbage_class: int | None = None,
    seed: int = 0,
) -> tuple[list[LabelledClip], list[str]]:
    """Return the clips of the classes asked for, and all class names.

    Arguments
    ---------
    class_names : sequence of str or None
        None takes every class there is, sorted.
    multi_label : bool
        Whether a clip may have several labels.
    garbage_class : bool
        Make one class ``other`` of clips of all other classes.
    n_samples_per_garbage_class : int or None
        Clips of each of these; None: as many as make it about as large as
        the others.
    seed : int
        Decides which.

    Raises
    ------
    UserError
        An unknown class, a single one, or several labels where one is
        wanted.
    """
    known = sorted({label for clip in clips for label in clip.labels})
    names = known if class_names is None else list(class_names)
    problems = []
    for name in names:
        if name not in known:
            close = " or ".join(nearest(name, known)) or ", ".join(known[:9])
            problems.append(
                f"class_names: class {name!r} has no clip; there is {close}"
            )
    if len(set(names)) != len(names):
        problems.append("class_names: a class is there twice")
    if len(names) + garbage_class < 2 and not multi_label:
        problems.append(
            f"one class only ({', '.join(names) or 'none'}): give at least "
            "two, or garbage_class: True"
        )
    several = [clip.id for clip in clips if len(clip.labels) > 1]
    if several and not multi_label:
        problems.append(
            f"{len(several)} clips have several labels ({several[0]}, ...): "
            "set multi_label: True"
        )
    if problems:
        raise UserError.collect("the classes cannot be used", problems)
    inside = [
        replace(clip, labels=tuple(x for x in clip.labels if x in names))
        for clip in clips
        if any(label in names for label in clip.labels)
    ]
    if not garbage_class:
        return inside, names
    if multi_label:
        raise UserError("garbage_class: for a single label only")
    rest = defaultdict(list)
    for clip in clips:
        if clip.labels[0] not in names:
            rest[clip.labels[0]].append(clip.id)
    if not rest:
        raise UserError("garbage_class: no class is left over for it")
    each = n_samples_per_garbage_class or math.ceil(
        len(inside) / len(names) / len(rest)
    )
    kept = {i for ids in rest.values() for i in hash_order(ids, seed)[:each]}
    inside += [replace(c, labels=(OTHER,)) for c in clips if c.id in kept]
    return sorted(inside, key=lambda clip: clip.id), [*names, OTHER]


def split_by_fold(
    clips: Iterable[LabelledClip], fold: int, valid_fold: int | None
) -> dict[str, list[LabelledClip]]:
    """Return train, valid and test; the test fold is never trained on.

    Arguments
    ---------
    fold : int
        Tested on.
    valid_fold : int or None
        Selected on; None: nothing is, and valid is empty.

    Raises
    ------
    UserError
        No such fold, or a source in two folds.
    """
    clips = list(clips)
    folds = sorted({clip.fold for clip in clips if clip.fold is not None})
    for wanted in (fold, valid_fold):
        if wanted is not None and wanted not in folds:
            there = ", ".join(map(str, folds)) or "none"
            raise UserError(
                f"fold {wanted}: there is {there} (of clips that can be used)"
            )
    splits = {split: [] for split in SPLITS}
    for clip in clips:
        place = {fold: "test", valid_fold: "valid"}.get(clip.fold, "train")
        splits[place].append(clip)
    return checked_splits(splits)


def split_by_group(
    clips: Iterable[LabelledClip], seed: int, fractions=FRACTIONS
) -> dict[str, list[LabelledClip]]:
    """Return train, valid and test by source, each class divided alike.

    Clips that name their split stay in it; the others are divided.

    Raises
    ------
    UserError
        A class with too few sources.
    """
    splits = {split: [] for split in SPLITS}
    groups: dict[str, list[LabelledClip]] = defaultdict(list)
    for clip in clips:
        if clip.split is not None:
            splits[clip.split].append(clip)
        else:
            groups[clip.group].append(clip)
    if splits["train"] and not splits["valid"] and not groups:
        # The published sets of some corpora have no validation set.
        for clip in splits["train"]:
            groups[clip.group].append(clip)
        splits["train"] = []
        fractions = {k: v for k, v in fractions.items() if k != "test"}
    by_class: dict[str, list[str]] = defaultdict(list)
    for group in sorted(groups):
        by_class[groups[group][0].labels[0]].append(group)
    problems = []
    for name, members in sorted(by_class.items()):
        if len(members) < len(fractions):
            problems.append(
                f"class {name!r}: {len(members)} sources, at least "
                f"{len(fractions)} are needed for {', '.join(fractions)}"
            )
            continue
        for group, split in divide(members, fractions, seed).items():
            splits[split] += groups[group]
    if problems:
        raise UserError.collect("the clips cannot be split", problems)
    return checked_splits(splits)


def checked_splits(splits):
    """Return the splits, sorted, or refuse what would mislead.

    Raises
    ------
    UserError
        A source in two splits; an empty training or test set; a class in
        test that training lacks.
    """
    problems = []
    places = defaultdict(set)
    for split, clips in splits.items():
        for clip in clips:
            places[clip.group].add(split)
    shared = sorted(g for g, where in places.items() if len(where) > 1)
    if shared:
        problems.append(
            f"{len(shared)} sources are in two splits ({shared[0]}, ...)"
        )
    for split in ("train", "test"):
        if not splits[split]:
            problems.append(f"{split} is empty")
    trained = {x for clip in splits["train"] for x in clip.labels}
    tested = Counter(
        x
        for split in ("valid", "test")
        for clip in splits[split]
        for x in clip.labels
    )
    for name in sorted(set(tested) - trained):
        problems.append(
            f"class {name!r} has {tested[name]} clips to test and none to "
            "train with"
        )
    if problems:
        raise UserError.collect("the clips cannot be split", problems)
    return {s: sorted(c, key=lambda clip: clip.id) for s, c in splits.items()}
