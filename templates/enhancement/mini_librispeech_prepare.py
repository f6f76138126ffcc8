"""Prepare Mini LibriSpeech, noises and room responses for enhancement.

Speech is OpenSLR 31 (train-clean-5, dev-clean-2) and test-clean of OpenSLR
12; any parts in the LibriSpeech layout ``part/speaker/chapter/*.flac`` will
do. What is missing is downloaded; with the data in place, or
``download: False``, the network is never touched.

Written is a JSON file for each split: ``{"speech": {id: {"wav", "speaker",
"duration"}}, "noise": {...}, "rir": {...}}``.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
import shutil
import socket
import tarfile
import time
import zipfile
import zlib

from helpers import UserError
import soundfile
from speechbrain.utils.data_utils import download_file

logger = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")
AUDIO = (".flac", ".wav", ".ogg", ".aiff", ".aif")
_NOISES = ("musan/noise", "RIRS_NOISES/pointsource_noises")
_REAL_ROOMS = "RIRS_NOISES/real_rirs_isotropic_noises"
_ROOMS = (_REAL_ROOMS, "RIRS_NOISES/simulated_rirs")
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError)


def prepare_mini_librispeech(
    data_folder,
    manifest_folder,
    parts,
    sample_rate,
    archives,
    mirrors,
    noise_folder=None,
    rir_folder=None,
    download=True,
    extra_downloads=(),
    skip_prep=False,
):
    """Find or fetch the data and write the manifests.

    Arguments
    ---------
    data_folder, manifest_folder : str
        Where the data is, or shall be, and where the manifests go.
    parts : dict
        LibriSpeech part of each split: ``{"train": "train-clean-5", ...}``.
    sample_rate : int
        The rate every file must have, in Hz.
    archives : dict
        ``{name: {"path", "folder", "md5"}}``: where an archive lies on a
        mirror, which folder of it is wanted, and its checksum or None.
    mirrors : list of str
        Base addresses, tried in order.
    noise_folder, rir_folder : str or None
        Any folder with noises or room responses, split by its subfolders
        train, valid and test or, without them, by file. None looks for MUSAN
        and RIRS_NOISES in ``data_folder``.
    download, skip_prep : bool
        Whether what is missing may be downloaded, and whether to use the
        manifests of an earlier run as they are.
    extra_downloads : list of str
        Other keys of ``archives`` to have.
    """
    data_folder = Path(data_folder)
    files = {s: Path(manifest_folder) / f"{s}.json" for s in SPLITS}
    if skip_prep:
        for file in files.values():
            if not file.exists():
                raise UserError(
                    f"skip_prep: {file} is missing: run without --skip_prep"
                )
        return
    names = dict.fromkeys([*(parts[s] for s in SPLITS), *extra_downloads])
    folders = _fetch(names, data_folder, archives, mirrors if download else [])
    noises = _split_folder("noise_folder", noise_folder, data_folder, _NOISES)
    rirs = _split_folder("rir_folder", rir_folder, data_folder, _ROOMS)
    manifests = {
        split: {
            "speech": _speech_manifest(folders[parts[split]], data_folder),
            "noise": noises[split],
            "rir": rirs[split],
        }
        for split in SPLITS
    }
    _check_audio(manifests, sample_rate, data_folder)
    for split, manifest in manifests.items():
        files[split].parent.mkdir(parents=True, exist_ok=True)
        part = files[split].with_suffix(".part")
        part.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        os.replace(part, files[split])
        counts = [f"{len(manifest[kind])} {kind}" for kind in manifest]
        logger.info(f"{split}: files of {', '.join(counts)}")
    if not noises["train"]:
        logger.warning(
            "No noises given: coloured noise is synthesised. For real ones "
            'use --noise_folder FOLDER or --extra_downloads "[rirs_noises]"'
        )


def _fetch(names, data_folder, archives, mirrors):
    """Return ``{name: folder}`` of parts; download those that are missing."""
    folders, problems = {}, []
    for name in names:
        folders[name] = _find(name, data_folder, archives)
        if folders[name] is not None:
            continue
        if name not in archives:
            raise UserError(
                f"{data_folder}: there is no part {name}, and the key archives "
                f"of the yaml file does not know it ({', '.join(archives)})"
            )
        path, folder, md5 = (
            archives[name][k] for k in ("path", "folder", "md5")
        )
        archive = data_folder / Path(path).name
        try:
            if not archive.exists():
                urls = [f"{mirror.rstrip('/')}/{path}" for mirror in mirrors]
                _download(urls, archive, md5)
            _unpack(archive, folder, data_folder, md5)
            folders[name] = _find(name, data_folder, archives)
        except UserError as error:
            problems.append(
                f"\n  - {name}: {error}. Put the folder {data_folder / folder} "
                f"in place, or the archive {archive} ({path} of OpenSLR, MD5 "
                f"{md5})"
            )
    if problems:
        raise UserError(f"data is missing:{''.join(problems)}")
    return folders


def _find(name, data_folder, archives):
    wanted = archives.get(name, {}).get("folder", name)
    for place in (wanted, f"LibriSpeech/{name}", name):
        if _audio_files(data_folder / place):
            return data_folder / place
    return None


def _download(urls, destination, md5=None, tries=3, timeout=30, wait=2.0):
    """Download a file, whole, from the first of its urls that delivers it.

    A try is broken by ``timeout`` seconds without a byte; ``wait`` seconds
    pass between two rounds through the urls.
    """
    part, failures = destination.with_name(f"{destination.name}.part"), []
    usual = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)  # SpeechBrain's download has none
    try:
        for url in list(urls) * tries:
            time.sleep(wait * (len(failures) // len(urls)))
            try:
                download_file(url, str(part), replace_existing=True)
                _check_md5(part, md5)
                os.replace(part, destination)
                return
            except (UserError, OSError) as error:
                failures.append(f"{url}: {error}")
    finally:
        socket.setdefaulttimeout(usual)
        part.unlink(missing_ok=True)
    reasons = "; ".join(dict.fromkeys(failures)) or "downloads are off"
    raise UserError(f"not downloaded ({reasons})")


def _check_md5(path, md5):
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if md5 not in (None, found):
        raise UserError(f"the MD5 of {path} is {found}, not {md5}")


def _unpack(archive, folder, data_folder, md5=None):
    """Unpack one folder of a tar or zip archive, whole or not at all."""
    work = data_folder / f".unpacking-{archive.name}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        _check_md5(archive, md5)
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as members:
                members.extractall(work)  # nothing lands outside
        else:
            with tarfile.open(archive) as members:
                members.extractall(work, filter="data")
        if not (work / folder).is_dir():
            raise UserError(f"there is no folder {folder} in it")
        (data_folder / folder).parent.mkdir(parents=True, exist_ok=True)
        os.replace(work / folder, data_folder / folder)
    except (UserError, OSError, *_DAMAGED) as error:
        raise UserError(
            f"{archive} cannot be unpacked ({error}): delete it and get it "
            "again"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _audio_files(folder):
    """Return the audio files under a folder in a fixed order."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in AUDIO and not path.name.startswith(".")
    ]


def _wav(path, data_folder):
    """Return a path for a manifest, which can move with the data folder."""
    inside = path.is_relative_to(data_folder)
    path = path.relative_to(data_folder) if inside else path.absolute()
    if "{" in str(path):
        raise UserError(f"{path}: SpeechBrain fills in braces: rename the file")
    return ("{data_root}/" if inside else "") + path.as_posix()


def _speech_manifest(root, data_folder):
    entries = {}
    for path in _audio_files(root):
        relative = path.relative_to(root)
        entries[(root.name / relative.with_suffix("")).as_posix()] = {
            "wav": _wav(path, data_folder),
            "speaker": relative.parts[0] if len(relative.parts) > 1 else "",
        }
    return entries


def _split_folder(key, given, data_folder, known):
    """Return ``{split: manifest}`` of a folder of noises or rooms."""
    places = [data_folder / place for place in known]
    for root in [Path(given)] if given is not None else places:
        files = _audio_files(root)
        if root == data_folder / _REAL_ROOMS:
            # That folder also holds noises, recorded in the same rooms.
            files = [f for f in files if "noise" not in f.name.lower()]
        if files:
            return {
                split: {
                    path.relative_to(root).with_suffix("").as_posix(): {
                        "wav": _wav(path, data_folder)
                    }
                    for path in paths
                }
                for split, paths in _assign(files, root)
            }
    if given is not None:
        raise UserError(
            f"{key}: {given} is no folder with audio files ({', '.join(AUDIO)})"
        )
    return {split: {} for split in SPLITS}


def _assign(files, root):
    """Split files into train, valid, test: by subfolder, else 8 : 1 : 1."""
    names = {file: file.relative_to(root) for file in files}
    groups = [[f for f in files if names[f].parts[0] == s] for s in SPLITS]
    if not all(groups):
        # By a hash of the name: adding files moves none of the others.
        hashes = {
            file: hashlib.sha256(name.as_posix().encode()).digest()
            for file, name in names.items()
        }
        order = sorted(files, key=hashes.get)
        tenth = max(1, len(files) // 10)
        groups = [order[2 * tenth :], order[:tenth], order[tenth : 2 * tenth]]
    if len(files) < 3:
        logger.warning(f"All splits share the {len(files)} files of {root}")
        groups = [files] * 3
    return zip(SPLITS, groups, strict=True)


def _check_audio(manifests, sample_rate, data_folder):
    """Read every header; add the durations; list all unusable files."""
    problems = {}
    kinds = [m[kind] for m in manifests.values() for kind in m]
    for entry in [entry for kind in kinds for entry in kind.values()]:
        path = entry["wav"].format(data_root=data_folder)
        try:
            info = soundfile.info(path)
        except soundfile.LibsndfileError as error:
            problems[path] = f"cannot be read ({error})"
            continue
        entry["duration"] = info.duration
        if info.samplerate != sample_rate or not info.frames:
            problems[path] = f"{info.frames} samples at {info.samplerate} Hz"
    if problems:
        lines = [f"\n  - {path}: {text}" for path, text in problems.items()]
        more = f"\n  and {len(lines) - 20} more" * (len(lines) > 20)
        raise UserError(
            f"{len(lines)} files cannot be used ({sample_rate} Hz is needed): "
            f"mend or delete them{''.join(lines[:20])}{more}"
        )
