"""The record of what a tool wrote into a folder, and who else did."""

from collections.abc import Iterable
import json
import os
from pathlib import Path, PurePosixPath

from edgebrain.errors import UserError
from edgebrain.stamps import sha256

#: Beside the files: their names and SHA-256.
RECORD = "written.json"
_SHOWN = 8


def read_record(folder: Path) -> dict[str, str] | None:
    """Return the SHA-256 of the tool's files by name.

    Arguments
    ---------
    folder : Path

    Returns
    -------
    dict of str to str or None
        None where no record is, or nothing that can be one.
    """
    try:
        content = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        files = content["files"]
        named = all(
            isinstance(digest, str) and _is_inside(name)
            for name, digest in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return files if named else None


def write_record(folder: Path) -> dict[str, str]:
    """Record all files of a folder that nobody else has seen yet."""
    files = {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != RECORD
    }
    text = json.dumps({"files": files}, indent=2, sort_keys=True) + "\n"
    (folder / RECORD).write_text(text, encoding="utf-8")
    return files


def refuse_edited(folder: Path, known: dict, also: dict | None = None):
    """Refuse a folder where files of the tool were edited.

    Arguments
    ---------
    folder : Path
    known : dict of str to str
        Its record.
    also : dict of str to str, optional
        Another record that a file may follow.

    Raises
    ------
    UserError
    """
    also = also or {}
    edited = []
    for name, digest in known.items():
        path = folder / name
        if os.path.lexists(path) and not (
            _is_plain(folder, name) and sha256(path) in (digest, also.get(name))
        ):
            edited.append(name)
    if edited:
        raise UserError(
            f"{folder}: {_list(edited)}: edited since this tool wrote "
            f"{_it(edited)}; move or delete {_it(edited)}, or give another "
            "--output_folder"
        )


def refuse_foreign(
    folder: Path, known: dict | None, names: Iterable[str], new: dict | None
):
    """Refuse to write over what the tool did not write.

    Arguments
    ---------
    folder : Path
    known : dict of str to str or None
        Its record.
    names : iterable of str
        The files to write.
    new : dict of str to str or None
        Their SHA-256: a file that already says the same is no obstacle.

    Raises
    ------
    UserError
    """
    own, foreign = known or {}, []
    for name in names:
        steps = [p.as_posix() for p in PurePosixPath(name).parents][:-1]
        for step in reversed(steps):
            there = folder / step
            folded = there.is_dir() and not there.is_symlink()
            if os.path.lexists(there) and not folded and step not in own:
                foreign.append(step)
                break
        else:
            if name in own or not os.path.lexists(folder / name):
                continue
            same = new and _is_plain(folder, name)
            if not same or sha256(folder / name) != new.get(name):
                foreign.append(name)
    foreign = list(dict.fromkeys(foreign))
    if foreign and known is None:
        raise UserError(
            f"{folder}: no record ({RECORD}) says that this tool wrote "
            f"{_list(foreign)}, which it would overwrite; move the folder "
            "away, or give another --output_folder"
        )
    if foreign:
        raise UserError(
            f"{folder}: {_list(foreign)}: not written by this tool, which "
            f"would overwrite {_it(foreign)}; move or delete {_it(foreign)}, "
            "or give another --output_folder"
        )


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(path.parts) and not (path.is_absolute() or ".." in path.parts)


def _is_plain(folder: Path, name: str) -> bool:
    """Tell whether a file is reached through no link."""
    path = folder / name
    above = list(path.parents)[: len(PurePosixPath(name).parts) - 1]
    return path.is_file() and not any(p.is_symlink() for p in (path, *above))


def _list(names: list[str]) -> str:
    more = len(names) - _SHOWN
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _it(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"
