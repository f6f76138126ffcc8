"""Inputs and expected outputs of real audio, as `validate` takes them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgebrain import tasks
from edgebrain.errors import UserError
import numpy as np

#: Seconds of a recording that are run.
SECONDS = 4.0
#: Name of what is run where no recording is given.
SYNTHETIC = "a synthetic voice"


@dataclass(frozen=True)
class Clip:
    """Audio (samples,) that is run, at the model's rate."""

    name: str
    samples: np.ndarray


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Return audio files, those of folders among them."""
    from edgebrain.data import audio
    from edgebrain.data.layout import find_audio

    files = []
    for path in map(Path, paths):
        found = [path]
        if path.is_dir():
            found = list(find_audio(path).files.values())
        if not found:
            raise UserError(f"{path}: holds no audio file")
        audio.inspect(found[0])
        files += found
    return files


def read_clips(
    paths: Iterable[Path], sample_rate: int, most: int = 20
) -> list[Clip]:
    """Return recordings at a sample rate, at most SECONDS long.

    None given: a synthetic voice. Of more files than ``most`` so many are
    read, evenly spread.
    """
    from edgebrain.data import audio
    from edgebrain.signal.probe import speech_like

    files = find_files(paths)
    if len(files) > most:
        files = [files[n * len(files) // most] for n in range(most)]
    clips = []
    for path in files:
        frames = round(SECONDS * audio.inspect(path).sample_rate)
        wav = audio.read_at(path, sample_rate, frames=frames)
        clips.append(Clip(path.name, wav))
    return clips or [Clip(SYNTHETIC, speech_like(SECONDS, sample_rate))]


def make_vectors(
    runner, clips: list[Clip], count: int
) -> tuple[dict, list[str]]:
    """Return what goes in and comes out of some calls, and names of clips.

    Each row is one call as it happens in the middle of a clip: the states of
    a stream are those that the frames before led to, so that rows can be
    compared one by one. ``count`` calls are evenly spread over the clips;
    vectors are ``in_<input>`` and ``out_<output>``, the calls in front.
    """
    task = tasks.find(runner.setup.task)
    outputs = [v.name for v in runner.session.get_outputs()]
    each = -(-count // len(clips))
    rows: list[tuple[dict, list]] = []
    names = []
    for clip in clips:
        features = task.features(clip.samples, runner.setup)
        feeds = list(runner.iter_feeds(features))
        if not feeds:
            continue
        # The middle of equal parts: neither start nor end of the clip.
        at = (np.arange(each) + 0.5) * len(feeds) / each
        for index in sorted({int(i) for i in at}):
            rows.append((feeds[index], runner.session.run(None, feeds[index])))
            names.append(clip.name)
    if not rows:
        raise UserError(
            "the recordings are too short for one call: longer ones"
        )
    rows = rows[:count]
    vectors = {}
    for value in runner.session.get_inputs():
        parts = [feeds[value.name] for feeds, _ in rows]
        vectors[f"in_{value.name}"] = np.concatenate(parts)
    for index, name in enumerate(outputs):
        parts = [results[index] for _, results in rows]
        vectors[f"out_{name}"] = np.concatenate(parts)
    return vectors, list(dict.fromkeys(names[:count]))
