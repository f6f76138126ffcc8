"""Find every unusable audio file before long work starts.

A file is decoded whole once (16-bit and other uncompressed WAV only up to
its first sound, since its header and size say the rest). What was found is
kept beside the cache by path, size and modification time, so that a second
start costs one ``stat`` a file.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
import hashlib
import json
import logging
import os
from pathlib import Path
import re
import time

from edgebrain import files
from edgebrain.data.audio import AudioInfo, blocks_of, info_of, open_audio
from edgebrain.data.parallel import parallel_map
from edgebrain.errors import UserError
import numpy as np

logger = logging.getLogger(__name__)

#: Half a step of 16-bit audio: what stays below is silence in any 16-bit
#: copy.
SILENCE = 0.5 / 32768

#: Name of the file in the cache folder that keeps what was found.
KEPT = "checked_files.json"
# Raised when a check changes, so that what was found before is not believed.
_VERSION = 1
_SAVE_EVERY_SECONDS = 20.0
_FINGERPRINT_BYTES = 1 << 16

# libsndfile silently takes the data that is there and notes it in its log.
_WAV_DATA = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
# What programs that write into a pipe put where the size is not known.
_PIPED_SIZE = 0x7FFFF000
_OGG_CUT = "without an End-Of-Stream"


@dataclass(frozen=True)
class FileReport:
    """What the check found out about one file.

    Arguments
    ---------
    info : AudioInfo or None
        The header, with the number of frames that were really there. None
        if the file cannot be opened.
    fault : str or None
        What is wrong with the file; None if nothing is.
    fingerprint : str
        Hash of the size and the first 64 KiB: equal for equal files.
    """

    info: AudioInfo | None
    fault: str | None
    fingerprint: str = ""


def check_files(
    paths: Iterable[Path | str],
    min_seconds: float = 0.0,
    cache_folder: Path | str | None = None,
    n_jobs: int = -1,
) -> dict[Path, AudioInfo]:
    """Check audio files and raise one error that lists every bad one.

    Bad is: missing, not audio, empty, truncated (less audio than the header
    says), NaN or infinite samples, silent (nothing above half a 16-bit step)
    or too short. A truncated MP3 is found if it has the usual Xing header.

    Arguments
    ---------
    paths : iterable of Path or str
        The files.
    min_seconds : float
        Shorter files are bad.
    cache_folder : Path or str, optional
        Where to keep what was found, for the next call.
    n_jobs : int
        Threads; -1 is one a core.

    Returns
    -------
    dict
        Path -> :class:`AudioInfo`, in the order given.

    Raises
    ------
    UserError
        If any file is bad.
    """
    reports = examine_files(paths, cache_folder, n_jobs)
    problems = [
        f"{path}: {fault}"
        for path, report in reports.items()
        if (fault := fault_of(report, min_seconds))
    ]
    if problems:
        raise UserError.collect("unusable audio files", problems)
    return {path: report.info for path, report in reports.items()}


def fault_of(report: FileReport, min_seconds: float = 0.0) -> str | None:
    """Return what is wrong with a file, its length included, or None."""
    if report.fault is None and report.info.duration < min_seconds:
        return (
            f"is too short: {report.info.duration:.3f} s, at least "
            f"{min_seconds:g} s are needed"
        )
    return report.fault


def examine_files(
    paths: Iterable[Path | str],
    cache_folder: Path | str | None = None,
    n_jobs: int = -1,
) -> dict[Path, FileReport]:
    """Look into every file; see :func:`check_files`.

    Returns
    -------
    dict
        Path -> :class:`FileReport`, in the order given. Bad files are
        looked at again at each call, good ones only if they changed.
    """
    paths = list(dict.fromkeys(Path(path) for path in paths))
    keys = {path: _key(path) for path in paths}
    store = Path(cache_folder) / KEPT if cache_folder is not None else None
    kept = _load(store)
    reports = {}
    for path, key in keys.items():
        entry = kept.get(os.path.abspath(path))
        if key is not None and entry is not None and entry["key"] == key:
            reports[path] = _unpack(path, entry)
    todo = [path for path in paths if path not in reports]
    saved = time.monotonic()
    try:
        for path, report in parallel_map(
            _examine, todo, n_jobs, "checking audio"
        ):
            reports[path] = report
            if report.fault is None and keys[path] is not None:
                kept[os.path.abspath(path)] = _pack(report, keys[path])
            if store and time.monotonic() - saved > _SAVE_EVERY_SECONDS:
                _save(store, kept)
                saved = time.monotonic()
    finally:
        # Also when interrupted: what was looked at need not be again.
        if store and todo:
            _save(store, kept)
    return {path: reports[path] for path in paths}


def _examine(path: Path) -> FileReport:
    """Open and decode one file."""
    info = None
    try:
        fingerprint = _fingerprint(path)
        with open_audio(path) as file:
            info = info_of(path, file)
            fault, frames = _decode(file, info)
        return FileReport(replace(info, frames=frames), fault, fingerprint)
    except UserError as error:
        # The message starts with the path, as every report line will.
        return FileReport(info, str(error).removeprefix(f"{path}: "))


def _decode(file, info: AudioInfo) -> tuple[str | None, int]:
    """Return what is wrong with an opened file, and its frames."""
    if fault := _cut_off(file.extra_info):
        return fault, info.frames
    whole = not (info.uncompressed and info.format.startswith("WAV"))
    frames, peak = 0, 0.0
    for block in blocks_of(file):
        low, high = float(block.min()), float(block.max())
        if not np.isfinite(low + high):
            bad = frames + int(np.flatnonzero(~np.isfinite(block))[0])
            return (
                f"holds NaN or infinite samples, the first at "
                f"{bad / info.sample_rate:.3f} s",
                info.frames,
            )
        frames += len(block)
        peak = max(peak, high, -low)
        if peak > SILENCE and not whole:
            frames = info.frames
            break
    if frames == 0:
        return "holds no samples", 0
    if frames < info.frames:
        return (
            f"is truncated: {frames} of {info.frames} samples are there",
            frames,
        )
    if peak <= SILENCE:
        return "is silent: every sample is zero in 16 bits", frames
    return None, frames


def _cut_off(log: str) -> str | None:
    """Return what libsndfile's log says of missing data."""
    match = _WAV_DATA.search(log)
    if match and int(match[2]) < int(match[1]) < _PIPED_SIZE:
        return (
            f"is truncated: {match[2]} of {match[1]} bytes of audio are there"
        )
    if _OGG_CUT in log:
        return "is truncated: the stream has no end mark"
    return None


def _fingerprint(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(_FINGERPRINT_BYTES)
            size = file.seek(0, 2)
    except OSError:
        return ""
    return hashlib.blake2b(start, digest_size=8).hexdigest() + f"-{size}"


def _key(path: Path) -> list[int] | None:
    """Return what changes when a file changes, None if it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return [_VERSION, stat.st_size, stat.st_mtime_ns]


def _pack(report: FileReport, key: list[int]) -> dict:
    info = report.info
    return {
        "key": key,
        "info": [
            info.sample_rate,
            info.frames,
            info.channels,
            info.format,
            info.subtype,
        ],
        "fingerprint": report.fingerprint,
    }


def _unpack(path: Path, entry: dict) -> FileReport:
    return FileReport(
        AudioInfo(path, *entry["info"]), None, entry["fingerprint"]
    )


def _load(store: Path | None) -> dict:
    """Return what an earlier call kept; nothing if it cannot be read."""
    if store is None or not store.is_file():
        return {}
    try:
        kept = json.loads(store.read_text(encoding="utf-8"))
        if not all("key" in entry for entry in kept.values()):
            raise ValueError("entries without key")
    except (ValueError, TypeError, AttributeError):
        logger.warning("%s is damaged: every file is checked again", store)
        return {}
    return kept


def _save(store: Path, kept: dict) -> None:
    """Write what was found, beside what another process found meanwhile."""
    try:
        files.write_json(store, _load(store) | kept, indent=None)
    except OSError as error:
        raise UserError(
            f"{store}: cannot be written ({error.strerror}); set "
            "cache_folder to a folder that can"
        ) from error
