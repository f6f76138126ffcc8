"""Fetch files over unreliable lines.

A transfer is written to ``NAME.part``; a broken one goes on where it was,
also in a later call, and ``NAME`` appears when size and checksum are right.
So what has its final name is complete, whatever was killed when.
"""

from collections.abc import Sequence
import errno
import hashlib
import http.client
import json
import os
from pathlib import Path
import shutil
import time
import urllib.error
import urllib.request

from edgebrain.errors import UserError
from tqdm import tqdm

_BLOCK = 1 << 20
_LONGEST_WAIT = 60.0


class _Wrong(Exception):
    """A finished transfer that is not the file wanted."""


def download(
    urls: Sequence[str],
    destination: Path | str,
    md5: str | None = None,
    size: int | None = None,
    retries: int = 4,
    timeout: float = 30.0,
    wait: float = 1.0,
) -> Path:
    """Download one file from the first of several mirrors that delivers it.

    Arguments
    ---------
    urls : sequence of str
        The same file on each mirror, in order of preference.
    destination : Path or str
        The file to make. A partial one lies beside it as ``NAME.part``.
    md5 : str, optional
        Checksum, hexadecimal. Without one a partial file is continued only
        if the server says that its file is still the same.
    size : int, optional
        Size in bytes.
    retries : int
        How often a mirror is asked again after attempts that brought
        nothing. An attempt that brought something starts the count anew.
    timeout : float
        Seconds without a byte after which an attempt counts as broken.
    wait : float
        Seconds before the first retry, doubled before each further one.

    Returns
    -------
    Path
        The destination.

    Raises
    ------
    UserError
        No mirror delivered the file, with the reason of each; or too little
        disk.
    """
    destination = Path(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(destination.name + ".part")
    failures: list[str] = []
    for url in urls:
        try:
            _from_mirror(url, part, md5, size, retries, timeout, wait)
        except (
            _Wrong,
            OSError,
            http.client.HTTPException,
            ValueError,
        ) as error:
            # ValueError: not an address at all.
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise UserError(
                    f"{destination}: {error.strerror}; free some disk or "
                    "choose another folder, what was fetched stays"
                ) from error
            failures.append(f"{url}: {_reason(error)}")
        else:
            os.replace(part, destination)
            _mark(part).unlink(missing_ok=True)
            return destination
    failures = failures or ["there is no address to get it from"]
    raise UserError.collect(f"{destination} cannot be downloaded", failures)


def _from_mirror(url, part, md5, size, retries, timeout, wait) -> None:
    """Fetch a file into ``part``, asking again while that may help."""
    failed = 0
    while True:
        before = _size(part)
        try:
            _transfer(url, part, md5, timeout)
            _check(part, md5, size)
            return
        except _Wrong:
            # A part of another file, or one damaged on the way: from the
            # start, but not for ever.
            part.unlink(missing_ok=True)
            failed += 1
            if failed > min(retries, 1):
                raise
        except (OSError, http.client.HTTPException) as error:
            status = getattr(error, "code", 500)
            final = status < 500 and status not in (408, 416, 429)
            if final or getattr(error, "errno", None) == errno.ENOSPC:
                raise
            failed = 0 if _size(part) > before else failed + 1
            if failed > retries:
                raise
        time.sleep(min(wait * 2 ** max(failed - 1, 0), _LONGEST_WAIT))


def _reason(error) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _mark(part: Path) -> Path:
    """Return where it is noted which version of a file a part is of."""
    return part.with_name(part.name + ".json")


def _transfer(url: str, part: Path, md5: str | None, timeout: float) -> None:
    """Fetch what ``part`` lacks; raise OSError when the transfer breaks."""
    # Without compression, or lengths and offsets mean something else.
    request = urllib.request.Request(
        url, headers={"Accept-Encoding": "identity"}
    )
    have = _size(part)
    if have:
        # With a checksum any mirror may go on; versions differ among them.
        version = None if md5 else _read_mark(part)
        if version:
            request.add_header("If-Range", version)
        elif md5 is None:
            have = 0
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        total = error.headers.get("Content-Range", "").rpartition("/")[2]
        if error.code == 416 and total == str(have):
            return  # the part was the whole file
        if error.code == 416:
            part.unlink(missing_ok=True)
        raise
    with answer:
        span = answer.headers.get("Content-Range", "")
        if have and not (answer.status == 206 and f" {have}-" in span):
            have = 0  # all of it comes again: no ranges, or another version
        length = answer.headers.get("Content-Length")
        total = None if length is None else have + int(length)
        _check_room(part, total, have)
        _write_mark(part, answer.headers)
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(
                total=total,
                initial=have,
                unit="B",
                unit_scale=True,
                desc=part.stem,
                disable=None,
            ) as progress,
        ):
            # read1: what has come is on disk when the line breaks.
            while block := answer.read1(_BLOCK):
                file.write(block)
                progress.update(len(block))
    if total is not None and _size(part) != total:
        raise OSError(f"broke off after {_size(part)} of {total} bytes")


def _read_mark(part: Path) -> str | None:
    try:
        return json.loads(_mark(part).read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_mark(part: Path, headers) -> None:
    """Note the version of a file, if its server tells one that holds."""
    version = headers.get("ETag") or headers.get("Last-Modified")
    if version and not version.startswith("W/"):
        text = json.dumps({"version": version})
        _mark(part).write_text(text, encoding="utf-8")
    else:
        _mark(part).unlink(missing_ok=True)


def _check_room(part: Path, total: int | None, have: int) -> None:
    """Raise OSError (ENOSPC) if the rest of a file will not fit."""
    free = shutil.disk_usage(part.parent).free
    if total is not None and free < total - have:
        raise OSError(
            errno.ENOSPC,
            f"{(total - have) / 1e6:,.0f} MB are still to come and "
            f"{free / 1e6:,.0f} MB are free",
        )


def _check(path: Path, md5: str | None, size: int | None) -> None:
    """Raise _Wrong if a file has another size or checksum."""
    if size is not None and _size(path) != size:
        raise _Wrong(f"has {_size(path)} bytes instead of {size}")
    if md5 is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(
            file, lambda: hashlib.md5(usedforsecurity=False)
        ).hexdigest()
    if found != md5.lower():
        raise _Wrong(f"has the MD5 checksum {found} instead of {md5.lower()}")


def verify(
    path: Path | str, md5: str | None = None, size: int | None = None
) -> None:
    """Check the size and the checksum of a file.

    Arguments
    ---------
    path : Path or str
        The file.
    md5 : str, optional
        Checksum, hexadecimal.
    size : int, optional
        Size in bytes.

    Raises
    ------
    UserError
        One of them differs.
    """
    try:
        _check(Path(path), md5, size)
    except _Wrong as error:
        raise UserError(
            f"{path}: {error}: the file is damaged or another one; delete it "
            "and get it again"
        ) from error
