"""Download and unpack archives so that a break does no harm.

A transfer goes to ``NAME.part``, continues where it broke, and becomes
``NAME`` only when its length and checksum are right. An archive is unpacked
into a hidden folder beside its place and moved there when it is whole.
"""

import errno
import hashlib
import http.client
import os
from pathlib import Path, PurePosixPath
import shutil
import stat
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib

from errors import UserError
from tqdm import tqdm

_BLOCK = 1 << 20


def download(urls, destination, md5=None, retries=5, timeout=30, wait=2.0):
    """Download one file from the first of several mirrors that has it.

    Arguments
    ---------
    urls : list of str
        The same file on each mirror, in order of preference.
    destination : pathlib.Path
        Where to put it.
    md5 : str or None
        Checksum. Without one the length that the server states is checked.
    retries : int
        Attempts after the first one, for each mirror.
    timeout : float
        Seconds without a byte before an attempt counts as broken.
    wait : float
        Seconds before the first retry; doubled before each next one.

    Raises
    ------
    errors.UserError
        No mirror delivered the file; the message names every failure.
    """
    destination = Path(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(destination.name + ".part")
    failures = []
    for url in urls:
        for attempt in range(retries + 1):
            if attempt:
                time.sleep(min(wait * 2 ** (attempt - 1), 60))
            try:
                _transfer(url, part, timeout)
                if md5 is not None:
                    check_md5(part, md5)
            except UserError as error:
                # Complete but wrong: nothing of it can be trusted.
                part.unlink(missing_ok=True)
                failures.append(str(error))
            except urllib.error.HTTPError as error:
                failures.append(f"{url}: HTTP {error.code} {error.reason}")
                if error.code == 416:  # what is there is no part of the file
                    part.unlink(missing_ok=True)
                elif error.code < 500:  # asking again will not help
                    break
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{url}: {error or type(error).__name__}")
                if _disk_is_full(error):
                    raise UserError(failures[-1]) from error
            else:
                os.replace(part, destination)
                return
    lines = "".join(f"\n  - {failure}" for failure in dict.fromkeys(failures))
    raise UserError(f"{destination.name} could not be downloaded:{lines}")


def _disk_is_full(error):
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def _transfer(url, part, timeout):
    """Fetch the rest of a file into ``part``; raise OSError when it breaks."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url)
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        if have and not _continues_at(answer, have):
            have = 0  # a server without ranges sends the whole file again
        length = answer.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        if total is not None:
            free = shutil.disk_usage(part.parent).free
            if free < total - have:
                raise OSError(
                    errno.ENOSPC,
                    f"{part.parent}: {(total - have) >> 20} MiB are needed "
                    f"for {part.stem} and {free >> 20} MiB are free",
                )
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(
                total=total,
                initial=have,
                unit="B",
                unit_scale=True,
                desc=part.stem,
            ) as progress,
        ):
            while block := answer.read(_BLOCK):
                file.write(block)
                progress.update(len(block))
    size = part.stat().st_size
    if total is not None and size != total:
        raise OSError(f"the connection broke after {size} of {total} bytes")


def _continues_at(answer, have):
    """Tell whether the answer starts where the part ends."""
    span = answer.headers.get("Content-Range", "")
    return answer.status == 206 and span.startswith(f"bytes {have}-")


def check_md5(path, md5):
    """Raise UserError if a file's MD5 checksum is not ``md5``.

    Arguments
    ---------
    path : pathlib.Path
        The file.
    md5 : str
        Hexadecimal checksum.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != md5.lower():
        raise UserError(
            f"{path}: the MD5 checksum is {digest.hexdigest()}, not {md5}: "
            "the file is damaged or another one, delete it"
        )


def unpack(archive, member_folder, destination):
    """Unpack one folder of a tar or zip archive, whole or not at all.

    Arguments
    ---------
    archive : pathlib.Path
        ``.tar``, ``.tar.gz``, ``.tgz`` or ``.zip``.
    member_folder : str
        The folder inside the archive to take, such as
        ``LibriSpeech/train-clean-5``.
    destination : pathlib.Path
        The folder to make of it; it must not exist yet.

    Raises
    ------
    errors.UserError
        A damaged archive, one without that folder, or one with a member that
        would land outside (absolute path, ``..``, link, device).
    """
    destination = Path(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    work = destination.with_name(f".unpacking-{destination.name}")
    shutil.rmtree(work, ignore_errors=True)
    try:
        opener = _zip_members if archive.suffix == ".zip" else _tar_members
        for name, data in opener(archive):
            relative = _safe_path(archive, name)
            if not relative.is_relative_to(member_folder):
                continue
            target = work / relative.relative_to(member_folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb") as file:
                shutil.copyfileobj(data, file, _BLOCK)
        if not work.exists():
            raise UserError(
                f"{archive}: there is no folder {member_folder} in it"
            )
        os.replace(work, destination)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
    ) as error:
        if _disk_is_full(error):
            raise
        raise UserError(
            f"{archive}: cannot be unpacked ({error}): delete it and get it "
            "again"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _tar_members(archive):
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdir():
                continue
            if not member.isfile():
                raise UserError(
                    f"{archive}: {member.name} is a link or a device, which "
                    "a data set has no use for: not unpacked"
                )
            yield member.name, tar.extractfile(member)


def _zip_members(archive):
    with zipfile.ZipFile(archive) as bundle:
        for info in bundle.infolist():
            if info.is_dir():
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                raise UserError(f"{archive}: {info.filename} is a link")
            with bundle.open(info) as data:
                yield info.filename, data


def _safe_path(archive, name):
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name[:3]:
        raise UserError(
            f"{archive}: the member {name} would land outside the data "
            "folder: not unpacked"
        )
    return path  # PurePosixPath has dropped any leading "./"
