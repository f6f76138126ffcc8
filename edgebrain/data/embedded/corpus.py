"""The embedded corpus on disk: made once, whole or not there, found again."""

from dataclasses import asdict
import hashlib
import json
import logging
import os
from pathlib import Path
import secrets
import shutil
import time

from edgebrain.data.embedded import speech
from edgebrain.data.embedded.build import (
    CorpusSizes,
    Job,
    build,
    read_manifest,
)
from edgebrain.errors import UserError
from edgebrain.files import write_json
import joblib

logger = logging.getLogger(__name__)

#: Raise it with every change that alters a file of the corpus.
VERSION = 2
STAMP = "corpus.json"
_PARTIAL = ".partial-"
_STALE_SECONDS = 3600


def _is_complete(target: Path, stamp: dict) -> bool:
    """Tell whether the corpus is there, with every file of its manifest.

    Raises UserError where the folder is something else: it is not ours to
    replace.
    """
    if not target.exists():
        return False
    try:
        found = json.loads((target / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("key") != stamp["key"]:
        raise UserError(
            f"{target}: exists but is no embedded corpus of this version "
            f"(no fitting {STAMP}); remove or rename it"
        )
    try:
        return all(
            (target / r["path"]).is_file() for r in read_manifest(target)
        )
    except (OSError, KeyError):
        return False


def _check(folder: Path, seed, sample_rate, n_jobs) -> int:
    """Check the arguments and return the number of processes."""
    problems = []
    if not isinstance(seed, int) or seed < 0:
        problems.append(f"seed is {seed!r}: must be a whole number, 0 or more")
    if not isinstance(sample_rate, int) or not 8000 <= sample_rate <= 48000:
        problems.append(
            f"sample_rate is {sample_rate!r}: must be a whole number from "
            "8000 to 48000"
        )
    if n_jobs is not None and (not isinstance(n_jobs, int) or n_jobs == 0):
        problems.append(f"n_jobs is {n_jobs!r}: must be 1 or more, or -1")
    if folder.exists() and not folder.is_dir():
        problems.append(f"{folder} is a file: name a folder")
    if problems:
        raise UserError.collect("embedded corpus", problems)
    return joblib.effective_n_jobs(-1 if n_jobs is None else n_jobs)


def _remove_stale(folder: Path) -> None:
    """Remove what killed runs left, once nobody can be at work on it."""
    oldest = time.time() - _STALE_SECONDS
    for partial in folder.glob(f"{_PARTIAL}*"):
        if partial.stat().st_mtime < oldest:
            shutil.rmtree(partial, ignore_errors=True)


def make_embedded_corpus(
    folder: Path | str,
    seed: int = 1234,
    sample_rate: int = 16000,
    n_jobs: int | None = None,
    sizes: CorpusSizes | None = None,
) -> Path:
    """Make the corpus in a folder of its own, unless it is there already.

    The result depends on the arguments and the versions of the packages
    only: any number of processes writes the same bytes. The corpus is built
    under a temporary name and renamed when it is whole, so a killed run
    leaves nothing that looks complete.

    Arguments
    ---------
    folder : Path or str
        Where the corpus folder goes; its name holds the version of the
        generator, the seed and the sample rate (and a mark of other sizes).
    seed : int
        Of sentences, voices' variations, noises and rooms.
    sample_rate : int
        Hz, 8000 to 48000.
    n_jobs : int, optional
        Number of processes; default one a core.
    sizes : CorpusSizes, optional
        Default: some 18 minutes of speech, 8 minutes of noise, 36 responses.

    Returns
    -------
    Path
        The data folder, with ``speech/``, ``noise/``, ``rir/`` (each with
        train, valid, test), ``manifest.csv`` and ``corpus.json``.

    Raises
    ------
    UserError
        When an argument is bad, the folder cannot be written, the disk is
        too small or espeak-ng is missing.
    """
    folder = Path(folder)
    n_jobs = _check(folder, seed, sample_rate, n_jobs)
    sizes = sizes or CorpusSizes()
    key = {
        "version": VERSION,
        "seed": seed,
        "sample_rate": sample_rate,
        "sizes": json.loads(json.dumps(asdict(sizes))),
    }
    stamp = {"what": "embedded corpus of edgebrain", "key": key}
    name = f"embedded-v{VERSION}-seed{seed}-{sample_rate}hz"
    if sizes != CorpusSizes():
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode())
        name += f"-{digest.hexdigest()[:8]}"
    target = folder / name
    if _is_complete(target, stamp):
        return target
    stamp["espeak_ng"] = speech.check_espeak()
    started = time.monotonic()
    partial = folder / f"{_PARTIAL}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        partial.mkdir(parents=True)
        _remove_stale(folder)
        _need_space(folder, sizes.bytes_a_hertz * sample_rate)
        job = Job(partial.resolve(), seed, sample_rate, sizes)
        build(job, n_jobs)
        # Last: the stamp says that everything before it is there.
        write_json(partial / STAMP, stamp)
        _put_in_place(partial, target, stamp)
    except OSError as error:
        raise UserError(
            f"{target}: cannot be written ({error}); choose another folder "
            "or free some space"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    seconds = time.monotonic() - started
    logger.info("made the embedded corpus %s in %.0f s", target, seconds)
    return target


def _need_space(folder: Path, needed: float) -> None:
    """Raise UserError when the disk of a folder has less bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{folder}: the embedded corpus takes up to {needed / 1e6:.0f} MB "
            f"and {free / 1e6:.0f} MB are free; free some or choose another "
            "folder"
        )


def _put_in_place(partial: Path, target: Path, stamp: dict) -> None:
    """Rename the finished corpus, unless another process was faster."""
    if target.exists():
        if _is_complete(target, stamp):
            return
        # Ours, but files are missing.
        damaged = partial.with_name(f"{partial.name}-damaged")
        target.rename(damaged)
        shutil.rmtree(damaged, ignore_errors=True)
    try:
        partial.rename(target)
    except OSError:
        if not _is_complete(target, stamp):
            raise
