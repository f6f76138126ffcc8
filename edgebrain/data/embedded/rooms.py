"""Room responses of the embedded corpus: image sources by pyroomacoustics."""

import numpy as np

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


def make_room(
    split: str, index: int, count: int, sample_rate: int, rng
) -> list[tuple[np.ndarray, str]]:
    """Compute responses at several places of one random room.

    Shoebox with absorption that differs by octave, image sources with
    randomised positions (De Sena et al., 2015, against sweeping echoes),
    air absorption. Places where a reflection is louder than the direct path
    are drawn again, so that the largest sample is the direct path.

    ``index`` is the number of the room in its split and picks the range of
    reverberation times, ``count`` the number of places. Of each place there
    are the samples, which begin ``LEAD`` before the direct path, whose peak
    is ``DIRECT_PEAK``, and end where 60 dB have decayed; and what made them.
    """
    import pyroomacoustics as pra

    # Sums of several threads come in any order: one thread, same bits.
    pra.constants.set("num_threads", 1)
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
        "center_freqs": [125, 250, 500, 1000, 2000, 4000, 8000],
    }
    responses = []
    while len(responses) < count:
        margin = np.array([0.4, 0.4, 0.7])  # off the walls, within reach
        talker, microphone = rng.uniform(margin, size - margin, (2, 3))
        distance = float(np.linalg.norm(talker - microphone))
        if not 0.5 <= distance <= 3.0:
            continue
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
        delay = pra.constants.get("frac_delay_length") // 2
        arrival = distance / pra.constants.get("c") * sample_rate + delay
        peak = int(np.argmax(np.abs(wav)))
        if abs(peak - arrival) > 2 or peak < LEAD or wav[peak] <= 0:
            continue
        wav = wav[peak - LEAD :]
        # The octave filters ring before the direct path: fade them in.
        wav[:LEAD] *= np.linspace(0, 1, LEAD)
        left = np.cumsum(wav[::-1] ** 2)[::-1]  # energy still to come
        end = int(np.searchsorted(-left, -left[0] * 1e-6))
        source = (
            f"pyroomacoustics: room_m={np.round(size, 2)} rt60_s={rt60:.3f} "
            f"distance_m={distance:.2f}"
        )
        responses.append((wav[:end] / wav[LEAD] * DIRECT_PEAK, source))
    return responses
