"""Files that are whole or not there at all."""

from collections.abc import Iterator
from contextlib import contextmanager
import json
import os
from pathlib import Path
import secrets
import time

_TEMPORARY = ".tmp"
_STALE_SECONDS = 3600


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Give a temporary path that takes the place of ``path`` at the end.

    Whoever reads ``path`` finds the old file or the new one, never a half
    of it. If the body raises, the temporary file is removed and ``path`` is
    as it was.

    Arguments
    ---------
    path : Path or str
        The file to write. Its folder is made if it is not there.

    Yields
    ------
    Path
        A hidden name in the same folder, so that the move is atomic, with
        the same suffix.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name stays within the 255 bytes a file name may have.
    mark = f"{os.getpid()}-{secrets.token_hex(4)}"
    name = f".{path.stem[:40]}.{mark}{_TEMPORARY}{path.suffix}"
    temporary = path.parent / name
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
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


def write_json(path: Path | str, content, indent: int | None = 2) -> bool:
    """Write JSON atomically, unless the file already says the same.

    Returns
    -------
    bool
        Whether the file was written.
    """
    path = Path(path)
    text = json.dumps(content, indent=indent, ensure_ascii=False) + "\n"
    data = text.encode("utf-8", errors="surrogateescape")
    if path.is_file() and path.read_bytes() == data:
        return False
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return True
