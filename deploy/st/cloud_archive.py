"""Unpack a zip file of others: nothing outside the folder, nothing huge."""

from pathlib import Path, PurePosixPath
import shutil
import stat
import zipfile
import zlib

from deploy.st.cloud_http import CloudError

MAX_FILES = 10_000
#: Of all files together, unpacked.
MAX_BYTES = 1 << 30


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive, whole or not at all.

    Arguments
    ---------
    archive : Path
    folder : Path
        Emptied first.

    Raises
    ------
    CloudError
        When it is no zip file, is damaged or too large, or has an entry
        that would lie outside the folder.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    problem = ""
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            problem = _judge(entries)
            for entry in [] if problem else entries:
                _write(opened, entry, folder)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        RuntimeError,  # encrypted, or packed in an unknown way
        ValueError,
    ) as error:
        problem = f"is no whole zip file ({error})"
    if problem:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        raise CloudError(
            f"the archive of generated files {problem}: nothing of it was kept"
        )


def _judge(entries: list[zipfile.ZipInfo]) -> str:
    """Return what is wrong with the entries, empty where nothing is."""
    if len(entries) > MAX_FILES:
        return f"holds {len(entries):,} files, more than {MAX_FILES:,}"
    size = sum(entry.file_size for entry in entries)
    if size > MAX_BYTES:
        return f"unpacks to {size:,} bytes, more than {MAX_BYTES:,}"
    for entry in entries:
        path = PurePosixPath(entry.filename)
        outside = path.is_absolute() or ".." in path.parts or not path.parts
        strange = any(c in entry.filename for c in "\\:\0")
        if outside or strange or stat.S_ISLNK(entry.external_attr >> 16):
            return f"has an entry outside its folder ({entry.filename!r})"
    return ""


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path):
    path = folder.joinpath(*PurePosixPath(entry.filename).parts)
    if entry.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # Reads no more than the size that was judged.
    with opened.open(entry) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target)
