"""Gather the clips of a set and list all that is wrong with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path, PurePosixPath

from edgebrain.data.audio import AudioInfo
from edgebrain.data.ingest import Recording
from edgebrain.data.layout import ROLES, SIDES, Clip, Found, group_of
from edgebrain.errors import shorten
from edgebrain.files import sha256

#: Shortest speech, noise or pair in seconds that is not refused. A room
#: response may have any length.
MIN_SECONDS = 0.1
#: What to do about files that cannot be used.
SKIP_BAD = "--skip_bad True leaves bad ones out"


@dataclass
class Findings:
    """What is gathered on the way through the sets."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ignored: int = 0
    bad: bool = False


def gather(
    role: str, files: Mapping[str, Found], found: Findings
) -> list[Clip]:
    """Return the clips of one set, sorted by id; none if it is all wrong.

    Arguments
    ---------
    files : mapping of str to Found
        By key of the manifest; those of one id make a clip.
    found : Findings
        Takes what is wrong: empty folders, two files of one id, files
        without partner, names that manifests cannot hold.
    """
    sides: dict[str, dict[str, tuple[str, Path]]] = {}
    for key, some in files.items():
        found.ignored += some.ignored
        if not some.files:
            place = some.folder or f"{role} {key}"
            found.problems.append(f"{place}: holds no audio files")
        sides[key] = _by_id(some.files, found)
    if not all(sides.values()):
        return []
    ids = set.intersection(*(set(side) for side in sides.values()))
    for key, side in sides.items():
        others = [
            files[o].folder or f"the {o} files" for o in sides if o != key
        ]
        found.problems += [
            f"{path}: has no partner of that name in {others[0]}"
            for id_, (_, path) in side.items()
            if id_ not in ids
        ]
    clips = []
    for id_ in sorted(ids):
        relative = next(iter(sides.values()))[id_][0]
        paths = {key: side[id_][1] for key, side in sides.items()}
        clips.append(Clip(id_, paths, group_of(relative, role)))
    return clips


def _by_id(files: Mapping[str, Path], found) -> dict:
    """Return id -> (relative path, path); double ids are problems."""
    result: dict[str, tuple[str, Path]] = {}
    for relative, path in files.items():
        id_ = PurePosixPath(relative).with_suffix("").as_posix()
        if id_ in result:
            found.problems.append(
                f"{path}: differs from {result[id_][1].name} beside it only "
                "in its suffix; keep one of the two"
            )
        elif "{" in relative or "}" in relative:
            found.problems.append(
                f"{path}: has a brace in its name, which SpeechBrain "
                "manifests keep for themselves; rename it"
            )
        else:
            result[id_] = (relative, path)
    return result


def check_clips(
    sets: Mapping[str, dict[str, list[Clip]]],
    recordings: Mapping[Path, Recording],
    skip_bad: bool,
    found: Findings,
) -> None:
    """Note bad files, and pairs whose files differ.

    Shorter clips than MIN_SECONDS are bad, except room responses. With
    ``skip_bad`` bad clips are taken out of the sets, with a warning.
    """
    for role, splits in sets.items():
        least = 0.0 if role == "rir" else MIN_SECONDS
        for split, clips in splits.items():
            kept, bad = [], []
            for clip in clips:
                faults = [
                    f"{path}: {fault}"
                    for path in clip.files.values()
                    if (fault := recordings[path].fault_within(least))
                ]
                if not faults and role == "paired":
                    faults = differences(
                        *(recordings[clip.files[s]].info for s in SIDES)
                    )
                bad += faults
                if not faults:
                    kept.append(clip)
            found.bad |= bool(bad)
            if not skip_bad:
                found.problems += bad
                continue
            splits[split] = kept
            if bad:
                found.warnings.append(
                    f"{role} {split}: {len(clips) - len(kept)} bad left out: "
                    + "; ".join(bad)
                )
            if not kept:
                found.problems.append(f"{role} {split}: all files are bad")


def differences(noisy: AudioInfo, clean: AudioInfo) -> list[str]:
    """Say in what the two files of a pair differ."""
    if noisy.sample_rate != clean.sample_rate:
        return [
            f"{noisy.path}: has {noisy.sample_rate} Hz, its clean partner "
            f"{clean.sample_rate} Hz"
        ]
    if noisy.frames != clean.frames:
        return [
            f"{noisy.path}: has {noisy.frames} samples, its clean partner "
            f"{clean.frames}"
        ]
    return []


def files_of(splits: Mapping[str, list[Clip]]) -> list[Path]:
    """Return the files of all clips."""
    return [
        path
        for clips in splits.values()
        for clip in clips
        for path in clip.files.values()
    ]


def shared_groups(role: str, splits: Mapping[str, list[Clip]]) -> list[str]:
    """Return a line for each two splits with speakers (noises) in common."""
    groups = {
        split: {clip.group for clip in clips} for split, clips in splits.items()
    }
    lines = []
    for one, other in combinations(groups, 2):
        common = sorted(groups[one] & groups[other])
        if common:
            lines.append(
                f"{role}: {len(common)} {ROLES[role]}s are in {one} and in "
                f"{other} ({shorten(common)}); scores will flatter the model"
            )
    return lines


def shared_files(
    role: str,
    splits: Mapping[str, list[Clip]],
    recordings: Mapping[Path, Recording],
) -> list[str]:
    """Return a line for each recording that is in two splits.

    Links to one file and copies of it are found too: files of equal size
    and equal start are compared whole.
    """
    first: dict[tuple, dict[str, Path]] = {}
    lines = []
    for split, clips in splits.items():
        for clip in clips:
            for key, path in clip.files.items():
                mark = (key, recordings[path].fingerprint)
                if not mark[1]:
                    continue
                seen = first.setdefault(mark, {})
                lines += [
                    f"{path}: is in {split} and, as {twin}, in {other}; "
                    "remove it from one of them"
                    for other, twin in seen.items()
                    if other != split
                    and (path.samefile(twin) or sha256(path) == sha256(twin))
                ]
                seen.setdefault(split, path)
    return lines
