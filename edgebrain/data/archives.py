"""Unpack archives that nobody vouches for."""

from functools import partial
import os
from pathlib import Path, PurePosixPath
import shutil
import tarfile
import zipfile
import zlib

from edgebrain.errors import UserError
from edgebrain.files import replacing
from edgebrain.progress import Progress

#: Suffixes of archives that :func:`unpack` reads.
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

# What a damaged archive raises, depending on where the damage is.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, tarfile.ReadError)


def unpack(archive: Path | str, inside: str, destination: Path | str) -> Path:
    """Unpack one folder of an archive, whole or not at all.

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
        A damaged archive; one without that folder or with a member that
        would land elsewhere; too little disk.
    """
    archive, destination = Path(archive), Path(destination)
    wanted = PurePosixPath(inside).parts
    work = destination.with_name(f".unpacking-{destination.name}")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        if archive.suffix.lower() == ".zip":
            with zipfile.ZipFile(archive) as bundle:
                members = {i: i.filename for i in bundle.infolist()}
                top = _extract(members, bundle.extract, wanted, work)
        else:
            with tarfile.open(archive) as bundle:
                # Python before 3.11.4 has no filters: see _extract.
                bundle.extraction_filter = getattr(tarfile, "data_filter", None)
                members = {i: i.name for i in bundle if not i.isdir()}
                extract = partial(bundle.extract, set_attrs=False)
                top = _extract(members, extract, wanted, work)
        if top is None:
            raise UserError(f"{archive}: holds no folder {inside}")
        if destination.is_dir():
            destination.rmdir()  # fails unless it is empty
        os.replace(work.joinpath(*top, *wanted), destination)
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


def _extract(members: dict, extract, wanted: tuple, work: Path) -> tuple | None:
    """Extract what lies in the wanted folder; return what is above that.

    Hidden files, and what macOS puts beside the files of a zip archive, are
    no part of a data set; nor are links, devices and what leads out.
    """
    top = None
    for member, name in Progress(members.items(), "unpacking", unit="file"):
        path = PurePosixPath(name)
        parts = path.parts
        if "__MACOSX" in parts or path.name.startswith("."):
            continue
        for start in range(len(parts) - len(wanted)):
            if parts[start : start + len(wanted)] == wanted:
                plain = getattr(member, "isreg", lambda: True)()
                if not plain or path.is_absolute() or ".." in parts:
                    raise UserError(
                        f"{name}: a link, a device or outside of its archive: "
                        "not unpacked"
                    )
                extract(member, work)
                top = parts[:start]
                break
    return top


def archive_members(archive: Path | str) -> list[str]:
    """Return the names of the files in a zip archive, empty if it is none."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            return [i.filename for i in bundle.infolist() if not i.is_dir()]
    except (OSError, zipfile.BadZipFile):
        return []


def unpack_file(archive: Path | str, name: str, destination: Path | str):
    """Unpack one of :func:`archive_members`, whole or not at all."""
    try:
        with (
            zipfile.ZipFile(archive) as bundle,
            bundle.open(name) as data,
            replacing(destination) as part,
            part.open("wb") as file,
        ):
            shutil.copyfileobj(data, file)
    except (*_DAMAGE, OSError) as error:
        raise UserError(
            f"{archive}: {name} cannot be unpacked ({error})"
        ) from error
