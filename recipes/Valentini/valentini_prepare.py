"""Prepare the paired corpus of Valentini-Botinhao (VoiceBank+DEMAND).

https://datashare.ed.ac.uk/handle/10283/2791 has it as six archives, or one
that holds them: ``{clean,noisy}_{trainset_28spk,trainset_56spk,testset}_wav``
at 48 kHz. Folders and archives may both lie in the data folder; 16 kHz copies
(``..._wav_16k``) and FLAC files will do too. What is not mono at the sample
rate is converted once, see :mod:`edgebrain.data.resampling`. Folders
``clean/`` and ``noisy/`` with pairs of one's own are prepared as well.
"""

from collections.abc import Mapping, Sequence
import os
from pathlib import Path, PurePosixPath
import re

from edgebrain.data.archives import (
    ARCHIVE_SUFFIXES,
    archive_members,
    unpack,
    unpack_file,
)
from edgebrain.data.layout import (
    Found,
    find_audio,
    find_layout,
    group_of,
)
from edgebrain.data.manifest import PreparedData, find_prepared, prepare_sets
from edgebrain.data.splits import hash_order
from edgebrain.errors import UserError, unknown_name

SOURCE = "https://datashare.ed.ac.uk/handle/10283/2791"
BUNDLE = "DS_10283_2791"

#: Number of training speakers -> sets. No speaker is in both.
TRAINING_SETS = {
    28: ("trainset_28spk",),
    56: ("trainset_56spk",),
    84: ("trainset_28spk", "trainset_56spk"),
}
TEST_SET = "testset"

#: Validation speakers, a man and a woman, where they are in the training set.
VALID_SPEAKERS = ("p226", "p287")

_SIDES = ("clean", "noisy")
#: How files and folders of the corpus begin.
_NAMES = (
    *(f"{s}_{n}" for s in _SIDES for n in (*TRAINING_SETS[84], TEST_SET)),
    BUNDLE,
)
_SPEAKER = re.compile(r"[ps]\d+")
# What may follow the name of a set; the originals first, so that of several
# copies the one is taken whose resampling is known.
_ENDINGS = re.compile(r"(_wav|_flac)?(_16k(hz)?)?", re.IGNORECASE)


def prepare_valentini(
    data_folder: Path | str,
    output_folder: Path | str,
    sample_rate: int,
    cache_folder: Path | str,
    seed: int,
    training_set: int = 28,
    valid_from: list | str | int | float | None = None,
    test_from: int | float | None = None,
    train_folders: Sequence[str] | None = None,
    valid_folders: Sequence[str] | None = None,
    test_folders: Sequence[str] | None = None,
    skip_prep: bool = False,
    **options,
) -> PreparedData:
    """Check the corpus and write its manifests.

    Arguments
    ---------
    data_folder : Path or str
        Where its folders or archives lie; or ``clean/`` and ``noisy/``.
    output_folder, sample_rate, seed
        As of :func:`edgebrain.data.manifest.prepare_folder`.
    cache_folder : Path or str
        For converted audio, and archives unpacked if the data folder cannot
        be written.
    training_set : int
        28, 56 or 84 speakers: the first set, the second, both.
    valid_from : list of str, int, float or None
        Validation set, out of training: speakers, a number of pairs, or a
        fraction of them. None: p226 and p287, or, where they are not in the
        set, two speakers chosen by the seed; of other data a tenth, by
        speaker if names tell them.
    test_from : int, float or None
        For data without a test set: take so much of the training pairs.
    train_folders, valid_folders, test_folders : list of str, optional
        Other names below the data folder: the clean and the noisy one.
    skip_prep : bool
        Use the manifests of an earlier run as they are.
    **options
        ``num_train`` and its like, ``skip_bad``, ...: see
        :func:`edgebrain.data.manifest.prepare_sets`.

    Raises
    ------
    UserError
        Lists what is missing and where to get it, or what is wrong with it.
    """
    data_folder = Path(data_folder)
    if skip_prep:
        return find_prepared(output_folder, data_folder)
    if training_set not in TRAINING_SETS:
        raise unknown_name(
            "training_set", training_set, map(str, TRAINING_SETS)
        )
    if not data_folder.is_dir():
        raise UserError(f"data_folder: there is no folder {data_folder}")
    notes = []
    named = {
        "train": train_folders,
        "valid": valid_folders,
        "test": test_folders,
    }
    if any(named.values()):
        sets = _named_folders(data_folder, named)
    elif any(path.name.startswith(_NAMES) for path in data_folder.iterdir()):
        sets = _corpus(data_folder, Path(cache_folder), training_set, test_from)
    else:
        sets, notes = _own_pairs(data_folder)
    sets, speakers, more = choose_sets(sets, valid_from, test_from, seed)
    return prepare_sets(
        {"paired": sets},
        data_folder,
        output_folder,
        sample_rate,
        cache_folder,
        seed,
        valid_speakers=speakers,
        notes=[*notes, *more],
        **options,
    )


def choose_sets(
    sets: Mapping, valid_from, test_from, seed: int
) -> tuple[dict, list[str] | None, list[str]]:
    """Take validation and, if asked for, test pairs out of training.

    ``sets`` are "train", "valid", "test", or None for all in one, each
    ``{"clean": Found, "noisy": Found}``. Returns them with the pairs in their
    place; the validation speakers if they are still in the training set; and
    what was chosen, for people.
    """
    sets, notes = dict(sets), []
    for split, key, value in (
        ("valid", "valid_from", valid_from),
        ("test", "test_from", test_from),
    ):
        if value is not None and split in sets:
            raise UserError(
                f"{key}: there is a {split} set already; leave {key} null"
            )
    if None in sets:
        if valid_from is None and test_from is None:
            return sets, None, notes  # one pool, divided by speaker
        if test_from is None:
            raise UserError("test_from: there is no test set; say how much")
        sets["train"] = sets.pop(None)
    if "train" not in sets:
        raise UserError("there is no training set (train)")
    # What one side lacks is reported later.
    clean, noisy = (set(map(_id, sets["train"][s].files)) for s in _SIDES)
    pool = hash_order(clean & noisy, seed)
    if test_from is not None:
        count = _count("test_from", test_from, len(pool))
        sets["test"], pool = _move(sets, pool, count), pool[count:]
        notes.append(
            f"test: {count} of the training pairs, chosen by seed {seed}"
        )
    if "valid" in sets or not pool:
        return sets, None, notes
    if isinstance(valid_from, int | float):
        count = _count("valid_from", valid_from, len(pool))
        sets["valid"] = _move(sets, pool, count)
        notes.append(
            f"valid: {count} of the training pairs, chosen by seed {seed}"
        )
        return sets, None, notes
    if isinstance(valid_from, str):
        valid_from = [valid_from]
    known = {group_of(name, "paired") for name in pool}
    if valid_from is None:
        valid_from = list(VALID_SPEAKERS)
        if not known.issuperset(valid_from):
            if not all(_SPEAKER.fullmatch(name) for name in known):
                return sets, None, notes  # a tenth, divided as any data is
            valid_from = sorted(hash_order(known, seed)[:2])
    if len(known) <= len(valid_from):
        raise UserError(
            f"valid_from: the training set has {len(known)} speakers "
            f"({', '.join(sorted(known)[:5])}), too few to take "
            f"{len(valid_from)} away; give a number of pairs, as in "
            "--valid_from 100"
        )
    return sets, list(valid_from), notes


def _count(key: str, value, there: int) -> int:
    """Return a number of pairs, given as that or as a fraction."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, float) and 0 < value < 1:
        value, whole = max(1, round(value * there)), True
    if not whole or not 1 <= value < there:
        raise UserError(
            f"{key}: {value!r} must be a whole number from 1 and below the "
            f"{there} pairs there are, or a fraction between 0 and 1"
        )
    return value


def _id(relative: str) -> str:
    return PurePosixPath(relative).with_suffix("").as_posix()


def _move(sets: dict, pool: list[str], count: int) -> dict[str, Found]:
    """Take the first pairs of the pool out of training; return them."""
    names = set(pool[:count])
    moved = {}
    for side, found in sets["train"].items():
        inside = {k: v for k, v in found.files.items() if _id(k) in names}
        rest = {k: v for k, v in found.files.items() if k not in inside}
        moved[side] = Found(inside)
        sets["train"] = sets["train"] | {side: Found(rest, found.ignored)}
    return moved


def _named_folders(data_folder: Path, named: Mapping) -> dict:
    """Return the sets of the keys ``train_folders`` and its like."""
    problems, sets = [], {}
    for split, folders in named.items():
        if folders is None:
            continue
        if not isinstance(folders, list) or len(folders) != 2:
            problems.append(
                f"{split}_folders: give the clean and the noisy folder, as in "
                f"[clean_{split}, noisy_{split}]"
            )
            continue
        paths = [data_folder / str(name) for name in folders]
        lost = [path for path in paths if not path.is_dir()]
        problems += [
            f"{split}_folders: there is no folder {path}" for path in lost
        ]
        if not lost:
            sets[split] = dict(zip(_SIDES, map(find_audio, paths), strict=True))
    if problems:
        raise UserError.collect(f"folders in {data_folder}", problems)
    return sets


def _own_pairs(data_folder: Path) -> tuple[dict, list[str]]:
    """Return the sets of ``clean/`` and ``noisy/`` folders."""
    try:
        roles, notes = find_layout(data_folder)
    except UserError as error:
        raise UserError(
            f"{data_folder}: there is nothing of the Valentini corpus. Put "
            "its folders or archives there, such as clean_testset_wav/ or "
            f"clean_testset_wav.zip; they are at {SOURCE}\n"
            f"As for data of your own: {error}"
        ) from error
    if "paired" not in roles:
        raise UserError(
            f"{data_folder}: holds speech/ to be mixed, and this recipe is "
            "for ready pairs; use the train.py of the repository's root"
        )
    return roles["paired"], notes


def _corpus(data_folder, cache_folder, training_set, test_from) -> dict:
    """Return the sets of the corpus, unpacked if need be."""
    wanted = list(TRAINING_SETS[training_set])
    if test_from is None:
        wanted.append(TEST_SET)
    target = data_folder
    if not os.access(data_folder, os.W_OK):
        target = cache_folder / "Valentini"
    roots = [data_folder, data_folder / BUNDLE, cache_folder / "Valentini"]
    roots = [root for root in roots if root.is_dir()]
    missing, found = [], {}
    for name in wanted:
        places = {side: _folders(roots, f"{side}_{name}") for side in _SIDES}
        for side in _SIDES:
            if not places[side]:
                places[side] = _unpacked(roots, f"{side}_{name}", target)
            if not places[side]:
                missing.append(f"{side}_{name}_wav/ or {side}_{name}_wav.zip")
        found[name] = places
    if missing:
        lines = UserError.collect(
            f"{data_folder}: parts of the Valentini corpus are missing", missing
        )
        raise UserError(
            f"{lines}\nThey are at {SOURCE}; put them into {data_folder}. "
            "Without a test set, to try things out: --test_from 0.1"
        )
    sets = {"train": {side: Found() for side in _SIDES}}
    for name in wanted:
        pairs = _same_kind(found[name])
        if name == TEST_SET:
            sets["test"] = pairs
            continue
        for side in _SIDES:
            sets["train"][side].add(pairs[side])
    return sets


def _folders(roots: list[Path], name: str) -> dict[str, Path]:
    """Return ending -> folder of one side of a set, originals first."""
    result = {}
    for root in roots:
        for path in sorted(root.iterdir()):
            ending = path.name[len(name) :]
            if (
                path.is_dir()
                and path.name.startswith(name)
                and _ENDINGS.fullmatch(ending)
                and find_audio(path).files
            ):
                result.setdefault(ending.lower(), path)
    order = sorted(result, key=lambda end: ("16k" in end, end != "_wav", end))
    return {ending: result[ending] for ending in order}


def _same_kind(places: Mapping[str, dict[str, Path]]) -> dict[str, Found]:
    """Return both sides, of the same kind of copy if there is one."""
    common = [e for e in places["clean"] if e in places["noisy"]]
    return {
        side: find_audio(by[common[0]] if common else next(iter(by.values())))
        for side, by in places.items()
    }


def _unpacked(roots: list[Path], name: str, target: Path) -> dict[str, Path]:
    """Unpack one side of a set, if an archive has it."""
    for root in roots:
        for path in sorted(root.iterdir()):
            stem = _archive_stem(path)
            if stem.startswith(name) and _ENDINGS.fullmatch(stem[len(name) :]):
                return _unpack(path, stem, target)
            if stem != BUNDLE:
                continue
            for member in archive_members(path):
                inner = target / PurePosixPath(member).name
                if _archive_stem(inner).startswith(f"{name}_"):
                    target.mkdir(parents=True, exist_ok=True)
                    unpack_file(path, member, inner)
                    result = _unpack(inner, _archive_stem(inner), target)
                    inner.unlink()
                    return result
    return {}


def _archive_stem(path: Path) -> str:
    """Return the name of an archive without its suffix, "" if it is none."""
    for suffix in ARCHIVE_SUFFIXES:
        if path.name.endswith(suffix):
            return path.name.removesuffix(suffix)
    return ""


def _unpack(archive: Path, stem: str, target: Path) -> dict[str, Path]:
    members = archive_members(archive)
    bare = members and not any(stem in PurePosixPath(m).parts for m in members)
    return {"": unpack(archive, "" if bare else stem, target / stem)}
