"""What on-the-fly mixing may do, and how often: the settings of a corpus.

A *range* is how a yaml file writes a random number:

==========================  ============================================
``{low: -5, high: 20}``      uniform between the two
``[-5, 0, 5, 10]``           one of these, equally likely
``10``                       always this
==========================  ============================================
"""

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass, field
import math
from typing import Any

from edgebrain.errors import UserError, unknown_name
import numpy as np

TARGETS = ("dry", "early")
BAND_TARGETS = ("both", "mixture")


def draw(value: Any, rng: np.random.Generator, integer: bool = False):
    """Draw one number from a range (see the top of this module).

    Arguments
    ---------
    value : number, list, or dict with ``low`` and ``high``
        The range. A list may hold anything: one element is returned.
    integer : bool
        Draw a whole number; ``high`` is then included.

    >>> draw(3, np.random.default_rng(0))
    3
    >>> -5 <= draw({"low": -5, "high": 20}, np.random.default_rng(0)) <= 20
    True
    """
    if isinstance(value, Mapping):
        if integer:
            return int(rng.integers(value["low"], value["high"] + 1))
        return float(rng.uniform(value["low"], value["high"]))
    if isinstance(value, list | tuple):
        return value[int(rng.integers(len(value)))]
    return value


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def range_problems(
    name: str,
    value: Any,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    integer: bool = False,
) -> list[str]:
    """Return what is wrong with a range, a line a problem.

    Arguments
    ---------
    minimum, maximum : float
        Limits that every number of the range has to keep.
    integer : bool
        Whether the numbers have to be whole.

    Returns
    -------
    list of str
        Empty when the range is right.
    """
    if isinstance(value, Mapping):
        if set(value) != {"low", "high"}:
            return [
                f"{name}: {dict(value)!r} is no range, write "
                "{low: number, high: number}"
            ]
        numbers = [value["low"], value["high"]]
    elif isinstance(value, list | tuple):
        if not value:
            return [f"{name}: the list of choices is empty, give at least one"]
        numbers = list(value)
    else:
        numbers = [value]
    bad = [n for n in numbers if not _is_number(n)]
    if bad:
        return [
            f"{name}: {bad[0]!r} is no finite number; write a number, a list "
            "of numbers, or {low: number, high: number}"
        ]
    problems = []
    if integer and any(n != int(n) for n in numbers):
        problems.append(f"{name}: {value!r} must hold whole numbers")
    if any(not minimum <= n <= maximum for n in numbers):
        limits = f"between {minimum:g} and {maximum:g}"
        if math.isinf(maximum):
            limits = f"at least {minimum:g}"
        elif math.isinf(minimum):
            limits = f"at most {maximum:g}"
        problems.append(f"{name}: {value!r} must be {limits}")
    if isinstance(value, Mapping) and numbers[0] > numbers[1]:
        problems.append(
            f"{name}: low {numbers[0]!r} is above high {numbers[1]!r}, "
            "swap them"
        )
    return problems


def _uniform(low: float, high: float) -> Any:
    return field(default_factory=lambda: {"low": low, "high": high})


@dataclass(frozen=True)
class MixingSettings:
    """Every augmentation of a mixing corpus, with its probability.

    All levels are in dB, all times in seconds unless the name says
    milliseconds. "Range" is explained at the top of this module. The
    defaults suit the training of a speech enhancement network.

    Arguments
    ---------
    noise_prob : float
        How often noise is added.
    snr_db : range
        Signal-to-noise ratio of the noise: mean power of the
        (reverberant) speech while it is active over the mean power of the
        noise.
    second_noise_prob : float
        How often an item that has noise gets a second one.
    second_noise_offset_db : range
        How much higher the SNR of the second noise is than that of the
        first (0: equally loud).
    babble_prob : float
        How often other speakers of the corpus talk in the background.
    babble_speakers : range of whole numbers
        How many they are.
    babble_snr_db : range
        Signal-to-noise ratio of their sum.
    reverb_prob : float
        How often the speech is put into a room.
    reverb_target : str
        What the network has to recover: ``dry`` speech, or ``early``:
        speech with the reflections of the first ``early_ms``.
    early_ms : float
        Milliseconds after the direct path that belong to ``early``.
    level_prob : float
        How often the level of the mixture is drawn anew.
    level_db : range
        Peak of the mixture in dB below full scale (0 is full scale).
    silence_prob : float
        How often there is silence before and after the speech.
    silence_seconds : range
        How long it is; drawn for each side on its own.
    clip_prob : float
        How often the mixture (not the target) is clipped.
    clip_db : range
        How far below the peak of the mixture it is clipped.
    band_limit_prob : float
        How often the band is limited.
    band_limit_hz : list of [low, high]
        The bands to choose from, in Hz: [300, 3400] is a telephone,
        [0, 4000] a low-pass, [150, 8000] a high-pass for 16 kHz. A ``high``
        at or above half the sample rate passes all that is above ``low``.
    equalise_prob : float
        How often the speech, and likewise each noise, gets a random smooth
        frequency response: another voice, room or microphone.
    equalise_db : range
        How far that response goes up or down at each of its five points.
    high_pass : float
        Pole of (1 - z^-1) / (1 - high_pass z^-1), which both signals pass
        (Ambiq's NNSE: 0.965267, -3 dB at 90 Hz of 16 kHz); 0: none.
    target_noise : float
        Share of the noise that the target keeps where the noise is mild, 0
        to 1: it is this number / (1 + exp(-(SNR - 10 dB) / 3 dB)) of the
        mixture's own SNR, so next to nothing in hard noise. What is left
        of mild noise hides the artefacts of a mask, and weak speech stays.
    band_limit_target : str
        ``both`` limits mixture and target, so that the target stays
        reachable by a mask; ``mixture`` limits the mixture alone.

    >>> MixingSettings(snr_db=[-5, 0, 5], reverb_prob=0).reverb_prob
    0
    """

    noise_prob: float = 1.0
    snr_db: Any = _uniform(-5, 20)
    second_noise_prob: float = 0.15
    second_noise_offset_db: Any = _uniform(0, 15)
    babble_prob: float = 0.2
    babble_speakers: Any = _uniform(3, 6)
    babble_snr_db: Any = _uniform(0, 20)
    reverb_prob: float = 0.25
    reverb_target: str = "early"
    early_ms: float = 50.0
    level_prob: float = 1.0
    level_db: Any = _uniform(-34, -1)
    silence_prob: float = 0.15
    silence_seconds: Any = _uniform(0.1, 0.5)
    clip_prob: float = 0.03
    clip_db: Any = _uniform(1, 10)
    band_limit_prob: float = 0.05
    band_limit_hz: Any = field(
        default_factory=lambda: [[300, 3400], [0, 4000], [150, 8000]]
    )
    band_limit_target: str = "both"
    equalise_prob: float = 0.0
    equalise_db: Any = _uniform(-6, 6)
    target_noise: float = 0.0
    high_pass: float = 0.0

    def __new__(cls, *args, **kwargs):
        """Refuse unknown keys by name before the constructor does."""
        known = [f.name for f in dataclasses.fields(cls)]
        for key in kwargs:
            if key not in known:
                raise unknown_name("mixing setting", key, known)
        return super().__new__(cls)

    def __post_init__(self):
        problems = []
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if f.name.endswith("_prob") and not (
                _is_number(value) and 0 <= value <= 1
            ):
                problems.append(
                    f"{f.name}: {value!r} is no probability, give a number "
                    "from 0 to 1"
                )
        problems += range_problems("snr_db", self.snr_db)
        problems += range_problems(
            "second_noise_offset_db", self.second_noise_offset_db
        )
        problems += range_problems(
            "babble_speakers", self.babble_speakers, 1, integer=True
        )
        problems += range_problems("babble_snr_db", self.babble_snr_db)
        problems += range_problems("level_db", self.level_db, maximum=0)
        problems += range_problems("silence_seconds", self.silence_seconds, 0)
        problems += range_problems("clip_db", self.clip_db, 0)
        problems += range_problems("equalise_db", self.equalise_db)
        problems += range_problems("target_noise", [self.target_noise], 0, 1)
        problems += range_problems("high_pass", [self.high_pass], 0, 0.9999)
        if not (_is_number(self.early_ms) and self.early_ms > 0):
            problems.append(
                f"early_ms: {self.early_ms!r} must be a number above 0"
            )
        for name, known in (
            ("reverb_target", TARGETS),
            ("band_limit_target", BAND_TARGETS),
        ):
            if getattr(self, name) not in known:
                error = unknown_name(name, getattr(self, name), known)
                problems.append(f"{name}: {error}")
        problems += self._band_problems()
        if problems:
            raise UserError.collect("mixing settings", problems)

    def _band_problems(self) -> list[str]:
        bands = self.band_limit_hz
        if not isinstance(bands, list | tuple) or not bands:
            return [
                f"band_limit_hz: {bands!r} must be a list of [low, high] in Hz"
            ]
        problems = []
        for band in bands:
            if not (
                isinstance(band, list | tuple)
                and len(band) == 2
                and all(_is_number(edge) for edge in band)
                and 0 <= band[0] < band[1]
            ):
                problems.append(
                    f"band_limit_hz: {band!r} must be [low, high] in Hz with "
                    "0 <= low < high"
                )
        return problems

    def without(
        self, noise: bool = False, reverb: bool = False, babble: bool = False
    ) -> "MixingSettings":
        """Return a copy in which these augmentations never happen.

        Arguments
        ---------
        noise : bool
            No noise, neither a first nor a second one.
        """
        zero = {}
        if noise:
            zero.update(noise_prob=0.0, second_noise_prob=0.0)
        if reverb:
            zero.update(reverb_prob=0.0)
        if babble:
            zero.update(babble_prob=0.0)
        return dataclasses.replace(self, **zero)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for a log or a checkpoint."""
        return dataclasses.asdict(self)
