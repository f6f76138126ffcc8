"""Make the files and the manifest of the embedded corpus."""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from edgebrain.data import audio
from edgebrain.data.embedded import noises, rooms, sentences, speech
from edgebrain.errors import UserError
import joblib
import numpy as np
from tqdm import tqdm

SPLITS = ("train", "valid", "test")
MANIFEST = "manifest.csv"
COLUMNS = ("path", "kind", "split", "group", "seconds", "source")
# Streams of randomness below the corpus seed; sentences use 1.
_SPEECH, _NOISE, _ROOM = 2, 3, 4


@dataclass(frozen=True)
class CorpusSizes:
    """How much to make; triples are for train, valid and test.

    Arguments
    ---------
    utterances : tuple of int
        Sentences spoken, shared evenly among the voices of the split.
    noises : tuple of int
        Noise files, dealt out to the families of the split in turn.
    rooms : tuple of int
        Rooms.
    rirs_per_room : int
        Responses at different places of each room.
    noise_seconds : tuple of float
        Shortest and longest noise.
    """

    utterances: tuple[int, int, int] = (240, 28, 28)
    noises: tuple[int, int, int] = (27, 7, 7)
    rooms: tuple[int, int, int] = (12, 3, 3)
    rirs_per_room: int = 2
    noise_seconds: tuple[float, float] = (10.0, 15.0)

    def __post_init__(self):
        counts = {
            f"{name}[{split}]": value
            for name in ("utterances", "noises", "rooms")
            for split, value in zip(SPLITS, getattr(self, name), strict=True)
        }
        counts["rirs_per_room"] = self.rirs_per_room
        problems = [
            f"{name} is {value!r}: must be a whole number of at least 1"
            for name, value in counts.items()
            if not isinstance(value, int) or value < 1
        ]
        low, high = self.noise_seconds
        if not 1.0 <= low <= high:
            problems.append(
                f"noise_seconds is {self.noise_seconds}: must be two rising "
                "numbers of at least 1"
            )
        if problems:
            raise UserError.collect("sizes of the embedded corpus", problems)

    def scaled(self, scale: float) -> "CorpusSizes":
        """Return sizes with all counts times a factor, at least 1 each."""

        def times(counts):
            return tuple(max(1, round(scale * count)) for count in counts)

        return replace(
            self,
            utterances=times(self.utterances),
            noises=times(self.noises),
            rooms=times(self.rooms),
        )

    @property
    def bytes_a_hertz(self) -> float:
        """Upper bound of the size of the corpus over its sample rate."""
        responses = self.rirs_per_room * sum(self.rooms)
        return (
            2 * 6 * sum(self.utterances)
            + 2 * self.noise_seconds[1] * sum(self.noises)
            + 3 * 1.5 * responses
        )


@dataclass(frozen=True)
class Job:
    """What all tasks of one corpus need to know.

    Arguments
    ---------
    root : Path
        Folder of the corpus.
    seed : int
        Of everything in it.
    sample_rate : int
        Hz.
    sizes : CorpusSizes
        How much to make.
    """

    root: Path
    seed: int
    sample_rate: int
    sizes: CorpusSizes

    def save(self, path, wav, source, subtype="PCM_16") -> dict:
        """Write one file and return its row of the manifest."""
        kind, split, *_ = path.split("/")
        # A voice has a folder; a family and a room are in the file's name.
        place = Path(path)
        group = (
            place.parent.name
            if kind == "speech"
            else place.stem.rpartition("_")[0]
        )
        clipped = audio.write(self.root / path, wav, self.sample_rate, subtype)
        if clipped:
            raise RuntimeError(f"{path}: {clipped} samples clipped")
        seconds = round(len(wav) / self.sample_rate, 3)
        values = (path, kind, split, group, seconds, source)
        return dict(zip(COLUMNS, values, strict=True))


def _make_voice(job: Job, split: str, index: int, texts: list[str]):
    """Speak the sentences of one voice."""
    voice = speech.VOICES[split][index]
    rng = np.random.default_rng([job.seed, _SPEECH, SPLITS.index(split), index])
    lines = [speech.vary(voice, text, rng) for text in texts]
    clips = speech.speak(voice, lines, job.sample_rate)
    rows = []
    for number, (line, wav) in enumerate(zip(lines, clips, strict=True), 1):
        path = f"speech/{split}/{voice.name}/{voice.name}-{number:03d}.flac"
        source = (
            f"espeak-ng {voice.espeak_name} sex={voice.sex} rate={line.rate} "
            f"pitch={line.pitch} range={line.range} tilt={voice.tilt}: "
            f"{line.text}"
        )
        rows.append(job.save(path, wav, source))
    return rows


def _make_noise(job: Job, split: str, index: int):
    """Generate one noise."""
    families = noises.FAMILIES[split]
    number, place = divmod(index, len(families))
    family = families[place]
    seed = [job.seed, _NOISE, SPLITS.index(split), index]
    seconds = np.random.default_rng([*seed, 1]).uniform(
        *job.sizes.noise_seconds
    )
    wav, source = noises.make_noise(
        family, split, number, seconds, job.sample_rate, seed
    )
    path = f"noise/{split}/{split}-{family}_{number + 1:02d}.flac"
    wav = speech.set_level(wav)
    return [job.save(path, wav, f"generated: {family} {source}")]


def _make_room(job: Job, split: str, index: int):
    """Compute the responses of one room."""
    responses = rooms.make_room(
        split,
        index,
        job.sizes.rirs_per_room,
        job.sample_rate,
        [job.seed, _ROOM, SPLITS.index(split), index],
    )
    return [
        job.save(
            f"rir/{split}/{split}-room{index + 1:02d}_{number:02d}.flac",
            response.wav,
            f"pyroomacoustics: {response}",
            "PCM_24",
        )
        for number, response in enumerate(responses, 1)
    ]


def _tasks(job: Job) -> list:
    """Return all jobs, the longest first, so that no core waits at the end."""
    tasks = [
        joblib.delayed(_make_room)(job, split, index)
        for split, count in zip(SPLITS, job.sizes.rooms, strict=True)
        for index in range(count)
    ]
    texts = sentences.make_sentences(sum(job.sizes.utterances), job.seed)
    start = 0
    for split, count in zip(SPLITS, job.sizes.utterances, strict=True):
        part = texts[start : start + count]
        start += count
        voices = min(len(speech.VOICES[split]), count)
        tasks += [
            joblib.delayed(_make_voice)(job, split, index, part[index::voices])
            for index in range(voices)
        ]
    tasks += [
        joblib.delayed(_make_noise)(job, split, index)
        for split, count in zip(SPLITS, job.sizes.noises, strict=True)
        for index in range(count)
    ]
    return tasks


def build(job: Job, n_jobs: int) -> None:
    """Write the whole corpus below ``job.root``.

    Arguments
    ---------
    job : Job
        What to make and where.
    n_jobs : int
        Number of processes; any number writes the same bytes.

    Raises
    ------
    UserError
        When espeak-ng fails.
    """
    tasks = _tasks(job)
    rows = []
    # Small tasks in processes of one thread each: what a task computes must
    # not depend on how many there are.
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        pool = joblib.Parallel(
            n_jobs=n_jobs, batch_size=1, return_as="generator_unordered"
        )
        for made in tqdm(
            pool(tasks),
            desc="making the embedded corpus",
            total=len(tasks),
            disable=None,
            leave=False,
        ):
            rows += made
    rows.sort(key=lambda row: row["path"])
    with open(job.root / MANIFEST, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_manifest(folder: Path | str) -> list[dict[str, str]]:
    """Return the rows of the manifest of an embedded corpus.

    Arguments
    ---------
    folder : Path or str
        What :func:`make_embedded_corpus` returned.

    Returns
    -------
    list of dict
        Keys ``path`` (relative, with slashes), ``kind`` (speech, noise,
        rir), ``split``, ``group`` (voice, family, room), ``seconds``,
        ``source``.
    """
    with open(Path(folder) / MANIFEST, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder: Path | str) -> str:
    """Return a table of what an embedded corpus holds."""
    rows = read_manifest(folder)
    lines = [f"{'kind':8}{'split':8}{'files':>6}{'groups':>8}{'minutes':>9}"]
    for kind in ("speech", "noise", "rir"):
        for split in SPLITS:
            part = [r for r in rows if (r["kind"], r["split"]) == (kind, split)]
            groups = len({row["group"] for row in part})
            minutes = sum(float(row["seconds"]) for row in part) / 60
            lines.append(
                f"{kind:8}{split:8}{len(part):6d}{groups:8d}{minutes:9.2f}"
            )
    return "\n".join(lines)
