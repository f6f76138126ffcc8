"""Fetch files over unreliable lines, from one of several mirrors."""

from collections.abc import Sequence
import os
from pathlib import Path

from edgebrain.errors import UserError
from edgebrain.files import free_bytes
from edgebrain.progress import Progress
import pooch
import requests

_BLOCK = 1 << 12


class _Resuming(pooch.HTTPDownloader):
    """Goes on where a transfer broke, also one of an earlier call.

    Where the server sends all of it again, or the part is of another file,
    the checksum of the whole differs: pooch then asks once more, and there
    is no part left to go on from.
    """

    def __init__(self, part: Path, resume: bool, timeout: float):
        super().__init__(chunk_size=_BLOCK, timeout=timeout)
        self.part, self.resume = part, resume

    def __call__(self, url, output_file, pooch, check_only=False):
        """Write what a url gives into the file that pooch named."""
        there = self.resume and self.part.is_file()
        have = self.part.stat().st_size if there else 0
        # Compressed, lengths and offsets mean something else.
        self.kwargs["headers"] = {"Accept-Encoding": "identity"} | (
            {"Range": f"bytes={have}-"} if have else {}
        )
        try:
            with (
                Progress(
                    total=1, unit="B", unit_scale=True, desc=self.part.stem
                ) as self.progressbar,
                self.part.open("ab" if have else "wb") as file,
            ):
                super().__call__(url, file, pooch)
        except requests.HTTPError as error:
            # Nothing is left to send: the part is whole.
            if error.response.status_code != 416:
                raise
        os.replace(self.part, output_file)


def download(
    urls: Sequence[str],
    destination: Path | str,
    md5: str | None = None,
    size: int | None = None,
    retries: int = 4,
    timeout: float = 30.0,
) -> Path:
    """Download one file from the first of several mirrors that delivers it.

    It appears when it is whole. Until then ``NAME.part`` lies beside it.

    Arguments
    ---------
    urls : sequence of str
        The same file on each mirror, in order of preference.
    md5 : str, optional
        Checksum, hexadecimal. Without one a part is never continued.
    size : int, optional
        In bytes, to see beforehand whether the disk has room.
    retries : int
        How often each mirror is asked again.
    timeout : float
        Seconds without a byte after which an attempt counts as broken.

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
    name, free = destination.name, free_bytes(destination)
    part = destination.with_name(f"{name}.part")
    if size is not None and size > free:
        raise UserError(
            f"{destination}: has {size / 1e6:,.0f} MB, {free / 1e6:,.0f} MB "
            "are free; free some disk or choose another folder"
        )
    failures = [] if urls else ["there is no address to get it from"]
    for url in urls:
        mirror = pooch.create(
            destination.parent,
            base_url="",
            registry={name: md5 and f"md5:{md5.lower()}"},
            urls={name: url},
            retry_if_failed=retries,
        )
        try:
            mirror.fetch(name, downloader=_Resuming(part, bool(md5), timeout))
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {error}")
        else:
            return destination
    raise UserError.collect(f"{destination} cannot be downloaded", failures)


def verify(path: Path | str, md5: str) -> None:
    """Refuse a file with another checksum."""
    found = pooch.file_hash(str(path), alg="md5")
    if found != md5.lower():
        raise UserError(
            f"{path}: has the MD5 checksum {found} instead of {md5.lower()}: "
            "the file is damaged or another one; delete it and get it again"
        )
