"""Files that are either whole or not there."""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path
import tempfile


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path that takes the place of ``path`` on success.

    A reader sees the old file or the new one, never a part; on an error the
    old file stays. Missing folders are made.

    Arguments
    ---------
    path : path-like

    Yields
    ------
    pathlib.Path
        In the same folder, with the same suffix.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes it private; a new file should be as any other.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
