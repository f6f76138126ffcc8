"""The embedded corpus on disk: made once, whole or not there, found again."""

import csv
from dataclasses import asdict, dataclass
import hashlib
import json
from pathlib import Path
import shutil
import tempfile

from edgebrain.data import audio
from edgebrain.data.embedded import noises, rooms, sentences, speech
from edgebrain.errors import UserError
from edgebrain.progress import Progress
import joblib
import numpy as np

#: Raise it with every change that alters a file of the corpus.
VERSION = 3
SPLITS = ("train", "valid", "test")
MANIFEST = "manifest.csv"
COLUMNS = ("path", "kind", "split", "group", "seconds", "source")


@dataclass(frozen=True)
class CorpusSizes:
    """How much to make; triples are for train, valid and test.

    Utterances are dealt out to the voices of a split in turn, noises to its
    families; a room has ``rirs_per_room`` responses, at different places.
    """

    utterances: tuple[int, int, int] = (240, 28, 28)
    noises: tuple[int, int, int] = (27, 7, 7)
    rooms: tuple[int, int, int] = (12, 3, 3)
    rirs_per_room: int = 2
    noise_seconds: tuple[float, float] = (10.0, 15.0)


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
        train, valid, test) and ``manifest.csv``.

    Raises
    ------
    UserError
        A bad argument, a folder that cannot be written, a file of the corpus
        there that is missing, or no espeak-ng.
    """
    if seed < 0 or not 8000 <= sample_rate <= 48000 or n_jobs == 0:
        raise UserError(
            f"embedded corpus: seed {seed}: from 0; sample_rate {sample_rate}: "
            f"from 8000 to 48000 Hz; n_jobs {n_jobs}: not 0"
        )
    sizes = sizes or CorpusSizes()
    name = f"embedded-v{VERSION}-seed{seed}-{sample_rate}hz"
    if sizes != CorpusSizes():
        digest = hashlib.sha256(json.dumps(asdict(sizes)).encode())
        name += f"-{digest.hexdigest()[:8]}"
    target = Path(folder) / name
    if target.exists():
        return _checked(target)
    # Before any long work.
    speech.synthesise("en-us", [("hello", 165, 50, 50)])
    partial = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = tempfile.mkdtemp(prefix=".partial-", dir=target.parent)
        _build(Path(partial), seed, sample_rate, n_jobs or -1, sizes)
        Path(partial).chmod(0o755)
        Path(partial).rename(target)
    except OSError as error:
        if target.exists():  # another process was faster
            return _checked(target)
        raise UserError(
            f"{target}: cannot be written ({error}); choose another folder "
            "or free some space"
        ) from error
    finally:
        shutil.rmtree(partial or "", ignore_errors=True)
    return target


def _checked(target: Path) -> Path:
    """Return a corpus whose files are all there; refuse anything else."""
    try:
        missing = [
            row["path"]
            for row in read_manifest(target)
            if not (target / row["path"]).is_file()
        ]
    except (OSError, KeyError):
        missing = [MANIFEST]
    if missing:
        raise UserError(
            f"{target}: is no whole embedded corpus (without {missing[0]}); "
            "remove or rename it, and it is made again"
        )
    return target


def _build(root: Path, seed: int, rate: int, n_jobs: int, sizes) -> None:
    """Write the files and the manifest, a task for each voice, family, room."""
    texts = sentences.make_sentences(sum(sizes.utterances), seed)
    tasks, families = [], list(noises.GENERATORS)
    for number, split in enumerate(SPLITS):
        count = sizes.utterances[number]
        spoken, texts = texts[:count], texts[count:]
        places = [sizes.rirs_per_room] * sizes.rooms[number]
        dealt = {
            "rir": [range(count) for count in places],
            "speech": _deal(spoken, len(speech.VOICES[split])),
            "noise": _deal(range(sizes.noises[number]), len(families)),
        }
        tasks += [
            joblib.delayed(_make)(root, seed, rate, sizes, kind, split, *group)
            for kind, groups in dealt.items()
            for group in enumerate(groups)
        ]
    # Processes of one thread each: what a task computes must not depend on
    # how many there are.
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        pool = joblib.Parallel(n_jobs, batch_size=1, return_as="generator")
        made = Progress(pool(tasks), "making the embedded corpus", len(tasks))
        rows = sorted(row for some in made for row in some)
    with open(root / MANIFEST, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


def _deal(items, count: int) -> list:
    """Deal items out in turn to at most ``count`` groups."""
    return [items[i::count] for i in range(min(count, len(items)))]


def _make(root, seed, rate, sizes, kind, split, index, items):
    """Write the files of a voice, a family or a room; return their rows."""
    stream = 2 + ("speech", "noise", "rir").index(kind)  # sentences use 1
    rng = np.random.default_rng([seed, stream, SPLITS.index(split), index])
    folder, subtype, made = "", "PCM_16", []
    if kind == "speech":
        voice = speech.VOICES[split][index]
        folder = group = voice.name
        made = speech.speak(voice, items, rate, rng)
    elif kind == "noise":
        family = list(noises.GENERATORS)[index]
        group = f"{split}-{family}"
        for _ in items:
            seconds = rng.uniform(*sizes.noise_seconds)
            wav, source = noises.make_noise(family, split, seconds, rate, rng)
            made.append((speech.set_level(wav), source))
    else:
        group, subtype = f"{split}-room{index + 1:02d}", "PCM_24"
        made = rooms.make_room(split, index, len(items), rate, rng)
    rows = []
    for number, (wav, source) in enumerate(made, 1):
        path = Path(kind, split, folder, f"{group}_{number:02d}.flac")
        if audio.write(root / path, wav, rate, subtype):
            raise RuntimeError(f"{path}: samples clipped")
        seconds = round(len(wav) / rate, 3)
        rows.append((path.as_posix(), kind, split, group, seconds, source))
    return rows


def read_manifest(folder: Path | str) -> list[dict[str, str]]:
    """Return the rows of the manifest of a corpus, by ``COLUMNS``.

    Paths are relative, with slashes; a group is a voice, family or room.
    """
    with open(Path(folder) / MANIFEST, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
