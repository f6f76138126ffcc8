"""Convert audio once to what training reads: mono WAV at one rate.

A mono WAV or FLAC file of the right rate is used where it lies. Everything
else (other rates, several channels, lossy formats) is decoded, mixed to mono
by the mean of its channels (or, if asked for, by taking one of them) and
resampled once into a cache folder.

The cache holds 16-bit PCM: half the disk and page cache of float32, and its
rounding noise, 101 dB below full scale, is that of the recordings
themselves. Two kinds of file would lose by it and are stored in 32-bit float
instead: those that pass full scale (decoded MP3 and Vorbis often do) and
those that peak below -36 dB.
"""

from collections.abc import Iterable, Mapping
import hashlib
import logging
import os
from pathlib import Path
import shutil

from edgebrain.data.audio import (
    AudioInfo,
    inspect,
    read_blocks,
    resample_blocks,
    write_blocks,
)
from edgebrain.data.parallel import parallel_map
from edgebrain.data.resampling import resampled_length
from edgebrain.errors import UserError
from edgebrain.files import remove_leftovers

logger = logging.getLogger(__name__)

#: Files with a lower peak than this (-36 dB) keep float32 in the cache.
QUIET_PEAK = 2.0**-6
# Part of each name in the cache: raised when the conversion changes.
_VERSION = 1
# Room left for the file system's own needs, as a factor and in bytes.
_SPARE = 1.02, 32 << 20


def prepare_audio(
    paths: Iterable[Path | str],
    sample_rate: int,
    cache_folder: Path | str,
    subtype: str | None = None,
    channel: int | None = None,
    infos: Mapping[Path, AudioInfo] | None = None,
    n_jobs: int = -1,
) -> dict[Path, Path]:
    """Return for each file a mono WAV or FLAC file at the sample rate.

    What needs no conversion is returned as it is. Converted files are named
    by a hash of path, size, modification time and rate, so a changed file
    is converted anew, and appear only when they are whole: an interrupted
    call goes on where it was.

    Arguments
    ---------
    paths : iterable of Path or str
        Audio files, checked before (see :mod:`edgebrain.data.checks`).
    sample_rate : int
        In Hz.
    cache_folder : Path or str
        Where converted files go; may be shared by several data sets.
    subtype : str, optional
        "PCM_16" or "FLOAT" for all; None chooses for each file.
    channel : int, optional
        Take this channel of files that have several, the first is 0,
        instead of the mean: for room responses, whose mean over microphones
        is the response of no room.
    infos : mapping, optional
        Path -> :class:`~edgebrain.data.audio.AudioInfo`, if known already.
    n_jobs : int
        Threads; -1 is one a core.

    Returns
    -------
    dict
        Path -> Path, in the order given.

    Raises
    ------
    UserError
        If files cannot be read (all are listed), or if the disk has too
        little room for what is to be converted.
    """
    cache_folder = Path(cache_folder)
    infos = infos or {}
    result, todo, problems = {}, {}, []
    for path in dict.fromkeys(Path(path) for path in paths):
        try:
            info = infos.get(path) or inspect(path)
        except UserError as error:
            problems.append(str(error))
            continue
        result[path] = path
        if not info.usable_in_place(sample_rate):
            result[path] = _cached_name(
                path, sample_rate, subtype, channel, cache_folder
            )
            if not result[path].is_file():
                todo[path] = info
    if problems:
        raise UserError.collect("audio files cannot be read", problems)
    if not todo:
        return result
    _make_folder(cache_folder)
    _check_room(todo, sample_rate, subtype, cache_folder)
    logger.info(
        "converting %d files to %d Hz mono in %s",
        len(todo),
        sample_rate,
        cache_folder,
    )

    def work(path):
        try:
            _convert(todo[path], sample_rate, subtype, channel, result[path])
        except UserError as error:
            return str(error)
        return None

    done = parallel_map(work, list(todo), n_jobs, "converting audio")
    problems = sorted(problem for _, problem in done if problem)
    if problems:
        raise UserError.collect("audio files cannot be converted", problems)
    return result


def _convert(info, sample_rate, subtype, channel, target):
    """Write the mono, resampled copy of one file."""

    def pieces():
        return resample_blocks(
            read_blocks(info.path, channel=channel),
            info.sample_rate,
            sample_rate,
        )

    clipped, peak = write_blocks(
        target, pieces(), sample_rate, subtype or "PCM_16"
    )
    if subtype is None and (clipped or peak < QUIET_PEAK):
        write_blocks(target, pieces(), sample_rate, "FLOAT")


def _cached_name(path, sample_rate, subtype, channel, folder) -> Path:
    """Return where the copy of a file belongs; names stay readable."""
    stat = path.stat()
    identity = (
        _VERSION,
        os.path.abspath(path),
        stat.st_size,
        stat.st_mtime_ns,
        int(sample_rate),
        subtype,
        channel,
    )
    digest = hashlib.sha256(
        repr(identity).encode("utf-8", errors="surrogateescape")
    ).hexdigest()[:16]
    return folder / f"{path.stem[:60]}-{digest}.wav"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be made ({error.strerror}); set cache_folder "
            "to a folder that can be written"
        ) from error
    if not os.access(folder, os.W_OK):
        raise UserError(
            f"{folder}: cannot be written; set cache_folder to a folder "
            "that can"
        )
    remove_leftovers(folder)


def _check_room(todo, sample_rate, subtype, folder) -> None:
    """Raise UserError if the copies will not fit on the disk."""
    width = 4 if subtype == "FLOAT" else 2
    factor, spare = _SPARE
    copies = sum(
        resampled_length(info.frames, info.sample_rate, sample_rate)
        for info in todo.values()
    )
    needed = int(copies * width * factor) + spare
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: too little disk: {len(todo)} files at {sample_rate} "
            f"Hz need {needed / 2**30:.2f} GiB, {free / 2**30:.2f} GiB are "
            "free; free some or set cache_folder to another disk"
        )
