"""Folders that are whole or not there at all."""

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import secrets
import shutil

from edgebrain.errors import UserError


@contextmanager
def whole_folder(path: str | Path, marker: str) -> Iterator[Path]:
    """Give an empty folder that takes the place of ``path`` at the end.

    If the body raises, nothing of it stays and ``path`` is as it was.

    Arguments
    ---------
    path : str or Path
        May be there already when it holds ``marker``: then it was made here
        and is replaced.
    marker : str
        Name of a file that the body writes.

    Yields
    ------
    Path

    Raises
    ------
    UserError
        When ``path`` holds files that were not made here.
    """
    path = Path(path)
    check_replaceable(path, marker)
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.parent / f".{path.name[:40]}.{mark}.tmp"
    old = path.parent / f".{path.name[:40]}.{mark}.old"
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            os.replace(path, old)
        os.replace(temporary, path)
    finally:
        if old.exists() and not path.exists():
            os.replace(old, path)
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def check_replaceable(path: str | Path, marker: str) -> None:
    """Refuse a folder that holds something else.

    Raises
    ------
    UserError
    """
    path = Path(path)
    if path.is_dir() and any(path.iterdir()) and not (path / marker).is_file():
        raise UserError(
            f"{path}: holds other files (no {marker}); give another "
            "--output_folder"
        )
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: is a file; give another --output_folder")
