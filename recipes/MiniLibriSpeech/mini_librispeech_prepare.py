"""Find or fetch Mini LibriSpeech, noises and rooms, and write manifests.

Speech is OpenSLR 31 (train-clean-5, dev-clean-2) and test-clean of OpenSLR
12, or any other parts of LibriSpeech. Noises are those of MUSAN (OpenSLR 17),
room responses the measured ones of OpenSLR 28, or those of any folder; or
both are generated. What is missing is downloaded. With everything in place,
or with ``download=False``, no connection is opened.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgebrain.data.archives import unpack
from edgebrain.data.download import download as fetch
from edgebrain.data.download import verify
from edgebrain.data.embedded.corpus import CorpusSizes, make_embedded_corpus
from edgebrain.data.layout import (
    SPLITS,
    Found,
    Splits,
    find_audio,
    find_splits,
)
from edgebrain.data.manifest import PreparedData, find_prepared, prepare_sets
from edgebrain.errors import UserError, unknown_name


@dataclass(frozen=True)
class Archive:
    """An archive on a mirror, and the folder of it that is wanted.

    ``path`` lies below the address of a mirror, ``folder`` in the archive and
    below the data folder; ``md5`` is published beside it; ``size`` in bytes.
    """

    path: str
    folder: str
    md5: str
    size: int | None = None

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.path.rpartition("/")[2]


def _libri(number: int, name: str, md5: str, size: int | None = None):
    return Archive(f"{number}/{name}.tar.gz", f"LibriSpeech/{name}", md5, size)


#: What can be downloaded. The checksums are those that OpenSLR publishes.
ARCHIVES = {
    "train-clean-5": _libri(
        31, "train-clean-5", "5df7d4e78065366204ca6845bb08f490", 332954390
    ),
    "dev-clean-2": _libri(
        31, "dev-clean-2", "6d7ab67ac6a1d2c993d050e16d61080d", 126046265
    ),
    "test-clean": _libri(
        12, "test-clean", "32fa31d27d2e1cad72775fee3f4849a9", 346663984
    ),
    "test-other": _libri(
        12, "test-other", "fb5a50374b501bb3bac4815ee91d3135", 328757843
    ),
    "dev-clean": _libri(12, "dev-clean", "42e2234ba48799c1f50f24a7926300a1"),
    "dev-other": _libri(12, "dev-other", "c8d0bcc9cca99d4f8b62fcc847357931"),
    "train-clean-100": _libri(
        12, "train-clean-100", "2a93770f6d5c6c964bc36631d331a522"
    ),
    "train-clean-360": _libri(
        12, "train-clean-360", "c0e676e450a7ff2f54aeade5171606fa"
    ),
    "musan": Archive(
        "17/musan.tar.gz",
        "musan/noise",
        "0c472d4fc0c5141eca47ad1ffeb2a7df",
        11086114085,
    ),
    "rirs_noises": Archive(
        "28/rirs_noises.zip",
        "RIRS_NOISES/real_rirs_isotropic_noises",
        "e6f48e257286e05de56413b4779d8ffb",
        1311166223,
    ),
}

#: Tried in this order.
MIRRORS = (
    "https://www.openslr.org/resources",
    "https://us.openslr.org/resources",
    "https://openslr.elda.org/resources",
)

# Noises and rooms for recordings that bring none. Of the speech that the
# same generator makes, as little as there can be.
_GENERATED = CorpusSizes(
    utterances=(1, 1, 1), noises=(54, 7, 14), rooms=(24, 3, 6)
)


def prepare_mini_librispeech(
    data_folder: Path | str,
    output_folder: Path | str,
    sample_rate: int,
    cache_folder: Path | str,
    seed: int,
    parts: Mapping[str, Sequence[str]],
    noise_folder: Path | str | None = None,
    rir_folder: Path | str | None = None,
    download: bool = True,
    mirrors: Sequence[str] = MIRRORS,
    check_archives: bool = True,
    skip_prep: bool = False,
    **options,
) -> PreparedData:
    """Fetch what is missing, check everything and write the manifests.

    Arguments
    ---------
    data_folder : Path or str
        Where the data is, or shall be.
    output_folder, sample_rate, seed
        As of :func:`edgebrain.data.manifest.prepare_folder`.
    cache_folder : Path or str
        For converted audio and generated noises and rooms.
    parts : mapping
        "train", "valid" and "test" -> parts of LibriSpeech.
    noise_folder, rir_folder : Path, str or None
        Any folder, with train, valid and test inside if the split matters;
        "musan" and "rirs_noises" for the corpora of OpenSLR; None for
        generated ones.
    download : bool
        Whether what is missing may be downloaded.
    mirrors : sequence of str
        Addresses, in order of preference.
    check_archives : bool
        Whether an archive must have the published checksum; False for
        archives of one's own making.
    skip_prep : bool
        Use the manifests of an earlier run as they are.
    **options
        ``num_train`` and its like, ``skip_bad``, ...: see
        :func:`edgebrain.data.manifest.prepare_sets`.

    Raises
    ------
    UserError
        Data missing and not to be had: says which files to put where. Or
        what is wrong with it.
    """
    data_folder = Path(data_folder)
    if skip_prep:
        return find_prepared(output_folder, data_folder)
    parts = _checked_parts(parts)
    names = [name for split in parts.values() for name in split]
    for key, folder, known in (
        ("noise_folder", noise_folder, "musan"),
        ("rir_folder", rir_folder, "rirs_noises"),
    ):
        if folder == known:
            names.append(known)
        elif folder is not None and not Path(folder).is_dir():
            raise UserError(
                f"{key}: there is no folder {folder}; give a folder, {known} "
                "to download that, or null to generate them"
            )
    places = find_or_fetch(
        names, data_folder, mirrors if download else (), check_archives
    )
    generated = None
    if noise_folder is None or rir_folder is None:
        generated = make_embedded_corpus(
            Path(cache_folder) / "embedded_corpus",
            sample_rate=sample_rate,
            sizes=_GENERATED,
        )
    roles = {
        "speech": {
            split: {"wav": _merged([places[name] for name in of_split])}
            for split, of_split in parts.items()
        },
        "noise": _noises(noise_folder or generated / "noise", places),
        "rir": _rooms(rir_folder or generated / "rir", places),
    }
    notes = [
        f"{role}: generated, in {generated / role}"
        for role, folder in (("noise", noise_folder), ("rir", rir_folder))
        if folder is None
    ]
    return prepare_sets(
        roles,
        data_folder,
        output_folder,
        sample_rate,
        cache_folder,
        seed,
        notes=notes,
        **options,
    )


def _checked_parts(parts: Mapping) -> dict[str, list[str]]:
    """Return split -> parts; a single part may stand without brackets."""
    if not isinstance(parts, Mapping) or set(parts) != set(SPLITS):
        raise UserError(
            f"parts: {parts!r} must be {{train: [...], valid: [...], test: "
            "[...]}"
        )
    return {
        split: [parts[split]]
        if isinstance(parts[split], str)
        else list(parts[split] or ())
        for split in SPLITS
    }


def find_or_fetch(
    names: Sequence[str],
    data_folder: Path | str,
    mirrors: Sequence[str] = MIRRORS,
    check_archives: bool = True,
    **options,
) -> dict[str, Path]:
    """Return the folder of each part; unpack and download what is missing.

    Parts are keys of ``ARCHIVES``, or parts of LibriSpeech that lie there
    already; without mirrors nothing is downloaded. ``options`` are those of
    :func:`edgebrain.data.download.download`. UserError lists all that is
    missing, from where to get it and where to put it.
    """
    data_folder = Path(data_folder)
    mirrors = [mirrors] if isinstance(mirrors, str) else mirrors
    found, missing = {}, []
    for name in dict.fromkeys(names):
        found[name] = _find(name, data_folder)
        if found[name] is None:
            if name not in ARCHIVES:
                raise unknown_name(f"part of {data_folder}", name, ARCHIVES)
            missing.append(name)
    lacking = [
        name
        for name in missing
        if not (data_folder / ARCHIVES[name].name).is_file()
    ]
    if lacking and not mirrors:
        raise _missing(lacking, data_folder, MIRRORS, "download is off")
    for name in missing:
        archive = ARCHIVES[name]
        path = data_folder / archive.name
        if name in lacking:
            urls = [
                f"{mirror.rstrip('/')}/{archive.path}" for mirror in mirrors
            ]
            print(f"downloading {urls[0]} to {path}")
            try:
                md5 = archive.md5 if check_archives else None
                fetch(urls, path, md5, archive.size, **options)
            except UserError as error:
                rest = lacking[lacking.index(name) :]
                raise _missing(rest, data_folder, mirrors, error) from error
        elif check_archives:
            verify(path, archive.md5)
        found[name] = unpack(path, archive.folder, data_folder / archive.folder)
    return found


def _find(name: str, data_folder: Path) -> Path | None:
    """Return the folder of a part, if there is audio in it."""
    places = [data_folder / "LibriSpeech" / name, data_folder / name]
    if name in ARCHIVES:
        places.insert(0, data_folder / ARCHIVES[name].folder)
    for place in places:
        if place.is_dir() and find_audio(place).files:
            return place
    return None


def _missing(names, data_folder, mirrors, reason) -> UserError:
    """Return the error that says which files to put where."""
    lines = []
    for name in names:
        archive = ARCHIVES[name]
        size = f"{archive.size / 1e6:,.0f} MB, " if archive.size else ""
        lines.append(
            f"{data_folder / archive.folder}/, or {data_folder / archive.name} "
            f"({size}MD5 {archive.md5}) "
            f"from {mirrors[0].rstrip('/')}/{archive.path}"
        )
    listed = UserError.collect(
        f"{data_folder}: data is missing; put there, and run again", lines
    )
    return UserError(f"{listed}\nIt was not fetched: {reason}")


def _merged(folders: Sequence[Path]) -> Found:
    """Return the files of several parts as one set."""
    result = Found()
    for folder in folders:
        result.add(find_audio(folder))
    return result


def _noises(folder, places) -> Splits:
    """Return the noises of each split."""
    if folder != "musan":
        return find_splits({"wav": Path(folder)})[0]
    # Without its two folders, so that each file is a noise of its own.
    found = find_audio(places["musan"])
    return {None: {"wav": Found({p.name: p for p in found.files.values()})}}


def _rooms(folder, places) -> Splits:
    """Return the room responses of each split."""
    if folder != "rirs_noises":
        return find_splits({"wav": Path(folder)})[0]
    # The folder also holds noises. Its list names the responses, and the
    # room of each, so that no room comes in two splits.
    root = places["rirs_noises"]
    rooms = _read_rir_list(root / "rir_list")
    files = {}
    for path in find_audio(root).files.values():
        room = rooms.get(path.name)
        if room is None and not rooms and "_noise_" not in path.name:
            room = path.stem
        if room is not None:
            files[f"{room}/{path.name}"] = path
    return {None: {"wav": Found(files)}}


def _read_rir_list(path: Path) -> dict[str, str]:
    """Return file name -> room of lines "--rir-id I --room-id R ... FILE"."""
    rooms = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split()
            if "--room-id" in words[:-2]:
                room = words[words.index("--room-id") + 1]
                rooms[words[-1].rpartition("/")[2]] = room
    return rooms
