"""Files and folders that are whole, and lose nothing of a user's."""

import atexit
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
import hashlib
import json
import math
import numbers
import os
from pathlib import Path
import secrets
import shutil
import time
from typing import Any

from edgebrain.errors import UserError

#: In a folder that a tool wrote: its files and their SHA-256.
RECORD = "written.json"
_TEMPORARY = ".tmp"
_STALE_SECONDS = 3600


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path that takes the place of ``path`` at the end.

    Whoever reads ``path`` finds the old file or the new one, never a half
    of it. If the body raises, the temporary file is removed and ``path`` is
    as it was. It is a hidden name in the same folder, so that the move is
    atomic, with the same suffix; the folder is made if it is not there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name stays within the 255 bytes a file name may have.
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"
    name = f".{path.stem[:40]}.{mark}{_TEMPORARY}{path.suffix}"
    temporary = path.parent / name
    _open.add(temporary)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        _open.discard(temporary)


#: What is being written. A thread does not live to its ``finally`` when the
#: process ends.
_open: set[Path] = set()


@atexit.register
def _remove_open() -> None:
    for temporary in list(_open):
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path | str) -> None:
    """Remove what a killed process left of :func:`replacing` in a folder.

    Only files older than an hour go: a younger one may be another process at
    work.
    """
    oldest = time.time() - _STALE_SECONDS
    for leftover in Path(folder).glob(f".*{_TEMPORARY}*"):
        try:
            if leftover.stat().st_mtime < oldest:
                leftover.unlink()
        except FileNotFoundError:
            continue  # another process was faster


def write_json(path: Path | str, content: Any, indent: int | None = 2) -> None:
    """Write valid JSON atomically, unless the file already says the same.

    NaN and infinite values become null; numpy numbers and arrays, and paths,
    are converted.
    """
    path, plain = Path(path), _plain(content)
    text = json.dumps(plain, indent=indent, ensure_ascii=False) + "\n"
    data = text.encode("utf-8", errors="surrogateescape")
    if path.is_file() and path.read_bytes() == data:
        return
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _plain(content: Any) -> Any:
    """Return the content in the types that JSON has."""
    if isinstance(content, Mapping):
        return {str(key): _plain(value) for key, value in content.items()}
    if hasattr(content, "tolist"):
        return _plain(content.tolist())
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    if content is None or isinstance(content, (bool, str)):
        return content
    if isinstance(content, numbers.Integral):
        return int(content)
    if isinstance(content, numbers.Real):
        return float(content) if math.isfinite(content) else None
    if isinstance(content, os.PathLike):
        return os.fspath(content)
    raise TypeError(f"JSON has no form of {type(content).__name__}")


def write_text(path: Path | str, text: str) -> None:
    """Write a text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(path: Path | str, marker: str) -> Iterator[Path]:
    """Give an empty folder whose files take their place in ``path`` at the end.

    If the body raises, ``path`` is as it was. A folder that the same tool
    wrote before is written again: files of its record are replaced or go,
    others stay. Of a process that is killed while they are moved remains a
    folder without record, which is refused from then on.

    Arguments
    ---------
    marker : str
        File that the body writes and by which the tool knows its folders.
    """
    path = Path(path).resolve()
    check_folder(path, marker)
    there = path.is_dir()
    beside = path if there else path.parent
    beside.mkdir(parents=True, exist_ok=True)
    new = beside / f".unfinished-{secrets.token_hex(4)}"
    new.mkdir()
    try:
        yield new
        files = {
            file.relative_to(new).as_posix(): sha256(file)
            for file in sorted(new.rglob("*"))
            if file.is_file()
        }
        own = check_folder(path, marker)
        if there:
            _move_into(path, new, files, own)
        write_json((path if there else new) / RECORD, {"files": files})
        if not there:
            os.rename(new, path)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def free_bytes(path: Path | str) -> int:
    """Return what is free where a file or folder is, or is to be, made."""
    path = Path(path).absolute()
    there = next(p for p in (path, *path.parents) if p.exists())
    return shutil.disk_usage(there).free


def check_place(path: Path | str | None, mend: str = "give another") -> None:
    """Refuse a place where no folder can be made or written."""
    if path is None:
        return
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: is a file; {mend} folder")
    above = path.resolve()
    while not above.exists():
        above = above.parent
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        raise UserError(f"{path}: {above} cannot be written; {mend} folder")


def check_folder(path: Path | str, marker: str) -> dict[str, str]:
    """Refuse a folder that :func:`whole_folder` could not or must not write.

    Returns what the tool wrote there before: names and SHA-256.
    """
    path, mend = Path(path), "give another --output_folder"
    check_place(path)
    if not path.is_dir() or not any(
        not p.name.startswith(".unfinished-") for p in path.iterdir()
    ):
        return {}
    try:
        own = dict(json.loads((path / RECORD).read_text("utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        own = {}
    if marker not in own or any(".." in n or n[:1] == "/" for n in own):
        raise UserError(
            f"{path}: holds other files (no {RECORD} of this tool); {mend}"
        )
    edited = [
        name
        for name, digest in own.items()
        if (path / name).is_file() and sha256(path / name) != digest
    ]
    if edited:
        raise UserError(
            f"{path}: {', '.join(edited)}: edited since this tool wrote it; "
            f"move or delete it, or {mend}"
        )
    return own


def _move_into(path: Path, new: Path, files: dict, own: dict) -> None:
    """Replace the tool's own files in a folder by new ones."""
    foreign = [n for n in files if n not in own and os.path.lexists(path / n)]
    if foreign:
        raise UserError(
            f"{path}: {', '.join(foreign)}: not written by this tool, which "
            "would overwrite it; move or delete it, or give another "
            "--output_folder"
        )
    (path / RECORD).unlink(missing_ok=True)
    for name in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(new / name, path / name)
    for name in own.keys() - files.keys():
        (path / name).unlink(missing_ok=True)
        with suppress(OSError):  # others' files are in it
            (path / name).parent.rmdir()
