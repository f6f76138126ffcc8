"""Hashes by which a result is known to belong to its input."""

from collections.abc import Iterable
import hashlib
from pathlib import Path

#: Of these there may be many: size and time of change stand for them.
RECORDINGS = (".wav", ".flac", ".mp3", ".ogg", ".aiff", ".aif", ".opus")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def digest(paths: Iterable[Path]) -> str:
    """Return a hash of files and folders.

    Of recordings it takes name, size and time of change, of everything else
    name and content. Hidden files and compiled Python do not count.

    Arguments
    ---------
    paths : iterable of Path
        One that is not there counts as empty.

    Returns
    -------
    str
        Hexadecimal.
    """
    total = hashlib.sha256()
    for number, path in enumerate(map(Path, paths)):
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in files:
            name = file.relative_to(path)
            if not file.is_file() or _is_trace(name):
                continue
            total.update(f"{number} {name}\0".encode(errors="surrogateescape"))
            total.update(_state(file))
    return total.hexdigest()


def _state(file: Path) -> bytes:
    if file.suffix.lower() in RECORDINGS:
        facts = file.stat()
        return f"{facts.st_size} {facts.st_mtime_ns}\0".encode()
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _is_trace(name: Path) -> bool:
    """Tell whether a file only shows that something ran."""
    parts = name.parts
    return "__pycache__" in parts or any(p.startswith(".") for p in parts)
