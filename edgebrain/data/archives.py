"""Unpack archives that nobody vouches for.

An archive is unpacked into a hidden folder that is renamed when it is whole:
a folder with its final name is complete, whatever was killed when.
"""

from collections.abc import Iterator
import contextlib
import os
from pathlib import Path, PurePosixPath
import shutil
import stat
import tarfile
from typing import BinaryIO
import zipfile
import zlib

from edgebrain.errors import UserError
from tqdm import tqdm

#: Suffixes of archives that :func:`unpack` reads.
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

_BLOCK = 1 << 20
# What a damaged archive raises, depending on where the damage is.
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError)


def unpack(archive: Path | str, inside: str, destination: Path | str) -> Path:
    """Unpack one folder of an archive, whole or not at all.

    Only plain files are made, never with more rights than the umask gives.

    Arguments
    ---------
    archive : Path or str
        See ``ARCHIVE_SUFFIXES``.
    inside : str
        The folder to take, such as ``LibriSpeech/train-clean-5``, at
        whatever depth of the archive it lies; "" takes everything.
    destination : Path or str
        The folder to make of it. It must not exist, or be empty.

    Returns
    -------
    Path
        The destination.

    Raises
    ------
    UserError
        A damaged archive; one without that folder; a member that is a link
        or a device, or would land elsewhere; too little disk.
    """
    archive, destination = Path(archive), Path(destination)
    wanted = PurePosixPath(inside).parts
    work = destination.with_name(f".unpacking-{destination.name}")
    try:
        work.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        for name, data in _members(archive):
            relative = _inside(_safe(archive, name), wanted)
            if relative is None:
                continue
            if data is None:
                raise _refused(archive, name)
            target = work / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            # "x": two members of one name would overwrite each other.
            with open(target, "xb") as file:
                shutil.copyfileobj(data, file, _BLOCK)
        if not work.is_dir():
            raise UserError(f"{archive}: holds no folder {inside}")
        if destination.is_dir():
            destination.rmdir()  # fails unless it is empty
        os.replace(work, destination)
    except _DAMAGE as error:
        raise UserError(
            f"{archive}: is damaged ({error}); delete it and get it again"
        ) from error
    except OSError as error:
        raise UserError(
            f"{archive}: cannot be unpacked to {destination} ({error})"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return destination


def archive_members(archive: Path | str) -> list[str]:
    """Return the names of the files in a zip archive, empty if it is none."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            return [i.filename for i in bundle.infolist() if not i.is_dir()]
    except (OSError, zipfile.BadZipFile):
        return []


def unpack_file(archive: Path | str, name: str, destination: Path | str):
    """Unpack one file of a zip archive, which appears when it is whole.

    Arguments
    ---------
    archive : Path or str
        A zip archive.
    name : str
        Of the member, one of :func:`archive_members`.
    destination : Path or str
        The file to make.

    Raises
    ------
    UserError
        A damaged archive, too little disk.
    """
    archive, destination = Path(archive), Path(destination)
    part = destination.with_name(destination.name + ".part")
    try:
        with (
            zipfile.ZipFile(archive) as bundle,
            bundle.open(name) as data,
            open(part, "wb") as file,
        ):
            shutil.copyfileobj(data, file, _BLOCK)
        os.replace(part, destination)
    except (*_DAMAGE, OSError) as error:
        raise UserError(
            f"{archive}: {name} cannot be unpacked ({error})"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _members(archive: Path) -> Iterator[tuple[str, BinaryIO | None]]:
    """Yield name and content of each file, None for a link or a device."""
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(
            tqdm(
                total=archive.stat().st_size,
                unit="B",
                unit_scale=True,
                desc=f"unpacking {archive.name}",
                disable=None,
            )
        )
        if archive.suffix.lower() == ".zip":
            bundle = stack.enter_context(zipfile.ZipFile(archive))
            for info in bundle.infolist():
                progress.update(info.compress_size)
                if info.is_dir():
                    continue
                if stat.S_ISLNK(info.external_attr >> 16):
                    yield info.filename, None
                    continue
                with bundle.open(info) as data:
                    yield info.filename, data
            return
        raw = stack.enter_context(archive.open("rb"))
        tar = stack.enter_context(tarfile.open(fileobj=raw, mode="r:*"))
        for member in tar:
            progress.update(raw.tell() - progress.n)
            if member.isdir():
                continue
            data = tar.extractfile(member) if member.isreg() else None
            yield member.name, data


def _refused(archive: Path, name: str) -> UserError:
    return UserError(
        f"{archive}: {name} is a link or a device or lies outside the "
        "archive's folder; a data set holds no such thing: not unpacked"
    )


def _safe(archive: Path, name: str) -> PurePosixPath:
    """Return the path of a member, or raise UserError if it leads out."""
    path = PurePosixPath(name.replace("\\", "/"))
    drive = path.parts and path.parts[0].endswith(":")
    if path.is_absolute() or ".." in path.parts or drive:
        raise _refused(archive, name)
    return path


def _inside(path: PurePosixPath, wanted: tuple) -> PurePosixPath | None:
    """Return the path below the wanted folder, None for what is not there.

    Hidden files, and what macOS puts beside the files of a zip archive, are
    no part of a data set.
    """
    parts = path.parts
    if "__MACOSX" in parts or path.name.startswith("."):
        return None
    for start in range(len(parts) - len(wanted)):
        if parts[start : start + len(wanted)] == wanted:
            return PurePosixPath(*parts[start + len(wanted) :])
    return None
