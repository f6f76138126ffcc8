import multiprocessing
import os

from edgebrain.data import audio
from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile

RATE = 16000


@pytest.fixture
def noise():
    return np.random.default_rng(0).standard_normal(RATE).astype("f") * 0.1


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_every_format_is_written_and_read(tmp_path, suffix):
    wav = 0.5 * np.sin(np.arange(RATE) * 0.1).astype("f")
    path = tmp_path / "deep" / f"a{suffix}"
    assert audio.write(path, wav, RATE) == 0
    info = audio.inspect(path)
    assert (info.sample_rate, info.channels) == (RATE, 1)
    assert info.frames == RATE and info.duration == 1.0
    got = audio.read(path, RATE)
    assert got.dtype == np.float32
    # MP3 may move the signal: compare levels, not samples.
    assert np.std(got) == pytest.approx(np.std(wav), rel=0.02)
    assert info.usable_in_place(RATE) == (suffix in (".wav", ".flac"))
    assert not info.usable_in_place(8000)


def test_sixteen_bits_come_back_exactly(tmp_path):
    steps = np.arange(-32768, 32768, dtype=np.int32)
    wav = (steps / 32768).astype("f")
    path = tmp_path / "a.wav"
    audio.write(path, wav, RATE)
    np.testing.assert_array_equal(audio.read(path), wav)
    raw, _ = soundfile.read(path, dtype="int16")
    np.testing.assert_array_equal(raw, steps)


def test_channels_are_averaged(tmp_path, noise):
    stereo = np.stack([noise, 0.5 * noise], axis=1)
    path = tmp_path / "a.wav"
    soundfile.write(path, stereo, RATE, subtype="FLOAT")
    np.testing.assert_allclose(audio.read(path), 0.75 * noise, atol=1e-7)
    first = np.concatenate(list(audio.read_blocks(path, 999, channel=0)))
    np.testing.assert_array_equal(first, noise)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_part_is_the_part_of_the_whole(tmp_path, noise, suffix):
    path = tmp_path / f"a{suffix}"
    audio.write(path, noise, RATE)
    whole = audio.read(path)
    np.testing.assert_allclose(
        audio.read(path, start=5000, frames=1234), whole[5000:6234], atol=1e-6
    )
    assert len(audio.read(path, start=RATE - 10, frames=100)) == 10
    assert len(audio.read(path, start=RATE)) == 0


def test_reading_beyond_the_end_or_at_another_rate_is_refused(tmp_path, noise):
    path = tmp_path / "a.wav"
    audio.write(path, noise, RATE)
    with pytest.raises(UserError, match="has 16000 samples.*16001"):
        audio.read(path, start=RATE + 1)
    with pytest.raises(UserError, match="16000 Hz, 8000 Hz is needed"):
        audio.read(path, sample_rate=8000)


def test_what_is_not_audio_is_named(tmp_path):
    (tmp_path / "text.wav").write_text("no audio at all, only words")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "link.wav").symlink_to("nowhere.wav")
    (tmp_path / "folder.wav").mkdir()
    for name, message in [
        ("text.wav", "not whole audio"),
        ("empty.wav", "empty"),
        ("link.wav", "link to nowhere.wav"),
        ("folder.wav", "folder"),
        ("none.wav", "does not exist"),
    ]:
        with pytest.raises(UserError, match=f"{name}: .*{message}"):
            audio.inspect(tmp_path / name)


def test_clipping_is_counted(tmp_path, caplog):
    wav = np.array([0.5, 1.0, -1.0, 1.5, -2.0], dtype="f")
    assert audio.write(tmp_path / "a.wav", wav, RATE) == 2
    assert "2 samples" in caplog.text
    np.testing.assert_allclose(
        audio.read(tmp_path / "a.wav"), [0.5, 1, -1, 1, -1], atol=1e-4
    )
    assert audio.write(tmp_path / "b.wav", wav, RATE, subtype="FLOAT") == 0
    np.testing.assert_array_equal(audio.read(tmp_path / "b.wav"), wav)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_leaves_the_old_file(tmp_path, noise, value):
    path = tmp_path / "a.wav"
    audio.write(path, noise, RATE)
    before = path.read_bytes()
    bad = noise.copy()
    bad[77] = value
    with pytest.raises(UserError, match="sample 77"):
        audio.write(path, bad, RATE)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.wav"]


def test_what_cannot_be_written_is_refused(tmp_path, noise):
    with pytest.raises(UserError, match=r"unknown audio suffix '\.wave'.*wav"):
        audio.write(tmp_path / "a.wave", noise, RATE)
    with pytest.raises(UserError, match="subtype of FLAC 'FLOAT'"):
        audio.write(tmp_path / "a.flac", noise, RATE, subtype="FLOAT")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        audio.write(tmp_path / "file" / "a.wav", noise, RATE)
    assert os.listdir(tmp_path) == ["file"]


def test_a_long_ogg_is_written_in_pieces(tmp_path):
    # In one piece libvorbis overflows its stack.
    wav = np.zeros(3_000_000, dtype="f")
    audio.write(tmp_path / "a.ogg", wav, RATE)
    assert audio.inspect(tmp_path / "a.ogg").frames == len(wav)


def test_flac_of_unknown_length_is_refused(tmp_path, noise):
    path = tmp_path / "a.flac"
    audio.write(path, noise, RATE)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # total samples in STREAMINFO: 36 bits
    data[22:26] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(UserError, match="does not say how long"):
        audio.read(path)


def _read_sum(path):
    return float(audio.read(path, start=100, frames=1000).sum())


def test_forked_workers_read(tmp_path, noise):
    path = tmp_path / "a.flac"
    audio.write(path, noise, RATE)
    here = _read_sum(path)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_read_sum, [path] * 8) == [here] * 8
