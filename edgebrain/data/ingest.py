"""Decode each audio file once: find what is unusable, convert what needs it.

A mono WAV or FLAC file of the right rate is used where it lies. Everything
else (other rates, several channels, lossy formats) is mixed to mono and
resampled into a cache folder while it is checked. There it is 16-bit PCM:
half the disk and page cache of float32, and its rounding noise, 101 dB below
full scale, is that of the recordings themselves. Two kinds of file would lose
by it and are stored in 32-bit float: those that pass full scale (decoded MP3
and Vorbis often do) and those that peak below -36 dB.

What was found is kept in the cache folder by path, size and modification
time, so that a second start costs one ``stat`` a file. A copy is named by a
hash of these and appears when it is whole: an interrupted call goes on where
it was.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
import hashlib
import json
import logging
from multiprocessing.pool import ThreadPool
import os
from pathlib import Path
import re
import shutil
import threading
import time

from edgebrain import files
from edgebrain.data.audio import (
    AudioInfo,
    info_of,
    inspect,
    open_audio,
    read_blocks,
    resample_blocks,
    write_blocks,
)
from edgebrain.data.resampling import resampled_length
from edgebrain.errors import UserError
from edgebrain.progress import Progress
import joblib
import numpy as np

logger = logging.getLogger(__name__)

#: Half a step of 16-bit audio: what stays below is silence in any 16-bit
#: copy.
SILENCE = 0.5 / 32768
#: Files with a lower peak than this (-36 dB) keep float32 in the cache.
QUIET_PEAK = 2.0**-6
#: Name of the file in the cache folder that keeps what was found.
KEPT = "checked_files.json"
# Raised when a check or the conversion changes.
_VERSION = 1
_SAVE_EVERY_SECONDS = 20.0
_FINGERPRINT_BYTES = 1 << 16
# Room left for the file system's own needs, as a factor and in bytes.
_SPARE = 1.02, 32 << 20
# Files a task: a small file takes less time than handing it to a thread.
_CHUNK = 16

# libsndfile silently takes the data that is there and notes it in its log.
_WAV_DATA = re.compile(r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE)
# What programs that write into a pipe put where the size is not known.
_PIPED_SIZE = 0x7FFFF000
_OGG_CUT = "without an End-Of-Stream"


@dataclass(frozen=True)
class Recording:
    """What is known of one file.

    Attributes
    ----------
    info : AudioInfo or None
        The header, with the number of frames that were really there. None
        if the file cannot be opened.
    fault : str or None
        What is wrong with the file; None if nothing is.
    fingerprint : str
        Hash of the size and the first 64 KiB: equal for equal files.
    ready : Path or None
        The file to read: itself, or its copy in the cache.
    """

    info: AudioInfo | None
    fault: str | None
    fingerprint: str = ""
    ready: Path | None = None

    def fault_within(self, min_seconds: float) -> str | None:
        """Return what is wrong with the file, its length included."""
        if self.fault is None and self.info.duration < min_seconds:
            return (
                f"is too short: {self.info.duration:.3f} s, at least "
                f"{min_seconds:g} s are needed"
            )
        return self.fault


class _Unusable(Exception):
    """What is wrong with the file at hand."""


def ingest(
    paths: Iterable[Path | str],
    sample_rate: int,
    cache_folder: Path | str,
    rooms: bool = False,
    n_jobs: int = -1,
) -> dict[Path, Recording]:
    """Check audio files, and give each a mono file at the sample rate.

    Bad is: missing, not audio, empty, truncated (less audio than the header
    says; a truncated MP3 is found if it has the usual Xing header), NaN or
    infinite samples, silent (nothing above half a 16-bit step).
    Uncompressed WAV that is used as it is is decoded up to its first sound
    only: its header and size say the rest.

    Arguments
    ---------
    cache_folder : Path or str
        May be shared by several data sets.
    rooms : bool
        Room responses: the copies are float32, for the tail lies far below
        the peak, and of the first channel, for the mean over microphones is
        the response of no room.
    n_jobs : int
        Threads; -1 is one a core.

    Returns
    -------
    dict of Path to Recording
        In the order given. Bad files are looked at again at each call, good
        ones only if they changed.
    """
    paths = list(dict.fromkeys(Path(path) for path in paths))
    folder = Path(cache_folder)
    files.check_place(folder, "set cache_folder to another")
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_leftovers(folder)
    store = folder / KEPT
    kept = _load(store)
    keys = {path: _key(path) for path in paths}
    form = ("FLOAT", 0) if rooms else (None, None)
    found = {}
    for path in paths:
        entry = kept.get(os.path.abspath(path))
        if keys[path] is None or entry is None or entry["key"] != keys[path]:
            continue
        info = AudioInfo(path, *entry["info"])
        ready = _ready(info, sample_rate, form, folder)
        if ready.is_file():
            found[path] = Recording(info, None, entry["fingerprint"], ready)
    todo = [path for path in paths if path not in found]
    _check_room(todo, sample_rate, rooms, folder)

    def work(path):
        return _ingest(path, sample_rate, form, folder)

    saved = time.monotonic()
    try:
        for path, recording in _in_threads(work, todo, n_jobs):
            found[path] = recording
            if recording.fault is None and keys[path] is not None:
                kept[os.path.abspath(path)] = {
                    "key": keys[path],
                    "info": astuple(recording.info)[1:],
                    "fingerprint": recording.fingerprint,
                }
            if time.monotonic() - saved > _SAVE_EVERY_SECONDS:
                files.write_json(store, kept, indent=None)
                saved = time.monotonic()
    finally:
        # Also when interrupted: what was looked at need not be again.
        # Another process may have found more meanwhile.
        if todo:
            files.write_json(store, _load(store) | kept, indent=None)
    return {path: found[path] for path in paths}


def _ingest(path: Path, sample_rate: int, form: tuple, folder) -> Recording:
    """Decode one file; write its copy if it needs one."""
    info, (subtype, channel) = None, form

    def checked():
        nonlocal info
        frames, peak = 0, 0.0
        for block in read_blocks(path, channel=channel):
            low, high = float(block.min()), float(block.max())
            if not np.isfinite(low + high):
                bad = frames + int(np.flatnonzero(~np.isfinite(block))[0])
                raise _Unusable(
                    "holds NaN or infinite samples, the first at "
                    f"{bad / info.sample_rate:.3f} s"
                )
            frames, peak = frames + len(block), max(peak, high, -low)
            if peak > SILENCE and header_suffices:
                return
            yield block
        if frames == 0:
            raise _Unusable("holds no samples")
        if frames < info.frames:
            raise _Unusable(
                f"is truncated: {frames} of {info.frames} samples are there"
            )
        if peak <= SILENCE:
            raise _Unusable("is silent: every sample is zero in 16 bits")
        info = replace(info, frames=frames)

    try:
        fingerprint = _fingerprint(path)
        with open_audio(path) as file:
            info = info_of(path, file)
            _refuse_cut(file.extra_info)
        ready = _ready(info, sample_rate, form, folder)
        header_suffices = (
            ready == path
            and info.uncompressed
            and info.format.startswith("WAV")
        )
        if ready == path:
            for _ in checked():
                pass
        else:
            _convert(checked, info, ready, sample_rate, subtype)
        return Recording(info, None, fingerprint, ready)
    except _Unusable as fault:
        return Recording(info, str(fault))
    except UserError as error:
        # Not of the file, but of its copy: a full disk.
        if not str(error).startswith(f"{path}: "):
            raise
        return Recording(info, str(error).removeprefix(f"{path}: "))


def _convert(blocks, info, target: Path, sample_rate: int, subtype) -> None:
    def pieces():
        return resample_blocks(blocks(), info.sample_rate, sample_rate)

    clipped, peak = write_blocks(
        target, pieces(), sample_rate, subtype or "PCM_16"
    )
    if subtype is None and (clipped or peak < QUIET_PEAK):
        write_blocks(target, pieces(), sample_rate, "FLOAT")


def _ready(info: AudioInfo, sample_rate: int, form: tuple, folder) -> Path:
    """Return what to read: the file, or where its copy belongs."""
    if info.usable_in_place(sample_rate):
        return info.path
    stat, path = info.path.stat(), os.path.abspath(info.path)
    identity = (
        *(_VERSION, path, stat.st_size, stat.st_mtime_ns),
        *(int(sample_rate), *form),
    )
    digest = hashlib.sha256(
        repr(identity).encode("utf-8", errors="surrogateescape")
    ).hexdigest()[:16]
    # Names stay readable.
    return folder / f"{info.path.stem[:60]}-{digest}.wav"


def _refuse_cut(log: str) -> None:
    """Raise _Unusable for missing data that libsndfile's log tells of."""
    match = _WAV_DATA.search(log)
    if match and int(match[2]) < int(match[1]) < _PIPED_SIZE:
        raise _Unusable(
            f"is truncated: {match[2]} of {match[1]} bytes of audio are there"
        )
    if _OGG_CUT in log:
        raise _Unusable("is truncated: the stream has no end mark")


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


def _load(store: Path) -> dict:
    """Return what an earlier call kept; nothing if it cannot be read."""
    if not store.is_file():
        return {}
    try:
        kept = json.loads(store.read_text(encoding="utf-8"))
        if not all("key" in entry for entry in kept.values()):
            raise ValueError("entries without key")
    except (ValueError, TypeError, AttributeError):
        logger.warning("%s is damaged: every file is checked again", store)
        return {}
    return kept


def _check_room(paths: list[Path], sample_rate, rooms, folder) -> None:
    """Raise UserError if the copies will not fit on the disk."""
    count = frames = 0
    for path in paths:
        try:
            info = inspect(path)
        except UserError:
            continue  # is reported with the others
        if not info.usable_in_place(sample_rate):
            count += 1
            frames += resampled_length(
                info.frames, info.sample_rate, sample_rate
            )
    if not count:
        return
    factor, spare = _SPARE
    needed = int(frames * (4 if rooms else 2) * factor) + spare
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: too little disk: {count} files at {sample_rate} "
            f"Hz need {needed / 2**30:.2f} GiB, {free / 2**30:.2f} GiB are "
            "free; free some or set cache_folder to another disk"
        )
    logger.info(
        "converting %d files to %d Hz mono in %s", count, sample_rate, folder
    )


def _in_threads(work, paths: Sequence[Path], n_jobs: int) -> Iterator[tuple]:
    """Yield (path, work(path)) in the order in which they finish.

    Threads, not processes: decoding and filtering let go of Python's lock,
    and a pool of processes takes a second to start.
    """
    size = max(1, min(_CHUNK, len(paths) // 32))
    chunks = [paths[at : at + size] for at in range(0, len(paths), size)]
    stopped = threading.Event()

    def over(chunk):
        return [(p, work(p)) for p in chunk if not stopped.is_set()]

    pool = ThreadPool(joblib.effective_n_jobs(n_jobs))
    try:
        with Progress(total=len(paths), desc="reading audio") as bar:
            for finished in pool.imap_unordered(over, chunks):
                bar.update(len(finished))
                yield from finished
    finally:
        # After Ctrl-C a file is ended as it must be, and none is begun.
        stopped.set()
        pool.terminate()
        pool.join()
