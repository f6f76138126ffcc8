"""Turn folders of recordings into checked SpeechBrain JSON manifests.

The folders are read anew at every call: a manifest never says what was
there last time. What costs time, decoding and converting, is kept in the
cache folder, so a second call takes about a second for 10,000 files.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
import logging
from pathlib import Path

from edgebrain.data.collect import (
    SKIP_BAD,
    Findings,
    check_clips,
    files_of,
    gather,
    shared_files,
    shared_groups,
)
from edgebrain.data.ingest import ingest
from edgebrain.data.layout import (
    ROLES,
    SPLITS,
    Clip,
    Splits,
    find_layouts,
)
from edgebrain.data.resampling import resampled_length
from edgebrain.data.splits import complete_splits, take
from edgebrain.errors import UserError
from edgebrain.files import write_json

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedData:
    """Where the manifests of a data set are, and what is in it.

    Arguments
    ---------
    data_root : Path
        What ``{data_root}`` stands for in the manifests.
    manifests : dict
        Role ("speech", "noise", "rir" or "paired") -> split ("train",
        "valid", "test") -> path. A role without files is not there.
    summary : str
        Table of clips, hours and speakers, for people.
    notes : tuple of str
        How sets were split, what was converted and what was not used.
    warnings : tuple of str
        What may spoil results: speakers in two splits, files left out.
    """

    data_root: Path
    manifests: dict[str, dict[str, Path]]
    summary: str
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def prepare_folder(
    data_folder: Path | str | Sequence[Path | str],
    output_folder: Path | str,
    sample_rate: int,
    cache_folder: Path | str,
    seed: int,
    **options,
) -> PreparedData:
    """Recognise what a data folder holds, check it and write manifests.

    The layouts are those of ``edgebrain.data.layout.LAYOUTS``: ``speech/``
    with optional ``noise/`` and ``rir/``, or ``clean/`` and ``noisy/``
    pairs, each with or without train, valid and test folders.

    Arguments
    ---------
    data_folder : Path or str, or sequence of these
        The folder; it is only read. Of several folders, which must have the
        same layout, each split holds the recordings of all.
    output_folder : Path or str
        Where manifests go, as ``<role>_<split>.json``.
    sample_rate : int
        Rate in Hz that every file gets.
    cache_folder : Path or str
        Where converted audio and the results of checks are kept.
    seed : int
        Seed of splits and of ``num_train`` and its like.

    Raises
    ------
    UserError
        If no layout fits, and as :func:`prepare_sets`.
    """
    several = isinstance(data_folder, list | tuple)
    data_folders = data_folder if several else [data_folder]
    roles, notes = find_layouts(data_folders)
    return prepare_sets(
        roles,
        data_folders[0],
        output_folder,
        sample_rate,
        cache_folder,
        seed,
        notes=notes,
        **options,
    )


def prepare_sets(
    roles: Mapping[str, Splits],
    data_root: Path | str,
    output_folder: Path | str,
    sample_rate: int,
    cache_folder: Path | str,
    seed: int,
    *,
    num_train: int | float | None = None,
    num_valid: int | float | None = None,
    num_test: int | float | None = None,
    valid_speakers: Sequence[str] | None = None,
    skip_bad: bool = False,
    n_jobs: int = -1,
    notes: Iterable[str] = (),
) -> PreparedData:
    """Check given files and write their manifests.

    For data sets whose folders have names of their own. All files are
    checked, then converted where needed (see :mod:`edgebrain.data.ingest`),
    then the manifests are written; those of roles that are not there are
    removed.

    Arguments
    ---------
    roles : mapping
        "speech", "noise" and "rir", or "paired", to the files of each split.
        If valid or test is not there, it is split off from train: by speaker
        (noise, room) if there are at least three, else by file.
    data_root : Path or str
        Files below it are named by ``{data_root}`` in the manifests.
    num_train, num_valid, num_test : int, float or None
        Use that many speech clips or pairs, or that fraction of them.
    valid_speakers : sequence of str, optional
        Speakers that become the validation set, if it is split off here.
    skip_bad : bool
        Leave bad files out with a warning, instead of refusing the set.
    n_jobs : int
        Threads that check and convert; -1 is one a core.
    notes : iterable of str
        Put before the notes of the result.

    Raises
    ------
    UserError
        Lists together: empty sets, bad files, two files of one id, files
        without partner, pairs that differ in length or rate, files that are
        in two splits. Also if there are too few files to split, or too
        little disk.
    """
    data_root = Path(data_root).absolute()
    output_folder = Path(output_folder)
    found = Findings(notes=list(notes))
    numbers = {"train": num_train, "valid": num_valid, "test": num_test}
    sets: dict[str, dict[str, list[Clip]]] = {}
    for role, by_split in roles.items():
        main = ROLES[role] == "speaker"
        given = {
            split: gather(role, files, found)
            for split, files in by_split.items()
        }
        if any(not clips for clips in given.values()):
            continue  # the problem is noted, the other roles are looked at
        sets[role], split_notes = complete_splits(
            role, given, seed, valid_speakers if main else None
        )
        found.notes += split_notes
        if main:
            for split, number in numbers.items():
                sets[role][split] = take(sets[role][split], number, seed)
    recordings = {}
    for role, splits in sets.items():
        recordings |= ingest(
            files_of(splits), sample_rate, cache_folder, role == "rir", n_jobs
        )
    check_clips(sets, recordings, skip_bad, found)
    for role, splits in sets.items():
        found.problems += shared_files(role, splits, recordings)
        found.warnings += shared_groups(role, splits)
    if found.problems:
        mend = f" ({SKIP_BAD})" if found.bad and not skip_bad else ""
        raise UserError.collect(
            f"data in {data_root} cannot be used{mend}", found.problems
        )
    manifests = {}
    for role, splits in sets.items():
        found.notes += _copies(role, splits, recordings, sample_rate)
        manifests[role] = {}
        for split, clips in splits.items():
            path = output_folder / f"{role}_{split}.json"
            entries = {
                clip.id: _entry(role, clip, recordings, data_root, sample_rate)
                for clip in sorted(clips, key=lambda clip: clip.id)
            }
            write_json(path, entries)
            manifests[role][split] = path
    for role in ROLES.keys() - manifests.keys():
        for split in SPLITS:
            path = output_folder / f"{role}_{split}.json"
            path.unlink(missing_ok=True)
    if found.ignored:
        found.notes.append(f"{found.ignored} files are not audio: ignored")
    for warning in found.warnings:
        logger.warning(warning)
    return PreparedData(
        data_root=data_root,
        manifests=manifests,
        summary=summary_table(sets, recordings),
        notes=tuple(found.notes),
        warnings=tuple(found.warnings),
    )


def find_prepared(
    output_folder: Path | str, data_root: Path | str
) -> PreparedData:
    """Return what :func:`prepare_sets` left in a folder, without a check.

    ``data_root`` is what ``{data_root}`` stands for now.
    """
    folder = Path(output_folder)
    manifests = {}
    for role in ROLES:
        paths = {split: folder / f"{role}_{split}.json" for split in SPLITS}
        if all(path.is_file() for path in paths.values()):
            manifests[role] = paths
    if "speech" not in manifests and "paired" not in manifests:
        raise UserError(
            f"{folder}: there are no manifests of an earlier run; run once "
            "without skip_prep"
        )
    return PreparedData(
        data_root=Path(data_root).absolute(),
        manifests=manifests,
        summary=f"The manifests in {folder} are used as they are.",
    )


def _copies(role, splits, recordings, sample_rate) -> list[str]:
    """Return a line on the files that are read as copies."""
    found = [recordings[path] for path in files_of(splits)]
    copies = [r for r in found if r.ready != r.info.path]
    if not copies:
        return []
    several = sum(r.info.channels > 1 for r in found)
    how = "first channel" if role == "rir" else "mean of the channels"
    return [
        f"{role}: {len(copies)} of {len(found)} files are read as "
        f"{sample_rate} Hz mono copies in {copies[0].ready.parent}"
        + (f", {how} of {several} files" if several else "")
    ]


def _entry(role, clip, recordings, data_root, sample_rate) -> dict:
    """Return what a manifest says of one clip."""
    found = {key: recordings[path] for key, path in clip.files.items()}
    entry = {key: _named(r.ready, data_root) for key, r in found.items()}
    info = next(iter(found.values())).info
    frames = resampled_length(info.frames, info.sample_rate, sample_rate)
    entry["duration"] = round(frames / sample_rate, 6)
    key = "speaker" if ROLES[role] == "speaker" else "group"
    entry[key] = clip.group
    return entry


def _named(path: Path, data_root: Path) -> str:
    """Return a path as manifests name it."""
    path = path.absolute()
    if path.is_relative_to(data_root):
        return "{data_root}/" + path.relative_to(data_root).as_posix()
    return str(path)


def summary_table(sets, recordings) -> str:
    """Return clips, hours and speakers (noises, rooms) of each split."""
    rows = [("set", "split", "clips", "hours", "speakers or groups")]
    for role, splits in sets.items():
        for split, clips in splits.items():
            first = (next(iter(clip.files.values())) for clip in clips)
            hours = sum(recordings[path].info.duration for path in first) / 3600
            groups = len({clip.group for clip in clips})
            rows.append(
                (role, split, str(len(clips)), f"{hours:.2f}", str(groups))
            )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
