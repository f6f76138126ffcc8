"""Noises of the embedded corpus, generated in the families people meet.

Every continuous parameter is drawn from a range cut in bands that belong to
one split each (:class:`Parameters`), so that a validation or test noise is
never a training noise with other samples. Some families come in one split
only. There is no babble here: it is mixed from speech.
"""

from collections.abc import Callable

import numpy as np
from scipy import signal as sps

# Bands of the unit interval no other split draws from.
VALID_BAND = (0.25, 0.35)
TEST_BAND = (0.65, 0.75)
MARGIN = 0.01  # kept free at each side of a band

# Peaks are rounded off towards this many times the RMS (24 dB): a keyboard
# at a low SNR would else drive every mixture into clipping.
CREST = 16.0

# Families of each split, in the order in which they are dealt out.
FAMILIES: dict[str, tuple[str, ...]] = {
    "train": (
        "coloured",
        "hum",
        "fan",
        "engine",
        "rain",
        "keyboard",
        "siren",
        "modulated",
        "clicks",
    ),
    "valid": (
        "coloured",
        "engine",
        "keyboard",
        "siren",
        "wind",
        "hum",
        "fan",
    ),
    "test": (
        "fan",
        "keyboard",
        "modulated",
        "rain",
        "vacuum",
        "hum",
        "siren",
    ),
}


class Parameters:
    """Draws the parameters of one noise and remembers them.

    Arguments
    ---------
    rng : np.random.Generator
        Where randomness comes from.
    split : str
        ``train``, ``valid`` or ``test``: chooses the bands of each range.
    number : int
        Number of the noise in its family and split: deals out the choices.
    """

    def __init__(self, rng: np.random.Generator, split: str, number: int = 0):
        self.rng = rng
        self.split = split
        self.number = number + ("train", "valid", "test").index(split)
        self.values: dict[str, float] = {}

    def _unit(self) -> float:
        """Draw from the part of [0, 1] that belongs to the split."""
        if self.split == "valid":
            return self.rng.uniform(*VALID_BAND)
        if self.split == "test":
            return self.rng.uniform(*TEST_BAND)
        gaps = [
            (low - MARGIN, high + MARGIN)
            for low, high in (VALID_BAND, TEST_BAND)
        ]
        while True:
            unit = self.rng.uniform()
            if not any(low < unit < high for low, high in gaps):
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

    def pick(self, name: str, choices: tuple[float, ...]) -> float:
        """Deal out a few values in turn, open to every split."""
        value = choices[self.number % len(choices)]
        self.values[name] = value
        return value

    def __str__(self) -> str:
        return " ".join(f"{k}={v:.4g}" for k, v in self.values.items())


def shaped(
    rng: np.random.Generator,
    n: int,
    rate: int,
    gain: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Return Gaussian noise (n,) of unit RMS with magnitude gain(f in Hz)."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum *= gain(np.fft.rfftfreq(n, 1 / rate))
    spectrum[0] = 0
    wav = np.fft.irfft(spectrum, n)
    return wav / np.sqrt(np.mean(wav**2))


def slope(db_per_octave: float, corner: float = 60.0) -> Callable:
    """Return a gain of so many dB an octave, flat below a corner in Hz."""
    power = db_per_octave / (20 * np.log10(2))
    return lambda f: (np.maximum(f, corner) / 1000) ** power


def bump(f: np.ndarray, centre: float, octaves: float, gain_db: float):
    """Return the gain of a smooth resonance on a log frequency axis."""
    distance = np.log2(np.maximum(f, 1.0) / centre) / octaves
    return 10 ** (gain_db * np.exp(-0.5 * distance**2) / 20)


def wander(
    rng: np.random.Generator, n: int, rate: int, cutoff: float
) -> np.ndarray:
    """Return a slow random curve (n,) of unit RMS below cutoff in Hz."""
    return shaped(rng, n, rate, lambda f: np.exp(-((f / cutoff) ** 2)))


def harmonics(phase: np.ndarray, amplitudes: np.ndarray, rng) -> np.ndarray:
    """Sum sines at multiples of a phase in radians, random start phases."""
    wav = np.zeros_like(phase)
    for k, amplitude in enumerate(amplitudes, start=1):
        wav += amplitude * np.sin(k * phase + rng.uniform(0, 2 * np.pi))
    return wav


def phase_of(frequency: np.ndarray, rate: int) -> np.ndarray:
    """Return the running phase in radians of a frequency curve in Hz."""
    return 2 * np.pi * np.cumsum(frequency) / rate


def ring(n: int, rate: int, frequency: float, decay: float) -> np.ndarray:
    """Return a decaying sine (n,): Hz, time constant in seconds."""
    t = np.arange(n) / rate
    return np.exp(-t / decay) * np.sin(2 * np.pi * frequency * t)


def unit(wav: np.ndarray) -> np.ndarray:
    """Scale to unit RMS."""
    return wav / np.sqrt(np.mean(wav**2))


def coloured(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Stationary noise: a spectral slope and one broad resonance."""
    tilt = slope(p("slope_db_oct", -9, 3))
    centre, gain = p("bump_hz", 150, 5000), p("bump_db", 2, 10)
    return shaped(p.rng, n, rate, lambda f: tilt(f) * bump(f, centre, 1, gain))


def hum(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Mains hum: lines at multiples of 50 or 60 Hz over a weak hiss."""
    mains = p.pick("mains_hz", (50, 60))
    decay, even = p("decay", 0.25, 1.2), p("even", 0.3, 3)
    hiss_db = p("hiss_db", -35, -15)
    k = np.arange(1, 41)
    k = k[k * mains < 0.45 * rate]
    amplitudes = k**-decay * np.where(k % 2, 1.0, even)
    # Mains frequency is held to a few parts in ten thousand.
    frequency = mains * (1 + 1e-4 * wander(p.rng, n, rate, 0.3))
    wav = unit(harmonics(phase_of(frequency, rate), amplitudes, p.rng))
    return wav + 10 ** (hiss_db / 20) * shaped(p.rng, n, rate, slope(-3))


def fan(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Fan: turbulence that pulses with the blades, and their tone."""
    blades = p("blade_hz", 35, 220)
    depth, tone_db = p("depth", 0.1, 0.5), p("tone_db", -18, -4)
    tilt = slope(p("slope_db_oct", -7, -2))
    centre = p("duct_hz", 200, 1500)
    air = shaped(p.rng, n, rate, lambda f: tilt(f) * bump(f, centre, 0.7, 6))
    phase = phase_of(blades * (1 + 0.003 * wander(p.rng, n, rate, 0.5)), rate)
    tone = unit(harmonics(phase, 0.5 ** np.arange(5.0), p.rng))
    return air * (1 + depth * np.sin(phase)) + 10 ** (tone_db / 20) * tone


def engine(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Combustion engine: harmonics of a firing rate that comes and goes."""
    firing, swing = p("firing_hz", 22, 110), p("swing", 0.02, 0.2)
    body, gain = p("body_hz", 120, 900), p("body_db", 4, 14)
    noise_db = p("noise_db", -16, -4)
    phase = phase_of(
        firing * (1 + swing * np.tanh(wander(p.rng, n, rate, 0.3))), rate
    )
    k = np.arange(1, int(min(3000, 0.4 * rate) / (firing * (1 + swing))))
    amplitudes = slope(-5)(k * firing) * bump(k * firing, body, 0.8, gain)
    # Cylinders differ: each harmonic gets an amplitude of its own.
    amplitudes *= p.rng.uniform(0.4, 1.0, len(k))
    wav = unit(harmonics(phase, amplitudes, p.rng))
    exhaust = shaped(p.rng, n, rate, slope(-5)) * (1 + 0.6 * np.sin(phase))
    return wav + 10 ** (noise_db / 20) * exhaust


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
        wav += sps.fftconvolve(strengths, drop)[:n]
    gusts = 1 + 0.25 * np.tanh(wander(p.rng, n, rate, 0.4))
    hiss = shaped(p.rng, n, rate, tilt)
    return gusts * (unit(wav) + 10 ** (hiss_db / 20) * hiss)


def _strike(p: Parameters, rate: int, hz: float, decay: float) -> np.ndarray:
    """Return the sound of one short knock: two rings and a noise burst."""
    m = int(rate * min(0.08, 8 * decay))
    noise = p.rng.standard_normal(m) * np.exp(
        -np.arange(m) / rate / (decay / 2)
    )
    top = min(hz * p.rng.uniform(2.1, 2.9), 0.45 * rate)
    wav = ring(m, rate, hz * p.rng.uniform(0.92, 1.08), decay)
    return wav + 0.5 * ring(m, rate, top, decay / 2) + 0.4 * noise


def _place(wav: np.ndarray, sound: np.ndarray, at: int) -> None:
    """Add a sound in place, cut at the end."""
    part = sound[: max(0, len(wav) - at)]
    wav[at : at + len(part)] += part


def keyboard(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Typing: key down and key up, in runs with pauses, in a quiet room."""
    keys_a_second = p("keys_s", 4, 10)
    hz, decay = p("key_hz", 700, 3200), p("decay_s", 0.004, 0.015)
    release_db, room_db = p("release_db", -14, -4), p("room_db", -35, -20)
    wav = np.zeros(n)
    at = 0.05
    while at < n / rate:
        strength = p.rng.lognormal(0, 0.25)
        down = strength * _strike(p, rate, hz, decay)
        _place(wav, down, int(at * rate))
        up = 10 ** (release_db / 20) * strength
        held = p.rng.uniform(0.06, 0.12)
        _place(
            wav, up * _strike(p, rate, 1.3 * hz, decay), int((at + held) * rate)
        )
        pause = p.rng.uniform(0.3, 0.9) if p.rng.uniform() < 0.07 else 0.0
        at += p.rng.lognormal(0, 0.4) / keys_a_second + pause
    room = shaped(p.rng, n, rate, slope(-4))
    return unit(wav) + 10 ** (room_db / 20) * room


def clicks(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Clicks and knocks at random moments, of random size."""
    a_second = p("clicks_s", 5, 40)
    hz, decay = p("click_hz", 300, 4000), p("decay_s", 0.002, 0.02)
    room_db = p("room_db", -30, -15)
    wav = np.zeros(n)
    for at in np.sort(p.rng.uniform(0, n, int(a_second * n / rate))):
        size = p.rng.lognormal(0, 0.4)
        pitch = hz * 2 ** p.rng.uniform(-0.5, 0.5)
        _place(wav, size * _strike(p, rate, pitch, decay), int(at))
    room = shaped(p.rng, n, rate, slope(-3))
    return unit(wav) + 10 ** (room_db / 20) * room


def siren(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Siren: wail, yelp or two tones, with a street behind."""
    kind = p.pick("kind", (0, 1, 2))
    low, octaves = p("low_hz", 420, 800), p("octaves", 0.6, 1.2)
    speed, street_db = p("speed", 0.7, 1.5), p("street_db", -26, -12)
    decay = p("decay", 1.0, 2.2)
    t = np.arange(n) / rate
    if kind == 0:  # wail: a slow rise and fall
        curve = 0.5 - 0.5 * np.cos(2 * np.pi * 0.25 * speed * t)
    elif kind == 1:  # yelp: fast sawtooth sweeps
        curve = sps.sawtooth(2 * np.pi * 3.0 * speed * t, width=0.8) / 2 + 0.5
    else:  # two tones, a fourth apart or so, switched
        curve = (np.sin(2 * np.pi * 0.8 * speed * t) > 0) * 1.0
        octaves *= 0.5
    # A horn cannot jump: smooth the frequency over 10 ms.
    size = rate // 100
    curve = np.convolve(np.pad(curve, size, "edge"), np.ones(size) / size)
    curve = curve[size + size // 2 :][:n]
    phase = phase_of(low * 2 ** (octaves * curve), rate)
    k = np.arange(1, 1 + int(min(8, 0.45 * rate / (low * 2**octaves))))
    horn = unit(harmonics(phase, k**-decay, p.rng))
    near = 1 + 0.3 * np.tanh(wander(p.rng, n, rate, 0.15))
    street = shaped(p.rng, n, rate, slope(-6))
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


def wind(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Wind on a microphone: low rumble in gusts, and a whistle."""
    gust_db, corner = p("gust_db", 8, 20), p("corner_hz", 80, 300)
    whistle = p("whistle_hz", 400, 1200)
    rumble = shaped(
        p.rng, n, rate, lambda f: f / 40 / (1 + (f / corner) ** 2.5)
    )
    gusts = 10 ** (gust_db * np.tanh(wander(p.rng, n, rate, 0.6)) / 40)
    high = shaped(p.rng, n, rate, lambda f: bump(f, whistle, 0.3, 40))
    return gusts * rumble + 0.08 * gusts**2 * high


def vacuum(p: Parameters, n: int, rate: int) -> np.ndarray:
    """Vacuum cleaner: whine of a fast motor in broad air noise."""
    whine, whine_db = p("motor_hz", 350, 750), p("whine_db", -14, -4)
    centre = p("air_hz", 600, 2500)
    load = 1 + 0.04 * np.tanh(wander(p.rng, n, rate, 0.4))
    motor = harmonics(phase_of(whine * load, rate), 0.7 ** np.arange(7), p.rng)
    air = shaped(p.rng, n, rate, lambda f: slope(-3)(f) * bump(f, centre, 1, 8))
    return load**4 * air + 10 ** (whine_db / 20) * unit(motor)


GENERATORS: dict[str, Callable[[Parameters, int, int], np.ndarray]] = {
    function.__name__: function
    for function in (
        coloured,
        hum,
        fan,
        engine,
        rain,
        keyboard,
        clicks,
        siren,
        modulated,
        wind,
        vacuum,
    )
}


def make_noise(
    family: str,
    split: str,
    number: int,
    seconds: float,
    sample_rate: int,
    seed: list[int],
) -> tuple[np.ndarray, str]:
    """Generate one noise.

    Arguments
    ---------
    family : str
        A key of ``GENERATORS``.
    split : str
        ``train``, ``valid`` or ``test``: the parameter bands.
    number : int
        Number of the noise in its family and split, from 0.
    seconds : float
        Length.
    sample_rate : int
        Hz.
    seed : list of int
        Seed of this noise.

    Returns
    -------
    np.ndarray
        float64 samples of unit RMS.
    str
        Its parameters, ``name=value`` separated by blanks.
    """
    parameters = Parameters(np.random.default_rng(seed), split, number)
    n = round(seconds * sample_rate)
    wav = unit(GENERATORS[family](parameters, n, sample_rate))
    return unit(CREST * np.tanh(wav / CREST)), str(parameters)
