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
from typing import Any

from edgebrain.checks import Name, Number, Unfit, check
import numpy as np


def draw(value: Any, rng: np.random.Generator, integer: bool = False):
    """Draw one number from a range (see the top of this module).

    A list may hold anything: one element is returned. ``integer`` draws a
    whole number; ``high`` is then included.

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


@dataclass(frozen=True)
class Range:
    """The rule of a range (see the top of this module).

    Arguments
    ---------
    number : Number
        The rule of each of its numbers.
    """

    number: Number = Number()

    def __call__(self, value: Any) -> Any:
        """Return the range with its numbers in their type."""
        if isinstance(value, Mapping):
            if set(value) != {"low", "high"}:
                raise Unfit(
                    f"{dict(value)!r} is no range, write {{low: number, "
                    "high: number}"
                )
            ends = {key: self.number(end) for key, end in value.items()}
            if ends["low"] > ends["high"]:
                raise Unfit(f"{ends}: low is above high, swap them")
            return ends
        if isinstance(value, list | tuple):
            if not value:
                raise Unfit("the list of choices is empty, give at least one")
            return [self.number(choice) for choice in value]
        return self.number(value)


def _bands(value: Any) -> Any:
    """Return a list of bands, the rule of ``band_limit_hz``."""
    bands = value if isinstance(value, list | tuple) else []
    for band in bands or [value]:
        if not (
            isinstance(band, list | tuple)
            and len(band) == 2
            and 0 <= Number()(band[0]) < Number()(band[1])
        ):
            raise Unfit(
                f"a list of [low, high] in Hz with 0 <= low < high, not "
                f"{band!r}"
            )
    return value


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
    0.0
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

    def __post_init__(self):
        checked = check("mixing settings", vars(self), _RULES)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def without(
        self, noise: bool = False, reverb: bool = False, babble: bool = False
    ) -> "MixingSettings":
        """Return a copy in which these augmentations never happen.

        Without noise there is neither a first nor a second one.
        """
        off = {
            "noise_prob": noise,
            "second_noise_prob": noise,
            "reverb_prob": reverb,
            "babble_prob": babble,
        }
        zero = {key: 0.0 for key, gone in off.items() if gone}
        return dataclasses.replace(self, **zero)


_FROM_ZERO = Range(Number(least=0))
_RULES = {
    **{
        field.name: Number(least=0, most=1)
        for field in dataclasses.fields(MixingSettings)
        if field.name.endswith("_prob")
    },
    "snr_db": Range(),
    "second_noise_offset_db": Range(),
    "babble_speakers": Range(Number(whole=True, least=1)),
    "babble_snr_db": Range(),
    "reverb_target": Name("reverb_target", ("dry", "early")),
    "early_ms": Number(above=0),
    "level_db": Range(Number(most=0)),
    "silence_seconds": _FROM_ZERO,
    "clip_db": _FROM_ZERO,
    "band_limit_hz": _bands,
    "band_limit_target": Name("band_limit_target", ("both", "mixture")),
    "equalise_db": Range(),
    "target_noise": Number(least=0, most=1),
    "high_pass": Number(least=0, most=0.9999),
}
