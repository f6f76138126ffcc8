"""Noises of the embedded corpus, generated in the families people meet.

Every continuous parameter is drawn from a range cut in bands that belong to
one split each (:class:`Parameters`), so that a validation or test noise is
never a training noise with other samples. There is no babble here: it is
mixed from speech.
"""

from collections.abc import Callable

import numpy as np
from scipy.signal import fftconvolve

# Bands of the unit interval that no other split draws from, and the part
# beside them that training leaves free.
BANDS = {"valid": (0.25, 0.35), "test": (0.65, 0.75)}
MARGIN = 0.01
# Peaks are rounded off towards this many times the RMS (24 dB): a keyboard
# at a low SNR would else drive every mixture into clipping.
CREST = 16.0


class Parameters:
    """Draws the parameters of one noise in the split's bands, and says them."""

    def __init__(self, rng: np.random.Generator, split: str):
        self.rng, self.split = rng, split
        self.values: dict[str, float] = {}

    def _unit(self) -> float:
        """Draw from the part of [0, 1] that belongs to the split."""
        if self.split in BANDS:
            return self.rng.uniform(*BANDS[self.split])
        while True:
            unit = self.rng.uniform()
            bands = BANDS.values()
            if not any(a - MARGIN < unit < b + MARGIN for a, b in bands):
                return unit

    def __call__(self, name: str, low: float, high: float) -> float:
        """Draw from [low, high]; geometrically where high > 4 low > 0."""
        unit = self._unit()
        if low > 0 and high > 4 * low:
            value = low * (high / low) ** unit
        else:
            value = low + (high - low) * unit
        self.values[name] = value
        return value

    def __str__(self) -> str:
        return " ".join(f"{k}={v:.4g}" for k, v in self.values.items())


def shaped(rng, n: int, rate: int, gain: Callable) -> np.ndarray:
    """Return Gaussian noise (n,) of unit RMS with magnitude gain(f in Hz)."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum *= gain(np.fft.rfftfreq(n, 1 / rate))
    spectrum[0] = 0
    return unit(np.fft.irfft(spectrum, n))


def slope(db_per_octave: float, corner: float = 60.0) -> Callable:
    """Return a gain of so many dB an octave, flat below a corner in Hz."""
    power = db_per_octave / (20 * np.log10(2))
    return lambda f: (np.maximum(f, corner) / 1000) ** power


def bump(f: np.ndarray, centre: float, octaves: float, gain_db: float):
    """Return the gain of a smooth resonance on a log frequency axis."""
    distance = np.log2(np.maximum(f, 1.0) / centre) / octaves
    return 10 ** (gain_db * np.exp(-0.5 * distance**2) / 20)


def wander(rng, n: int, rate: int, cutoff: float) -> np.ndarray:
    """Return a slow random curve (n,) of unit RMS below cutoff in Hz."""
    return shaped(rng, n, rate, lambda f: np.exp(-((f / cutoff) ** 2)))


def harmonics(rng, phase: np.ndarray, amplitudes: np.ndarray) -> np.ndarray:
    """Sum sines at multiples of a phase in radians; unit RMS."""
    wav = np.zeros_like(phase)
    for k, amplitude in enumerate(amplitudes, start=1):
        wav += amplitude * np.sin(k * phase + rng.uniform(0, 2 * np.pi))
    return unit(wav)


def phase_of(frequency: np.ndarray, rate: int) -> np.ndarray:
    """Return the running phase in radians of a frequency curve in Hz."""
    return 2 * np.pi * np.cumsum(frequency) / rate


def ring(n: int, rate: int, frequency: float, decay: float) -> np.ndarray:
    """Return a decaying sine (n,): Hz, time constant in seconds."""
    t = np.arange(n) / rate
    return np.exp(-t / decay) * np.sin(2 * np.pi * frequency * t)


def unit(wav: np.ndarray) -> np.ndarray:
    """Return a signal at unit RMS."""
    return wav / np.sqrt(np.mean(wav**2))


def coloured(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Stationary noise: a spectral slope and one broad resonance."""
    tilt = slope(p("slope_db_oct", -9, 3))
    centre, gain = p("bump_hz", 150, 5000), p("bump_db", 2, 10)
    return shaped(p.rng, n, rate, lambda f: tilt(f) * bump(f, centre, 1, gain))


def hum(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Mains hum: lines at multiples of 50 or 60 Hz over a weak hiss."""
    mains = p("mains_hz", 48, 62)
    decay, even = p("decay", 0.25, 1.2), p("even", 0.3, 3)
    hiss_db = p("hiss_db", -35, -15)
    k = np.arange(1, 41)
    k = k[k * mains < 0.45 * rate]
    amplitudes = k**-decay * np.where(k % 2, 1.0, even)
    # Mains frequency is held to a few parts in ten thousand.
    frequency = mains * (1 + 1e-4 * wander(p.rng, n, rate, 0.3))
    wav = harmonics(p.rng, phase_of(frequency, rate), amplitudes)
    return wav + 10 ** (hiss_db / 20) * shaped(p.rng, n, rate, slope(-3))


def fan(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Fan: turbulence that pulses with the blades, and their tone."""
    blades = p("blade_hz", 35, 220)
    depth, tone_db = p("depth", 0.1, 0.5), p("tone_db", -18, -4)
    tilt = slope(p("slope_db_oct", -7, -2))
    centre = p("duct_hz", 200, 1500)
    air = shaped(p.rng, n, rate, lambda f: tilt(f) * bump(f, centre, 0.7, 6))
    phase = phase_of(blades * (1 + 0.003 * wander(p.rng, n, rate, 0.5)), rate)
    tone = harmonics(p.rng, phase, 0.5 ** np.arange(5.0))
    return air * (1 + depth * np.sin(phase)) + 10 ** (tone_db / 20) * tone


def rain(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Rain: drops that ring for milliseconds over a hiss."""
    drops_a_second = p("drops_s", 120, 1200)
    low, hiss_db = p("drop_hz", 900, 2500), p("hiss_db", -12, 0)
    tilt = slope(p("slope_db_oct", -4, 2))
    wav = np.zeros(n)
    tones = 12
    for _ in range(tones):
        hits = p.rng.poisson(drops_a_second / tones / rate, n)
        strengths = hits * p.rng.lognormal(0, 0.5, n)
        frequency = min(low * 2 ** p.rng.uniform(0, 1.8), 0.45 * rate)
        drop = ring(rate // 50, rate, frequency, p.rng.uniform(5e-4, 3e-3))
        wav += fftconvolve(strengths, drop)[:n]
    gusts = 1 + 0.25 * np.tanh(wander(p.rng, n, rate, 0.4))
    hiss = shaped(p.rng, n, rate, tilt)
    return gusts * (unit(wav) + 10 ** (hiss_db / 20) * hiss)


def keyboard(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Typing: keys that ring and click, in runs with pauses, in a room."""
    keys_a_second = p("keys_s", 4, 10)
    hz, decay = p("key_hz", 700, 3200), p("decay_s", 0.004, 0.015)
    room_db = p("room_db", -35, -20)
    m = int(rate * 8 * decay)
    wav, at = np.zeros(n + m), 0.05
    while at < n / rate:
        pitch = hz * p.rng.uniform(0.92, 1.08)
        fade = np.exp(-2 * np.arange(m) / rate / decay)
        knock = ring(m, rate, pitch, decay) + 0.5 * ring(
            m, rate, min(2.5 * pitch, 0.45 * rate), decay / 2
        )
        knock += 0.4 * fade * p.rng.standard_normal(m)
        start = int(at * rate)
        wav[start : start + m] += p.rng.lognormal(0, 0.25) * knock
        pause = p.rng.uniform(0.3, 0.9) if p.rng.uniform() < 0.07 else 0.0
        at += p.rng.lognormal(0, 0.4) / keys_a_second + pause
    room = shaped(p.rng, n, rate, slope(-4))
    return unit(wav[:n]) + 10 ** (room_db / 20) * room


def siren(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Siren: from a slow wail to a fast yelp, with a street behind."""
    pace = p("pace_hz", 0.2, 4)
    low, octaves = p("low_hz", 420, 800), p("octaves", 0.6, 1.2)
    street_db, decay = p("street_db", -26, -12), p("decay", 1.0, 2.2)
    curve = 0.5 - 0.5 * np.cos(2 * np.pi * pace * np.arange(n) / rate)
    phase = phase_of(low * 2 ** (octaves * curve), rate)
    k = np.arange(1, 1 + int(min(8, 0.45 * rate / (low * 2**octaves))))
    near = 1 + 0.3 * np.tanh(wander(p.rng, n, rate, 0.15))
    street = shaped(p.rng, n, rate, slope(-6))
    horn = harmonics(p.rng, phase, k**-decay)
    return near * horn + 10 ** (street_db / 20) * street


def modulated(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Band noise whose level moves at the pace of syllables."""
    pace, depth_db = p("pace_hz", 1, 8), p("depth_db", 8, 24)
    centre, width = p("band_hz", 300, 2800), p("octaves", 0.6, 2)
    tilt = slope(-3)
    noise = shaped(
        p.rng, n, rate, lambda f: tilt(f) * bump(f, centre, width, 20)
    )
    level = np.tanh(1.5 * wander(p.rng, n, rate, pace))
    return noise * 10 ** (depth_db * level / 40)


_ALL = (coloured, keyboard, siren, hum, fan, rain, modulated)
GENERATORS = {function.__name__: function for function in _ALL}


def make_noise(family: str, split: str, seconds: float, rate: int, rng):
    """Return a noise of a family (n,), at unit RMS, and how it was made."""
    parameters = Parameters(rng, split)
    wav = unit(GENERATORS[family](parameters, round(seconds * rate), rate))
    source = f"generated: {family} {parameters}"
    return unit(CREST * np.tanh(wav / CREST)), source
