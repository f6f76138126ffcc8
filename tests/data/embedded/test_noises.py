from edgebrain.data.embedded import noises
import numpy as np
import pytest

RATE = 16000


def make(family, split="train", seconds=6.0, seed=0, rate=RATE):
    rng = np.random.default_rng(seed)
    return noises.make_noise(family, split, seconds, rate, rng)


def parameters(text):
    return {
        key: float(value)
        for key, value in (pair.split("=") for pair in text.split()[2:])
    }


def spectrum(wav, size=RATE):
    """Return power at 1 Hz spacing, averaged over one-second frames."""
    frames = wav[: len(wav) // size * size].reshape(-1, size)
    return np.mean(np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2, 0)


def level_db(wav, milliseconds=20):
    hop = RATE * milliseconds // 1000
    frames = wav[: len(wav) // hop * hop].reshape(-1, hop)
    return 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)


@pytest.mark.parametrize("family", noises.GENERATORS)
@pytest.mark.parametrize("rate", [8000, 16000])
def test_noise_is_finite_repeatable_and_not_too_peaked(family, rate):
    wav, text = make(family, "train", 2.0, 3, rate)
    again, _ = make(family, "train", 2.0, 3, rate)
    np.testing.assert_array_equal(wav, again)
    assert wav.shape == (2 * rate,) and text
    assert np.sqrt(np.mean(wav**2)) == pytest.approx(1.0)
    assert np.abs(wav).max() < 1.6 * noises.CREST
    assert not np.array_equal(wav, make(family, seed=4)[0][: len(wav)])


def test_splits_draw_from_bands_that_do_not_touch():
    drawn = {}
    for split in ("train", "valid", "test"):
        p = noises.Parameters(np.random.default_rng(0), split)
        drawn[split] = np.array([p("x", 0.0, 1.0) for _ in range(2000)])
    for split in ("valid", "test"):
        low, high = drawn[split].min(), drawn[split].max()
        train = drawn["train"]
        assert not np.any((train > low - 0.005) & (train < high + 0.005))
    assert drawn["valid"].max() < drawn["test"].min()
    assert drawn["train"].min() < 0.02 and drawn["train"].max() > 0.98


@pytest.mark.parametrize("seed", range(4))
def test_hum_has_lines_at_multiples_of_the_mains(seed):
    wav, text = make("hum", seed=seed)
    mains = parameters(text)["mains_hz"]
    power = spectrum(wav)
    for k in (1, 3, 5):
        line = round(k * mains)
        between = np.median(power[line + 10 : round((k + 1) * mains) - 10])
        assert power[line - 1 : line + 2].max() > 100 * between


@pytest.mark.parametrize("seed", range(3))
def test_coloured_noise_has_the_slope_it_says(seed):
    wav, text = make("coloured", seconds=10, seed=seed)
    p = parameters(text)
    power = spectrum(wav)
    f = np.arange(100, 7500)
    bump = noises.bump(f, p["bump_hz"], 1, p["bump_db"])
    level = 10 * np.log10(power[f] / bump**2)
    slope = np.polyfit(np.log2(f), level, 1, w=f**-0.5)[0]
    assert slope == pytest.approx(p["slope_db_oct"], abs=0.5)


def test_fan_tone_and_pulse_at_the_blade_rate():
    wav, text = make("fan", seconds=10, seed=1)
    blade = parameters(text)["blade_hz"]
    power = spectrum(wav)
    near = power[int(blade) - 2 : int(blade) + 4].max()
    assert near > 4 * np.median(power[int(blade) - 20 : int(blade) + 21])


def test_rain_is_high_and_full_of_drops():
    wav, _ = make("rain")
    power = spectrum(wav)
    assert power[1000:].sum() > 0.5 * power.sum()
    kurtosis = np.mean(wav**4)
    assert kurtosis > 3.5  # Gaussian noise has 3


@pytest.mark.parametrize("seed", range(3))
def test_keyboard_strikes_come_at_the_rate_it_says(seed):
    wav, text = make("keyboard", seconds=10, seed=seed)
    p = parameters(text)
    level = level_db(wav, 5)
    loud = level > np.percentile(level, 97) - 12
    onsets = np.flatnonzero(loud[1:] & ~loud[:-1])
    assert 0.4 * p["keys_s"] < len(onsets) / 10 < 2.5 * p["keys_s"]
    assert np.percentile(level, 99) - np.percentile(level, 10) > 15


@pytest.mark.parametrize("seed", range(6))
def test_siren_moves_through_the_octaves_it_says(seed):
    wav, text = make("siren", seconds=8, seed=seed)
    p = parameters(text)
    frames = wav[: len(wav) // 512 * 512].reshape(-1, 512) * np.hanning(512)
    power = np.abs(np.fft.rfft(frames, 8192)) ** 2
    f = np.fft.rfftfreq(8192, 1 / RATE)
    top = p["low_hz"] * 2 ** p["octaves"]
    band = (f > 0.8 * p["low_hz"]) & (f < 1.2 * top)
    track = f[band][np.argmax(power[:, band], axis=1)]
    low, high = np.percentile(track, [3, 97])
    assert np.log2(high / low) == pytest.approx(p["octaves"], abs=0.15)
    # The tone stands far out of the street at every moment.
    assert np.median(power[:, band].max(1)) > 20 * np.median(power[:, band])


def test_modulated_noise_moves_and_stationary_noise_does_not():
    moving = np.std(level_db(make("modulated")[0], 50))
    steady = np.std(level_db(make("coloured", seed=5)[0], 50))
    assert moving > 2.5 and moving > 2 * steady
