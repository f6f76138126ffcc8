"""Prepare Mini LibriSpeech, noises and room responses for enhancement.

Speech is OpenSLR 31 (train-clean-5, dev-clean-2) and test-clean of OpenSLR
12; any parts in the LibriSpeech layout ``part/speaker/chapter/*.flac`` will
do. What is missing is downloaded; with the data in place, or
``download: False``, the network is never touched.

Written are JSON manifests in SpeechBrain's form, one for each split of the
speech, the noises and the room responses.
"""

import hashlib
import json
import logging
import os
from pathlib import Path

from download import check_md5, download, unpack
from errors import UserError
import soundfile

logger = logging.getLogger(__name__)

SPLITS = ("train", "valid", "test")
AUDIO = (".flac", ".wav", ".ogg", ".aiff", ".aif")


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
    retries=5,
    timeout=30.0,
):
    """Find or fetch the data and write the manifests.

    Arguments
    ---------
    data_folder : str
        Where the data is, or shall be.
    manifest_folder : str
        Where ``{speech,noise,rir}_{train,valid,test}.json`` are written.
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
        train, valid and test or, without them, by file. None looks for
        musan/noise and RIRS_NOISES in ``data_folder``; with neither, noises
        and rooms are synthesised while training.
    download : bool
        Whether what is missing may be downloaded.
    extra_downloads : list of str
        ``rirs_noises`` (1.3 GB, noises and room responses) and ``musan``
        (11 GB, more noises).
    skip_prep : bool
        Whether to use the manifests of an earlier run as they are.
    retries : int
        Attempts of a download after the first, for each mirror.
    timeout : float
        Seconds without a byte after which an attempt counts as broken.

    Raises
    ------
    errors.UserError
        Data missing and not to be had, or files that cannot be used; every
        one of them is listed.
    """
    manifest_folder = Path(manifest_folder)
    if skip_prep:
        _require_manifests(manifest_folder)
        return
    data_folder = Path(data_folder)
    getter = _Getter(data_folder, archives, mirrors, download, retries, timeout)
    wanted = [parts[split] for split in SPLITS]
    folders = getter.get([*dict.fromkeys(wanted), *extra_downloads])
    manifests = {}
    for split in SPLITS:
        root = folders[parts[split]]
        manifests["speech", split] = _speech_manifest(root, data_folder)
    noise_root, noises = _split_folder(
        noise_folder, _noise_candidates(data_folder), "noise_folder"
    )
    rir_root, rirs = _split_folder(
        rir_folder, _rir_candidates(data_folder), "rir_folder"
    )
    for split in SPLITS:
        manifests["noise", split] = noises[split]
        manifests["rir", split] = rirs[split]
    _check_audio(manifests, sample_rate, data_folder, noise_root, rir_root)
    manifest_folder.mkdir(parents=True, exist_ok=True)
    for (kind, split), entries in manifests.items():
        _write_json(manifest_folder / f"{kind}_{split}.json", entries)
    roots = {
        "data_root": str(data_folder.absolute()),
        "noise_root": str(noise_root or ""),
        "rir_root": str(rir_root or ""),
    }
    _write_json(manifest_folder / "roots.json", roots)
    _tell(manifests)


class _Getter:
    """Finds the parts of the data and fetches what is missing."""

    def __init__(self, folder, archives, mirrors, allowed, retries, timeout):
        self.folder = folder
        self.archives = archives
        self.mirrors = list(mirrors)
        self.allowed = allowed
        self.retries = retries
        self.timeout = timeout

    def get(self, names):
        """Return ``{name: folder}``, having fetched what was missing."""
        found = {name: self._find(name) for name in names}
        missing = [name for name in names if found[name] is None]
        unknown = [n for n in missing if n not in self.archives]
        if unknown:
            raise UserError(
                f"{self.folder}: there is no part {', '.join(unknown)}, and "
                "the key archives of the yaml file does not know where to "
                f"get it (known: {', '.join(self.archives)})"
            )
        for name in list(missing):
            archive = self._archive(name)
            if archive.exists():
                self._unpack(name)
                missing.remove(name)
        if missing and not (self.allowed and self.mirrors):
            raise self._missing(missing, "downloads are switched off")
        for name in missing:
            try:
                download(
                    [
                        f"{m.rstrip('/')}/{self.archives[name]['path']}"
                        for m in self.mirrors
                    ],
                    self._archive(name),
                    self.archives[name].get("md5"),
                    self.retries,
                    self.timeout,
                )
            except UserError as error:
                rest = missing[missing.index(name) :]
                raise self._missing(rest, str(error)) from error
            self._unpack(name, verified=True)
        return {name: self._find(name) for name in names}

    def _find(self, name):
        wanted = self.archives.get(name, {}).get("folder", name)
        for folder in (
            self.folder / wanted,
            self.folder / "LibriSpeech" / name,
            self.folder / name,
        ):
            if any(_audio_files(folder)):
                return folder
        return None

    def _archive(self, name):
        return self.folder / Path(self.archives[name]["path"]).name

    def _unpack(self, name, verified=False):
        archive = self._archive(name)
        folder = self.archives[name]["folder"]
        if not verified and self.archives[name].get("md5"):
            check_md5(archive, self.archives[name]["md5"])
        logger.info(f"Unpacking {archive}")
        unpack(archive, folder, self.folder / folder)

    def _missing(self, names, reason):
        lines = []
        for name in names:
            entry = self.archives[name]
            place = self.mirrors[0].rstrip("/") if self.mirrors else "MIRROR"
            lines.append(
                f"\n  - the folder {self.folder / entry['folder']}, or the "
                f"archive {self._archive(name)} (from "
                f"{place}/{entry['path']}, MD5 {entry.get('md5')})"
            )
        return UserError(
            f"data is missing ({reason}).\nPut these in place and run the "
            f"same command again:{''.join(lines)}"
        )


def _audio_files(folder):
    """Yield the audio files under a folder in a fixed order."""
    if not folder.is_dir():
        return
    for root, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            if file.lower().endswith(AUDIO) and not file.startswith("."):
                path = Path(root) / file
                if "{" in str(path.relative_to(folder)):
                    raise UserError(
                        f"{path}: braces stand for folders in manifests: "
                        "rename the file"
                    )
                yield path


def _speech_manifest(root, data_folder):
    entries = {}
    for path in _audio_files(root):
        relative = path.relative_to(root)
        entries[
            str(root.name / relative.with_suffix("")).replace("\\", "/")
        ] = {
            "wav": f"{{data_root}}/{path.relative_to(data_folder).as_posix()}",
            "speaker": relative.parts[0] if len(relative.parts) > 1 else "",
        }
    return entries


def _noise_candidates(data_folder):
    return [
        data_folder / "musan" / "noise",
        data_folder / "RIRS_NOISES" / "pointsource_noises",
    ]


def _rir_candidates(data_folder):
    return [
        data_folder / "RIRS_NOISES" / "real_rirs_isotropic_noises",
        data_folder / "RIRS_NOISES" / "simulated_rirs",
    ]


def _split_folder(given, candidates, key):
    """Return (root, ``{split: manifest}``) of a folder of noises or rooms."""
    if given is not None:
        candidates = [Path(given)]
        if not any(_audio_files(candidates[0])):
            raise UserError(
                f"{key}: {given} is no folder with audio files "
                f"({', '.join(AUDIO)})"
            )
    label = "{" + key.replace("_folder", "_root") + "}"
    for root in candidates:
        files = [p.relative_to(root) for p in _audio_files(root)]
        if root.name == "real_rirs_isotropic_noises":
            # That folder also holds noises, recorded in the same rooms.
            files = [f for f in files if "noise" not in f.name.lower()]
        if files:
            splits = {split: {} for split in SPLITS}
            for split, group in zip(SPLITS, _assign(files), strict=True):
                for file in group:
                    name = file.with_suffix("").as_posix()
                    splits[split][name] = {"wav": f"{label}/{file.as_posix()}"}
            return root.absolute(), splits
    return None, {split: {} for split in SPLITS}


def _assign(files):
    """Split files into train, valid, test: by subfolder, else 8 : 1 : 1."""
    by_folder = [[f for f in files if f.parts[0] == s] for s in SPLITS]
    if all(by_folder):
        return by_folder
    if len(files) < 3:
        logger.warning(
            f"Only {len(files)} noise or room files: training, validation "
            "and test share them"
        )
        return [files] * 3
    # By a hash of the name: adding files moves none of the others.
    order = sorted(
        files, key=lambda f: hashlib.sha256(f.as_posix().encode()).digest()
    )
    tenth = max(1, len(files) // 10)
    return [order[2 * tenth :], order[:tenth], order[tenth : 2 * tenth]]


def _check_audio(manifests, sample_rate, data_root, noise_root, rir_root):
    """Read every header; add the durations; list all unusable files."""
    roots = {
        "data_root": data_root,
        "noise_root": noise_root,
        "rir_root": rir_root,
    }
    problems = []
    for entries in manifests.values():
        for entry in entries.values():
            path = entry["wav"].format(**roots)
            try:
                info = soundfile.info(path)
            except soundfile.LibsndfileError as error:
                problems.append(f"{path}: cannot be read ({error})")
                continue
            if info.samplerate != sample_rate:
                problems.append(
                    f"{path}: {info.samplerate} Hz instead of {sample_rate}"
                )
            elif not info.frames:
                problems.append(f"{path}: no samples")
            entry["duration"] = info.frames / info.samplerate
    if problems:
        problems = list(dict.fromkeys(problems))
        shown = "".join(f"\n  - {p}" for p in problems[:20])
        more = f"\n  and {len(problems) - 20} more" * (len(problems) > 20)
        raise UserError(
            f"{len(problems)} files cannot be used: mend or delete them"
            f"{shown}{more}"
        )


def _require_manifests(folder):
    names = [f"{k}_{s}" for k in ("speech", "noise", "rir") for s in SPLITS]
    missing = [
        f"{name}.json"
        for name in [*names, "roots"]
        if not (folder / f"{name}.json").exists()
    ]
    if missing:
        raise UserError(
            f"skip_prep: {folder} lacks {', '.join(missing)}: run once "
            "without --skip_prep True"
        )


def _write_json(path, content):
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(temporary, path)


def _tell(manifests):
    for split in SPLITS:
        speech = manifests["speech", split]
        hours = sum(e["duration"] for e in speech.values()) / 3600
        noises = len(manifests["noise", split])
        rirs = len(manifests["rir", split])
        logger.info(
            f"{split}: {len(speech)} utterances ({hours:.2f} h), "
            + (f"{noises} noises, " if noises else "synthetic noise, ")
            + (f"{rirs} room responses" if rirs else "simulated rooms")
        )
    if not manifests["noise", "train"]:
        logger.warning(
            "No noises given: coloured noise is synthesised. For real ones "
            'use --noise_folder FOLDER or --extra_downloads "[rirs_noises]"'
        )
