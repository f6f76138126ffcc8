"""Find what is in two splits and should be in one."""

from collections.abc import Mapping
import hashlib
from itertools import combinations
from pathlib import Path

from edgebrain.data.checks import FileReport
from edgebrain.data.layout import Clip, shorten

_GROUPS = {
    "speech": "speakers",
    "paired": "speakers",
    "noise": "noises",
    "rir": "rooms",
}


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
                f"{role}: {len(common)} {_GROUPS[role]} are in {one} and in "
                f"{other} ({shorten(common)}); scores will flatter the model"
            )
    return lines


def shared_files(
    role: str,
    splits: Mapping[str, list[Clip]],
    reports: Mapping[Path, FileReport],
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
                mark = (key, reports[path].fingerprint)
                if not mark[1]:
                    continue
                seen = first.setdefault(mark, {})
                lines += [
                    f"{path}: is in {split} and, as {twin}, in {other}; "
                    "remove it from one of them"
                    for other, twin in seen.items()
                    if other != split and _same_content(path, twin)
                ]
                seen.setdefault(split, path)
    return lines


def _same_content(one: Path, other: Path) -> bool:
    return one.samefile(other) or _digest(one) == _digest(other)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").digest()
