"""Find out what a data folder holds: layouts, files, speakers.

Nothing here opens an audio file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
import os
from pathlib import Path, PurePosixPath
import re

from edgebrain.data.audio import AUDIO_SUFFIXES
from edgebrain.errors import UserError, shorten

#: The sets, in the order of tables.
SPLITS = ("train", "valid", "test")

#: What a recording is for -> what a group of them is called; no group should
#: be in two splits.
ROLES = {
    "speech": "speaker",
    "noise": "noise",
    "rir": "room",
    "paired": "speaker",
}

#: Those of recordings that are mixed.
MIXED = ("speech", "noise", "rir")

#: The two files of a pair.
SIDES = ("noisy", "clean")

_SPLIT_NAMES = {
    "train": ("train",),
    "valid": ("valid", "dev", "val", "validation"),
    "test": ("test",),
}

LAYOUTS = """\
A data folder has one of these layouts:
  speech/ and, if wanted, noise/ and rir/      mixtures are made in training
  clean/ and noisy/                            ready pairs of the same names
  train/clean/ and train/noisy/, test/...      the same, split outside
Each of these folders may hold train/, valid/ (or dev/, val/) and test/
folders; without them the files are split by speaker folder or by file."""


#: What a role's clips are made of: split (None: still to be split) to the
#: files of each key of a manifest, "wav", or "noisy" and "clean".
Splits = dict[str | None, dict[str, "Found"]]


@dataclass(frozen=True)
class Clip:
    """One recording, or one pair of them, of a set.

    Arguments
    ---------
    id : str
        Relative path without suffix, with "/": unique in its set.
    files : dict
        What a manifest calls the file ("wav", or "noisy" and "clean") ->
        path.
    group : str
        Speaker, noise or room. No group should be in two splits.
    """

    id: str
    files: dict[str, Path]
    group: str


@dataclass
class Found:
    """Audio files under a folder: sorted relative path, with "/", to path.

    ``ignored`` is the number of files that are not audio; ``folder`` is None
    where files of several folders, or chosen ones, are meant.
    """

    files: dict[str, Path] = field(default_factory=dict)
    ignored: int = 0
    folder: Path | None = None

    def add(self, more: "Found") -> None:
        """Take the files of one more folder."""
        for relative in sorted(self.files.keys() & more.files.keys()):
            raise UserError(
                f"data_folder: {self.files[relative]} and "
                f"{more.files[relative]} have the same name in their folders; "
                "rename one, or use one of the folders"
            )
        self.files |= more.files
        self.ignored += more.ignored


def find_audio(folder: Path | str) -> Found:
    """List the audio files under a folder, in a stable order.

    Hidden files and folders are passed over. Links are followed, but no
    folder is entered twice. A file counts as audio by its suffix
    (``edgebrain.data.audio.AUDIO_SUFFIXES``).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder")
    found, seen = Found(folder=folder), set()
    for here, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in names:
            if name.startswith("."):
                continue
            path = Path(here, name)
            if path.suffix.lower() in AUDIO_SUFFIXES:
                relative = path.relative_to(folder).as_posix()
                found.files[relative] = path
            else:
                found.ignored += 1
    found.files = dict(sorted(found.files.items()))
    return found


def split_folders(folder: Path | str) -> dict[str, Path]:
    """Return the train, valid and test folders in a folder, if any.

    "dev", "val" and "validation" also name the validation set; upper and
    lower case do not matter.
    """
    result = {}
    for path in _subfolders(folder):
        for split, names in _SPLIT_NAMES.items():
            if path.name.lower() in names:
                if split in result:
                    raise UserError(
                        f"{folder}: {result[split].name}/ and {path.name}/ "
                        f"both name the {split} set; merge or rename one"
                    )
                result[split] = path
    return {split: result[split] for split in SPLITS if split in result}


def find_splits(folders: dict[str, Path]) -> tuple[Splits, list[str]]:
    """Return the files of the folders of a role, and notes for people.

    Each folder, by key, may hold train, valid and test folders; if one does,
    all must. Notes say what lies beside them and is not used.
    """
    inside = {key: split_folders(folder) for key, folder in folders.items()}
    first, *others = inside.values()
    if any(other.keys() != first.keys() for other in others):
        held = [f"{folders[k]} holds {_names(v)}" for k, v in inside.items()]
        raise UserError(f"{' but '.join(held)}: both need the same")
    if not first:
        return {None: {k: find_audio(f) for k, f in folders.items()}}, []
    notes = []
    for key, splits in inside.items():
        notes += _unused(folders[key], [p.name for p in splits.values()])
    return {
        split: {key: find_audio(inside[key][split]) for key in folders}
        for split in first
    }, notes


def find_layout(data_folder: Path | str) -> tuple[dict[str, Splits], list[str]]:
    """Return what a data folder holds by role, and notes for people.

    The roles are "speech", "noise" and "rir" for mixing, or "paired". Notes
    say what is not used.
    """
    data_folder = Path(data_folder)
    if not data_folder.is_dir():
        what = "is not a folder" if data_folder.exists() else "does not exist"
        raise UserError(f"data folder {data_folder} {what}.\n{LAYOUTS}")
    names = {path.name: path for path in _subfolders(data_folder)}
    outside = {
        split: {side: path / side for side in SIDES}
        for split, path in split_folders(data_folder).items()
        if all((path / side).is_dir() for side in SIDES)
    }
    mixing, paired = "speech" in names, names.keys() >= set(SIDES)
    if mixing + paired + bool(outside) > 1:
        raise UserError(
            f"data folder {data_folder} fits several layouts (it holds "
            f"{_names(names)}); keep the folders of one.\n{LAYOUTS}"
        )
    if outside:
        used = [pair["clean"].parent.name for pair in outside.values()]
        sets = {
            split: {side: find_audio(path) for side, path in pair.items()}
            for split, pair in outside.items()
        }
        return {"paired": sets}, _unused(data_folder, used)
    if mixing:
        roles = {r: {"wav": names[r]} for r in MIXED if r in names}
    elif paired:
        roles = {"paired": {side: names[side] for side in SIDES}}
    else:
        raise UserError(
            f"data folder {data_folder} fits no layout: it holds "
            f"{_names(names)}.\n{LAYOUTS}"
        )
    used = [p.name for folders in roles.values() for p in folders.values()]
    notes, found = _unused(data_folder, used), {}
    for role, folders in roles.items():
        found[role], more = find_splits(folders)
        notes += more
    return found, notes


def find_layouts(
    data_folders: Sequence[Path | str],
) -> tuple[dict[str, Splits], list[str]]:
    """Recognise the layout of several data folders taken as one.

    As :func:`find_layout`.
    """
    if not data_folders:
        raise UserError("data_folder: an empty list, give at least one folder")
    layouts = [find_layout(folder) for folder in data_folders]
    if len(layouts) == 1:
        return layouts[0]
    merged: dict[str, Splits] = {}
    for roles, _ in layouts:
        if "paired" in roles:
            raise UserError(
                "data_folder: of several folders each must hold speech/ (and "
                "noise/, rir/) to be mixed, not pairs"
            )
        for role, splits in roles.items():
            for split, files in splits.items():
                here = merged.setdefault(role, {})
                here.setdefault(split, {"wav": Found()})["wav"].add(
                    files["wav"]
                )
    for role, splits in merged.items():
        if None in splits and len(splits) > 1:
            raise UserError(
                f"data_folder: {role}/ has train, valid and test folders in "
                "one of the folders and not in another; give all the same"
            )
    return merged, [note for _, notes in layouts for note in notes]


def _unused(folder: Path, used: list[str]) -> list[str]:
    """Return a note on the folders and audio files that are not used."""
    folders = [f"{p.name}/" for p in _subfolders(folder) if p.name not in used]
    audio = [
        path.name
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in AUDIO_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    ]
    notes = []
    if folders:
        notes.append(f"not used in {folder}: {shorten(folders)}")
    if audio:
        notes.append(
            f"not used in {folder}: {len(audio)} audio files outside the "
            f"folders above ({shorten(audio)})"
        )
    return notes


def group_of(relative: str, role: str) -> str:
    """Return the speaker, noise or room of a file.

    In this order: the top folder; for speech the part of the name before the
    first "-" or "_" ("1089-134686-0016" -> "1089", "p287_001" -> "p287"); the
    name without suffix.
    """
    path = PurePosixPath(relative)
    if len(path.parts) > 1:
        return path.parts[0]
    if ROLES[role] == "speaker":
        return re.split("[-_]", path.stem, maxsplit=1)[0] or path.stem
    return path.stem


def _subfolders(folder: Path | str) -> list[Path]:
    return sorted(
        path
        for path in Path(folder).iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )


def _names(names) -> str:
    return ", ".join(f"{name}/" for name in names) or "no folder"
