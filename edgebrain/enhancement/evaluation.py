"""Score any forms of any models on the same pairs of recordings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
import math
from pathlib import Path

from edgebrain.data import audio
from edgebrain.data.collect import Findings, differences, gather
from edgebrain.data.layout import find_audio
from edgebrain.enhancement.enhancer import Enhancer
from edgebrain.enhancement.scoring import Scorer
from edgebrain.errors import UserError
from edgebrain.report.scores import ClipScores
import numpy as np

NOISY = "noisy"


@dataclass(frozen=True)
class Pair:
    """A noisy recording and its clean one; id: relative path, no suffix."""

    id: str
    noisy: audio.AudioInfo
    clean: audio.AudioInfo

    def read(self, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
        """Return noisy and clean, mono float32 (n,) at a sample rate."""
        noisy, clean = (
            audio.read_at(info.path, sample_rate)
            for info in (self.noisy, self.clean)
        )
        if len(noisy) != len(clean):
            raise UserError(
                f"{self.noisy.path}: holds {len(noisy)} samples, "
                f"{self.clean.path} {len(clean)}; one of them is cut off"
            )
        return noisy, clean


def find_pairs(noisy_folder: Path | str, clean_folder: Path | str):
    """Return the pairs of two folders, matched by relative name, sorted.

    The suffixes may differ (a.flac and a.wav). UserError lists each file
    without a partner, that cannot be read, or of another rate or length.
    """
    files = {
        "noisy": find_audio(noisy_folder),
        "clean": find_audio(clean_folder),
    }
    pairs, found = [], Findings()
    for clip in gather("paired", files, found):
        try:
            infos = [audio.inspect(clip.files[side]) for side in files]
        except UserError as error:
            found.problems.append(str(error))
            continue
        found.problems += differences(*infos)
        pairs.append(Pair(clip.id, *infos))
    if found.problems:
        raise UserError.collect("the two folders do not match", found.problems)
    return pairs


@dataclass(frozen=True)
class ClipFacts:
    """What is known of a noisy clip besides its scores; dB of full scale."""

    seconds: float
    level_db: float
    snr_db: float


@dataclass
class Evaluation:
    """Scores of all models on all clips.

    ``rows`` are those of the level ``gain_db``, 0 unless it is not among the
    levels asked for; ``levels`` holds rows for each level, if more than one;
    ``clips`` is at the level of the files.
    """

    sample_rate: int
    gain_db: float
    rows: dict[str, list[ClipScores]]
    levels: dict[float, dict[str, list[ClipScores]]] = field(
        default_factory=dict
    )
    clips: dict[str, ClipFacts] = field(default_factory=dict)

    def all_rows(self) -> dict[str, list[ClipScores]]:
        """Return the rows, and after them those of the other levels."""
        rows = dict(self.rows)
        for gain, at_level in self.levels.items():
            if gain != self.gain_db:
                for name, scores in at_level.items():
                    if name != NOISY:
                        rows[f"{name} {gain:+g} dB"] = scores
        return rows


def evaluate(
    enhancers: Mapping[str, Enhancer],
    pairs: Sequence[Pair],
    metrics: Sequence[str],
    gains_db: Sequence[float] = (0.0,),
    n_jobs: int | None = None,
    save_folder: Path | str | None = None,
    progress: Callable[[int], None] | None = None,
    one_stream: bool = False,
) -> Evaluation:
    """Enhance and score all clips, whole.

    With ``one_stream`` they are enhanced as one recording, in this order,
    without a reset between them: as a device hears them.

    Files of another rate than the models' are resampled. ``gains_db`` are
    levels relative to the files: noisy and clean are scaled alike, as floating
    point, so that nothing clips. Enhanced clips at the level of
    ``Evaluation.gain_db`` go to ``save_folder`` as ``<id>.wav``, of several
    models ``<name>/<id>.wav``.
    """
    rate = common_rate(enhancers)
    gains = list(dict.fromkeys(float(gain) for gain in gains_db))
    main = 0.0 if 0.0 in gains else gains[0]
    keys = [(main, NOISY), *((g, n) for g in gains for n in enhancers)]
    scorer = Scorer(rate, metrics, n_jobs)
    clips: dict[str, ClipFacts] = {}
    joined = {
        (gain, name): _in_one_stream(enhancers[name], pairs, gain)
        for gain, name in keys[1:]
        if one_stream
    }
    for pair in pairs:
        noisy, clean = pair.read(rate)
        clips[pair.id] = _facts(noisy, clean, rate)
        for gain, name in keys:
            factor = np.float32(10 ** (gain / 20))
            estimate = noisy * factor
            if name != NOISY:
                if one_stream:
                    estimate = next(joined[gain, name])
                else:
                    estimate = enhancers[name].enhance(estimate)
                if save_folder is not None and gain == main:
                    several = len(enhancers) > 1
                    folder = Path(save_folder) / (name if several else "")
                    audio.write(folder / f"{pair.id}.wav", estimate, rate)
            scorer.add((gain, name), pair.id, clean * factor, estimate)
        if progress is not None:
            progress(1)
    scores = scorer.rows()
    levels = {}
    for gain in gains if len(gains) > 1 else ():
        noisy_row = _rescaled(scores[main, NOISY], gain - main)
        levels[gain] = {NOISY: noisy_row}
        levels[gain] |= {name: scores[gain, name] for name in enhancers}
    rows = {name: scores[main, name] for name in (NOISY, *enhancers)}
    return Evaluation(rate, main, rows, levels, clips)


def _in_one_stream(enhancer, pairs, gain_db):
    """Yield the enhanced clips, cut out of one recording of them all."""
    noisy = [pair.read(enhancer.sample_rate)[0] for pair in pairs]
    factor = np.float32(10 ** (gain_db / 20))
    enhanced = enhancer.enhance(np.concatenate(noisy) * factor)
    yield from np.split(enhanced, np.cumsum([len(n) for n in noisy])[:-1])


def common_rate(enhancers: Mapping[str, Enhancer]) -> int:
    """Return the sample rate of all models; raise UserError if they differ."""
    rates = {name: e.sample_rate for name, e in enhancers.items()}
    if len(set(rates.values())) > 1:
        each = ", ".join(f"{name} {rate} Hz" for name, rate in rates.items())
        raise UserError(
            f"models of different sample rates cannot be compared: {each}"
        )
    return next(iter(rates.values()))


def _rescaled(rows: list[ClipScores], gain_db: float) -> list[ClipScores]:
    """Return scores of noisy clips at another level.

    Of clean and noisy scaled alike the mean square error alone changes.
    """
    factors = {"mse": 10 ** (gain_db / 10)}
    return [
        replace(
            clip,
            values={k: v * factors.get(k, 1) for k, v in clip.values.items()},
        )
        for clip in rows
    ]


def _facts(noisy, clean, rate) -> ClipFacts:
    noise = noisy.astype(np.float64) - clean
    power = [
        float(np.mean(np.square(x, dtype=np.float64))) if len(x) else 0.0
        for x in (noisy, clean, noise)
    ]
    level, speech, rest = (10 * math.log10(p + 1e-12) for p in power)
    return ClipFacts(len(noisy) / rate, level, speech - rest)
