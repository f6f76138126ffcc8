import subprocess
import sys
import time

from edgebrain.data.embedded import sentences, speech
from edgebrain.errors import UserError
import numpy as np
import pytest

TEXT = "The quiet farmer carried seven baskets to the old stone bridge."
RATE = 16000
HELLO = [("hello", 165, 50, 50)]


def say(voice, text=TEXT):
    rng = np.random.default_rng(0)
    return speech.speak(voice, [text], RATE, rng)[0][0]


def raw(voice, *lines):
    """Return what espeak-ng makes of lines, or of TEXT."""
    own = (TEXT, int(voice.rate), int(voice.pitch), int(voice.span))
    name = f"{voice.accent}+{voice.variant}"
    return speech.synthesise(name, list(lines) or [own])


def pitch_hz(wav):
    """Median over voiced frames of the peak of the autocorrelation."""
    found = []
    low, high = RATE // 400, RATE // 60
    for start in range(0, len(wav) - 1024, 512):
        frame = wav[start : start + 1024] * np.hanning(1024)
        if frame.std() < 0.03:
            continue
        power = np.abs(np.fft.rfft(frame, 4096)) ** 2
        correlation = np.fft.irfft(power)
        lag = low + np.argmax(correlation[low:high])
        if correlation[lag] > 0.4 * correlation[0]:
            found.append(RATE / lag)
    return np.median(found)


def all_voices():
    return [voice for split in speech.VOICES.values() for voice in split]


def test_voices_are_many_and_no_variant_is_in_two_splits():
    voices = all_voices()
    assert len({voice.name for voice in voices}) == len(voices) >= 12
    assert len({voice.accent for voice in voices}) >= 5
    split_of = {}
    for split, part in speech.VOICES.items():
        assert {voice.sex for voice in part} == {"f", "m"}
        for voice in part:
            assert split_of.setdefault(voice.variant, split) == split


@pytest.mark.parametrize("voice", all_voices(), ids=lambda v: v.name)
def test_voice_is_clean_speech_of_its_sex(voice):
    wav = say(voice)
    assert 2 < len(wav) / RATE < 6
    level = 20 * np.log10(np.sqrt(np.mean(wav**2)))
    assert level == pytest.approx(speech.LEVEL_DBFS, abs=0.01)
    assert np.abs(wav).max() <= speech.PEAK_LIMIT
    # An unknown variant speaks in the default male voice, near 100 Hz.
    assert (pitch_hz(wav) > 150) == (voice.sex == "f")


def test_raw_synthesis_does_not_clip():
    for voice in all_voices():
        clips, rate = raw(voice)
        assert rate == 22050
        assert 0.05 < np.abs(clips[0]).max() < 0.9


def test_speech_is_scored_as_perfect_against_itself():
    from pesq import pesq
    from pystoi import stoi

    wav = say(speech.VOICES["test"][0])
    assert stoi(wav, wav, RATE) == pytest.approx(1.0, abs=1e-6)
    assert pesq(RATE, wav, wav, "wb") > 4.6
    noisy = wav + 0.03 * np.random.default_rng(0).standard_normal(len(wav))
    assert 1.0 < pesq(RATE, wav, noisy, "wb") < 2.0


def test_synthesis_repeats_and_lines_differ():
    # A breathy voice: its noise comes from a generator that espeak-ng seeds
    # by the clock, in seconds.
    voice = next(v for v in all_voices() if v.variant == "f2")
    lines = [(TEXT, 160, 45, 50), (TEXT, 150, 55, 50)]
    first = raw(voice, *lines)[0]
    time.sleep(1.1)
    second = raw(voice, *lines)[0]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(first[0]) != len(first[1])


def test_unknown_voice_and_variant_are_refused():
    line = ("hello", 160, 50, 50)
    for name in ("en-us+nobody", "zz-nowhere", "en-us+annie "):
        with pytest.raises(UserError, match="has no voice"):
            speech.synthesise(name, [line])


def test_missing_package_names_the_mend(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match="pip install espeakng-loader"):
        speech.synthesise("en-us", HELLO)


def test_broken_library_names_the_mend(tmp_path, monkeypatch):
    broken = tmp_path / "libespeak-ng.so"
    broken.write_bytes(b"no library")
    monkeypatch.setattr("espeakng_loader.get_library_path", lambda: str(broken))
    with pytest.raises(UserError, match="force-reinstall espeakng-loader"):
        speech.synthesise("en-us", HELLO)


def test_data_deeper_than_the_library_can_name(tmp_path, monkeypatch):
    # espeak-ng keeps 160 characters of its data path.
    import espeakng_loader

    deep = tmp_path / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    data = deep / "espeak-ng-data"
    data.symlink_to(espeakng_loader.get_data_path())
    monkeypatch.setattr("espeakng_loader.get_data_path", lambda: str(data))
    assert speech.synthesise("en-us", HELLO)[1] == 22050


def test_trim_keeps_the_margins():
    rng = np.random.default_rng(0)
    wav = np.zeros(RATE * 3)
    wav[RATE : 2 * RATE] = rng.standard_normal(RATE)
    cut = speech.trim(wav, RATE)
    assert len(cut) == RATE + round(0.18 * RATE)
    np.testing.assert_array_equal(cut[960 : 960 + RATE], wav[RATE : 2 * RATE])


def test_level_gives_way_to_the_peak():
    wav = np.zeros(16000)
    wav[::4000] = 1.0
    assert np.abs(speech.set_level(wav)).max() == pytest.approx(
        speech.PEAK_LIMIT
    )


def test_worker_needs_the_standard_library_only():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import espeak_worker;"
        "print('numpy' in sys.modules)"
    )
    folder = speech.__file__.rpartition("/")[0]
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, folder],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "False"


def test_sentences_are_distinct_and_repeatable():
    made = sentences.make_sentences(300, seed=5)
    assert made == sentences.make_sentences(300, seed=5)
    assert made != sentences.make_sentences(300, seed=6)
    assert sentences.make_sentences(40, seed=5) == made[:40]
    assert len(set(made)) == 300


def test_sentences_read_well():
    for text in sentences.make_sentences(300, seed=9):
        assert not set("{}_") & set(text) and "  " not in text
        assert text[0].isupper() and text[-1] in ".?"
        assert 6 <= len(text.split()) <= 24
        words = text.lower().split()
        for word, following in zip(words, words[1:], strict=False):
            assert word != "a" or following[0] not in "aeiou", text
