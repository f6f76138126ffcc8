"""Room responses of the embedded corpus: image sources by pyroomacoustics."""

from dataclasses import dataclass

import numpy as np

BANDS = (125, 250, 500, 1000, 2000, 4000, 8000)

# Samples before the direct path: the fractional delay kernel is symmetric.
LEAD = 40

# The largest value a 24 bit file holds without clipping.
DIRECT_PEAK = 1 - 2.0**-23

# Ranges of the reverberation time asked for, in seconds, dealt out in turn:
# no split's range meets another's.
RANGES: dict[str, tuple[tuple[float, float], ...]] = {
    "train": ((0.15, 0.22), (0.36, 0.50), (0.54, 0.57), (0.26, 0.30)),
    "valid": ((0.22, 0.26), (0.50, 0.54)),
    "test": ((0.30, 0.36), (0.57, 0.62)),
}


@dataclass(frozen=True)
class RoomResponse:
    """One response and what made it.

    Arguments
    ---------
    wav : np.ndarray
        float64 samples; the direct path is the largest, at ``LEAD``.
    size : tuple of float
        Room in metres.
    distance : float
        Talker to microphone in metres.
    rt60 : float
        Measured on the response, in seconds (T30).
    """

    wav: np.ndarray
    size: tuple[float, float, float]
    distance: float
    rt60: float

    def __str__(self) -> str:
        size = "x".join(f"{d:.2f}" for d in self.size)
        return (
            f"room_m={size} distance_m={self.distance:.2f} "
            f"rt60_s={self.rt60:.3f}"
        )


def measure_rt60(wav: np.ndarray, sample_rate: int) -> float:
    """Return the reverberation time: twice the T30 of Schroeder's integral.

    The line is fitted to the decay from -5 to -35 dB (ISO 3382-2).

    Arguments
    ---------
    wav : np.ndarray
        Room response (n,).
    sample_rate : int
        Hz.

    Returns
    -------
    float
        Seconds for a decay of 60 dB.
    """
    energy = np.cumsum(wav[::-1] ** 2)[::-1]
    decay = 10 * np.log10(energy / energy[0] + 1e-12)
    part = np.flatnonzero((decay <= -5) & (decay >= -35))
    rate = np.polyfit(part / sample_rate, decay[part], 1)[0]
    return float(-60 / rate)


def _positions(
    size: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a talker and a microphone 0.5 to 3 m apart, off the walls."""
    margin = np.array([0.4, 0.4, 0.0])
    while True:
        talker = rng.uniform(margin, size - margin)
        talker[2] = rng.uniform(1.1, 1.8)
        microphone = rng.uniform(margin, size - margin)
        microphone[2] = rng.uniform(0.7, 1.6)
        if 0.5 <= np.linalg.norm(talker - microphone) <= 3.0:
            return talker, microphone


def _tail_start(wav: np.ndarray) -> int:
    """Return where the energy still to come is 60 dB below the whole."""
    energy = np.cumsum(wav[::-1] ** 2)[::-1]
    return int(np.searchsorted(-energy, -energy[0] * 1e-6))


def make_room(
    split: str, index: int, count: int, sample_rate: int, seed: list[int]
) -> list[RoomResponse]:
    """Compute responses at several places of one random room.

    Shoebox with absorption that differs by octave, image sources with
    randomised positions (De Sena et al., 2015, against sweeping echoes),
    air absorption. Places where a reflection is louder than the direct path
    are drawn again, so that the largest sample is the direct path.

    Arguments
    ---------
    split : str
        ``train``, ``valid`` or ``test``: the ranges of reverberation time.
    index : int
        Number of the room in its split: picks the range.
    count : int
        Number of places.
    sample_rate : int
        Hz.
    seed : list of int
        Seed of this room.

    Returns
    -------
    list of RoomResponse
        Each begins ``LEAD`` samples before the direct path, whose peak is
        scaled to ``DIRECT_PEAK``, and ends where 60 dB have decayed.
    """
    import pyroomacoustics as pra

    # Sums of several threads come in any order: one thread, same bits.
    pra.constants.set("num_threads", 1)
    rng = np.random.default_rng(seed)
    rt60 = rng.uniform(*RANGES[split][index % len(RANGES[split])])
    # Short reverberation in a large hall would ask for walls that absorb all.
    width = rng.uniform(2.5, 4.0) * (0.8 + rt60)
    size = np.array(
        [width * rng.uniform(1.1, 1.6), width, rng.uniform(2.4, 3.2)]
    )
    absorption, order = pra.inverse_sabine(rt60, size)
    by_band = absorption * rng.uniform(0.95, 1.08) ** np.arange(-3, 4)
    material = {
        "coeffs": list(np.clip(by_band, 0.02, 0.97)),
        "center_freqs": list(BANDS),
    }
    responses: list[RoomResponse] = []
    while len(responses) < count:
        talker, microphone = _positions(size, rng)
        pra.random.seed(int(rng.integers(2**31)))
        room = pra.ShoeBox(
            size,
            fs=sample_rate,
            materials=pra.Material(energy_absorption=material),
            # Beyond 60 reflections the tail is below -60 dB in these rooms.
            max_order=min(order, 60),
            air_absorption=True,
            use_rand_ism=True,
            max_rand_disp=0.05,
        )
        room.add_source(talker)
        room.add_microphone(microphone)
        room.compute_rir()
        wav = np.asarray(room.rir[0][0], dtype=np.float64)
        distance = float(np.linalg.norm(talker - microphone))
        delay = pra.constants.get("frac_delay_length") // 2
        arrival = distance / pra.constants.get("c") * sample_rate + delay
        peak = int(np.argmax(np.abs(wav)))
        if abs(peak - arrival) > 2 or peak < LEAD or wav[peak] <= 0:
            continue
        wav = wav[peak - LEAD :]
        # The octave filters ring before the direct path: fade them in.
        wav[:LEAD] *= np.linspace(0, 1, LEAD)
        wav = wav[: _tail_start(wav)] / wav[LEAD] * DIRECT_PEAK
        responses.append(
            RoomResponse(
                wav=wav,
                size=tuple(size),
                distance=distance,
                rt60=measure_rt60(wav, sample_rate),
            )
        )
    return responses
