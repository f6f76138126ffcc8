"""Folders that are whole or not there at all, and lose nothing of a user's.

A new version is prepared beside the folder, gets links to the files that are
not the tool's, and takes its place in one move. Where that cannot be (it is
the working folder, a mount, or its file system has no such move), the new
version is prepared inside it; from the rename to ``.written.*.new`` on the
new version counts, and whoever comes next finishes moving its files up.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
import ctypes
import os
from pathlib import Path
import re
import secrets
import shutil
import tempfile
import time

from edgebrain.errors import UserError
from edgebrain.stamps import sha256

from deploy.folder_record import (
    RECORD,
    read_record,
    refuse_edited,
    refuse_foreign,
    write_record,
)

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_MARK = r"\d+-[0-9a-f]{8}"
_STALE_SECONDS = 3600
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def whole_folder(
    path: str | Path, marker: str, aside: Mapping[str, str] | None = None
) -> Iterator[Path]:
    """Give an empty folder whose files take their place in ``path`` at the end.

    If the body raises, nothing of it stays and ``path`` is as it was. Files
    in ``path`` that were not made here stay there; those that were, and are
    not written again, go.

    Arguments
    ---------
    path : str or Path
        May be there already when it, or its record, holds ``marker``.
    marker : str
        Name of a file that the body writes.
    aside : mapping of str to str, optional
        New names for entries of ``path`` that are not of this tool.

    Yields
    ------
    Path

    Raises
    ------
    UserError
        When ``path`` holds other files alone, or one that would be lost.
    """
    check_replaceable(path, marker)
    path = Path(path).resolve()
    made = _make(path.parent)
    inside = _must_stay(path)
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"
    name = f".written.{mark}.tmp" if inside else f"{_beside(path)}{mark}.tmp"
    new = (path if inside else path.parent) / name
    new.mkdir()
    lock = _lock(new)
    try:
        yield new
        files = write_record(new)
        _check_files(path, files)
        aside = aside or {}
        if inside or not _swap(new, path, aside):
            _move_up(new, path, mark, aside)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if lock is not None:
            os.close(lock)
        _unmake(made)


def check_replaceable(
    path: str | Path, marker: str, names: Iterable[str] = ()
) -> None:
    """Refuse a folder that cannot be written or would lose something.

    What a killed process left of it is cleared up first.

    Arguments
    ---------
    path : str or Path
    marker : str
        As of :func:`whole_folder`.
    names : iterable of str
        Files that will be written, as far as they are known.

    Raises
    ------
    UserError
    """
    given = path
    try:
        path = Path(path).resolve()
        if path.exists() and not path.is_dir():
            raise UserError(f"{given}: is a file; give another --output_folder")
        _probe(path)
        _clear_up(path)
        holds = path.is_dir() and any(path.iterdir())
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{given}: no folder can be written there ({reason}); give "
            "another --output_folder"
        ) from None
    known = read_record(path)
    if holds and not (path / marker).is_file() and marker not in (known or {}):
        raise UserError(
            f"{given}: holds other files (no {marker}); give another "
            "--output_folder"
        )
    if known is not None:
        refuse_edited(path, known)
        refuse_foreign(path, known, names, None)


def _check_files(path: Path, files: dict, also: dict | None = None) -> None:
    known = read_record(path)
    if known is not None:
        refuse_edited(path, known, also)
    names = [*files, RECORD] if known is None else files
    refuse_foreign(path, known, names, files)


# -- Where a folder can be ---------------------------------------------------
def _make(path: Path) -> list[Path]:
    """Make a folder; return those that were missing, the deepest first."""
    missing = [path, *path.parents]
    missing = [p for p in missing if not p.exists()]
    made: list[Path] = []
    try:
        for folder in reversed(missing):
            folder.mkdir(exist_ok=True)
            made.insert(0, folder)
    except BaseException:
        _unmake(made)
        raise
    return made


def _unmake(made: list[Path]) -> None:
    """Remove folders that stayed empty."""
    for folder in made:
        with suppress(OSError):
            folder.rmdir()


def _probe(path: Path) -> None:
    """Write into a folder, and leave no trace.

    Raises
    ------
    OSError
    """
    made = _make(path)
    try:
        Path(tempfile.mkdtemp(prefix=".written.", dir=path)).rmdir()
    finally:
        _unmake(made)


def _must_stay(path: Path) -> bool:
    """Tell whether a folder cannot be another one all of a sudden."""
    if not path.is_dir():
        return False
    with suppress(OSError):
        if Path.cwd().resolve().is_relative_to(path):
            return True
    return path.is_mount() or not os.access(path.parent, os.W_OK)


# -- What a killed process left ----------------------------------------------
def _beside(path: Path) -> str:
    """Return how the names of new versions begin."""
    return f".{path.name[:40]}."  # a name has at most 255 bytes


def _clear_up(path: Path) -> None:
    if path.parent.is_dir():
        beside = re.compile(rf"{re.escape(_beside(path))}{_MARK}\.tmp")
        _remove_dead(path.parent, beside)
    if not path.is_dir():
        return
    ready = re.compile(rf"\.written\.{_MARK}\.new")
    for left in sorted(p for p in path.iterdir() if ready.fullmatch(p.name)):
        if _is_dead(left):
            # The record is the last to go up: without it all is done.
            files = read_record(left)
            if files is not None:
                _check_files(path, files, files)
            _finish(left, path)
    _remove_dead(path, re.compile(rf"\.written\.{_MARK}\.tmp"))


def _remove_dead(folder: Path, name: re.Pattern) -> None:
    with suppress(PermissionError):  # not everybody may list a parent
        for left in list(folder.iterdir()):
            if name.fullmatch(left.name) and _is_dead(left):
                shutil.rmtree(left, ignore_errors=True)


def _lock(folder: Path) -> int | None:
    """Show others that this process is at work on a folder.

    Raises
    ------
    BlockingIOError
        When another one is.
    """
    if fcntl is None:
        return None
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(number)
        raise
    except OSError:  # a file system without locks
        os.close(number)
        return None
    return number


def _is_dead(folder: Path) -> bool:
    """Tell whether nobody is at work on a folder."""
    try:
        number = _lock(folder)
        if number is None:
            age = time.time() - folder.stat().st_mtime
            return age > _STALE_SECONDS
    except OSError:
        return False
    os.close(number)
    return True


# -- At once -----------------------------------------------------------------
def _swap(new: Path, path: Path, aside: Mapping[str, str]) -> bool:
    """Put a folder in the place of another, if that goes in one move."""
    try:
        if not path.exists() or not any(path.iterdir()):
            if path.exists():
                shutil.copymode(path, new)
            os.rename(new, path)
            return True
        own = {*(read_record(path) or {}), RECORD}
        _carry(path, new, own, aside)
        shutil.copymode(path, new)
        if not _exchange(new, path):
            return False
    except OSError:
        return False
    # Now ``new`` is the old one: what came into it meanwhile comes along.
    with suppress(OSError):
        _carry(new, path, own, aside)
    return True


def _carry(
    old: Path, new: Path, own: set, aside: Mapping[str, str], top: str = ""
) -> None:
    """Link what is not of this tool from one folder into another."""
    for entry in list(os.scandir(old)):
        name = top + entry.name
        target = new / aside.get(name, entry.name)
        if not entry.is_dir(follow_symlinks=False):
            if name not in own and not os.path.lexists(target):
                os.link(entry.path, target, follow_symlinks=False)
            continue
        made = not target.exists()
        if made:
            target.mkdir()
        _carry(Path(entry.path), target, own, {}, f"{name}/")
        if made and any(n.startswith(f"{name}/") for n in own):
            with suppress(OSError):
                target.rmdir()  # where it held files of the tool alone
        if made and target.exists():
            shutil.copystat(entry.path, target)


def _exchange(a: Path, b: Path) -> bool:
    """Let two folders change places in one move; False where none can."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    names = _AT_FDCWD, os.fsencode(a), _AT_FDCWD, os.fsencode(b)
    return rename(*names, _RENAME_EXCHANGE) == 0


# -- File by file ------------------------------------------------------------
def _move_up(
    new: Path, path: Path, mark: str, aside: Mapping[str, str]
) -> None:
    """Put the files of one folder into another."""
    ready = path / f".written.{mark}.new"
    try:
        for name, other in aside.items():
            os.rename(path / name, path / other)
        os.rename(new, ready)
        _finish(ready, path)
    except BaseException:
        if new.exists():
            for name, other in aside.items():
                if not os.path.lexists(path / name):
                    os.rename(path / other, path / name)
        elif ready.exists():
            _finish(ready, path)
        raise


def _finish(ready: Path, path: Path) -> None:
    """Move files up, however many were before."""
    files = read_record(ready)
    if files is not None:
        known = read_record(path) or {}
        for name in known.keys() - files.keys():
            _remove(path, name, known[name])
        for name in [*files, RECORD]:
            if (ready / name).exists():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(ready / name, path / name)
    shutil.rmtree(ready)


def _remove(path: Path, name: str, digest: str) -> None:
    """Remove a file of this tool, and folders that it leaves empty."""
    file = path / name
    if file.is_file() and sha256(file) == digest:
        file.unlink()
        _unmake([p for p in file.parents if p != path and path in p.parents])
