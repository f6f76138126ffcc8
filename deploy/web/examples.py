"""Clips that nobody recorded, for visitors without any."""

from pathlib import Path

from edgebrain.data import audio
from edgebrain.data.embedded import noises, rooms, speech
import numpy as np
from scipy.signal import fftconvolve

#: Voices in noise: file, what a visitor reads, voice of the test split, noise,
#: SNR in dB, whether in a room, and what is said.
VOICES = (
    (
        "fan",
        "Voice and fan",
        0,
        "fan",
        3.0,
        False,
        "The fan beside my desk never stops, and still I would like to be "
        "understood. Could you hear every word of this?",
    ),
    (
        "keys",
        "Voice and keyboard",
        1,
        "keyboard",
        6.0,
        False,
        "Somebody types while I speak. The meeting begins at a quarter past "
        "nine, in the small room on the second floor.",
    ),
    (
        "rain",
        "Voice, rain and a room",
        2,
        "rain",
        4.0,
        True,
        "It has been raining since the morning, and this room has bare walls. "
        "Please bring the blue folder when you come.",
    ),
)
_PAUSE_SECONDS = 0.8
_SCENE_SECONDS = 2.6  # of each sound of the scene
_SEED = 13


def write_examples(folder: Path, rates: dict[str, int]) -> list[dict[str, str]]:
    """Write the clips as 16-bit wavs.

    Arguments
    ---------
    rates : dict of str to int
        Sample rate in Hz of each task that examples are for.

    Returns
    -------
    list of dict
        ``name`` to read, ``file`` and ``task`` of each.

    Raises
    ------
    UserError
        When espeak-ng fails.
    """
    entries = []

    def add(task, stem, name, make, *how):
        """Write what ``make`` gives at the rate of a task, and list it."""
        wav = make(*how, [_SEED, len(entries)], rates[task])
        audio.write(folder / f"{stem}.wav", wav, rates[task])
        file = f"{folder.name}/{stem}.wav"
        entries.append({"name": name, "file": file, "task": task})

    if "enhancement" in rates:
        for stem, name, *how in VOICES:
            add("enhancement", stem, name, _mix, *how)
    if "events" in rates:
        add("events", "scene", "Rain, fire and a cry", _scene)
    return entries


def _scene(seed: list[int], sample_rate: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    length = round(_SCENE_SECONDS * sample_rate)
    rain, _ = noises.make_noise(
        "rain", "test", _SCENE_SECONDS, sample_rate, rng
    )
    # Cracks of 2 ms over a low murmur.
    cracks = rng.lognormal(0, 1, length) * rng.poisson(48 / sample_rate, length)
    decay = np.exp(-np.arange(sample_rate // 100) / (0.0016 * sample_rate))
    burst = decay * rng.standard_normal(len(decay))
    murmur = noises.shaped(rng, length, sample_rate, noises.slope(-6.0))
    fire = noises.unit(fftconvolve(cracks, burst)[:length]) + 0.1 * murmur
    # A voice that rises and falls with each breath.
    breath = np.sin(2 * np.pi * 0.9 * np.arange(length) / sample_rate)
    phase = noises.phase_of(420 + 120 * breath, sample_rate)
    cry = noises.harmonics(rng, phase, 1 / np.arange(1.0, 12.0))
    sounds = [rain, fire, cry * np.clip(5 * (breath + 0.3), 0, 1)]
    return speech.set_level(np.concatenate(sounds))


def _mix(
    voice: int,
    family: str,
    snr_db: float,
    in_room: bool,
    text: str,
    seed: list[int],
    sample_rate: int,
) -> np.ndarray:
    rng = np.random.default_rng(seed)
    speaker = speech.VOICES["test"][voice]
    [(clean, _)] = speech.speak(speaker, [text], sample_rate, rng)
    pause = np.zeros(round(_PAUSE_SECONDS * sample_rate))
    clean = np.concatenate([pause, clean, pause])
    if in_room:
        [(response, _)] = rooms.make_room("test", 0, 1, sample_rate, rng)
        clean = fftconvolve(clean, response)[: len(clean)]
    seconds = len(clean) / sample_rate
    noise, _ = noises.make_noise(family, "test", seconds, sample_rate, rng)
    # Both have the same level before they are mixed.
    clean, noise = speech.set_level(clean), speech.set_level(noise)
    mixed = clean + noise[: len(clean)] * 10 ** (-snr_db / 20)
    return speech.set_level(mixed)
