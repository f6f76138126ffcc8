"""Three noisy clips that nobody recorded, for visitors without any."""

from pathlib import Path

from edgebrain.data import audio
from edgebrain.data.embedded import noises, rooms, speech
import numpy as np
from scipy.signal import fftconvolve

#: File, what a visitor reads, voice of the test split, noise, SNR in dB,
#: whether in a room, and what is said.
EXAMPLES = (
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
_SEED = 13


def write_examples(folder: Path, sample_rate: int) -> list[dict[str, str]]:
    """Write the clips as 16-bit wavs.

    Arguments
    ---------
    sample_rate : int
        In Hz.

    Returns
    -------
    list of dict
        ``name`` to read and ``file`` of each.

    Raises
    ------
    UserError
        When espeak-ng fails.
    """
    entries = []
    for index, (stem, name, *how) in enumerate(EXAMPLES):
        wav = _mix(*how, seed=[_SEED, index], sample_rate=sample_rate)
        audio.write(folder / f"{stem}.wav", wav, sample_rate)
        entries.append({"name": name, "file": f"{folder.name}/{stem}.wav"})
    return entries


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
