"""A speech-like signal, to compare forms of a network on."""

import numpy as np

_SEED = 20250325
# Formants of four vowels in Hz (Peterson and Barney, 1952).
_VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
)


def speech_like(seconds: float, sample_rate: int) -> np.ndarray:
    """Return voiced syllables, hisses, pauses and noise at changing level.

    A gliding pitch with 12 dB an octave less, formed by the formants of a
    vowel a syllable; a hiss after every third; noise that rises from -60 dB;
    the level falls by 30 dB halfway, and digital silence ends it. float32,
    (samples,), peak 0.5.
    """
    rng = np.random.default_rng(_SEED)
    count = round(seconds * sample_rate)
    time = np.arange(count) / sample_rate
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    syllable = (time / 0.22).astype(int)
    formants = np.array(_VOWELS)[syllable % len(_VOWELS)]
    voice = np.zeros(count)
    for harmonic in range(1, int(0.45 * sample_rate / 150)):
        frequency = harmonic * pitch
        gain = sum(
            1 / (1 + ((frequency - formants[:, k]) / 120) ** 2)
            for k in range(3)
        )
        voice += (gain + 0.01) / harmonic * np.sin(harmonic * phase)
    within = (time / 0.22) % 1
    voice *= np.sin(np.pi * within) ** 2 * (syllable % 5 != 4)
    voice += 0.2 * (syllable % 3 == 2) * (within > 0.7) * rng.normal(size=count)
    voice *= np.where(time < seconds / 2, 1.0, 10 ** (-30 / 20))
    noise = 10 ** (-3 + 2 * time / seconds) * rng.normal(size=count)
    wav = voice / np.abs(voice).max() + noise
    wav[-(count // 20) :] = 0.0
    return (0.5 * wav / np.abs(wav).max()).astype(np.float32)
