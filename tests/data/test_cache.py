import os
import shutil
import time

from edgebrain import files
from edgebrain.data import audio, cache
from edgebrain.data.cache import prepare_audio
from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile

RATE = 16000


@pytest.fixture
def noise():
    return np.random.default_rng(0).standard_normal(RATE).astype("f") * 0.1


def test_only_what_needs_it_is_converted(tmp_path, noise):
    stereo = np.stack([noise, -0.5 * noise], axis=1)
    kept = [tmp_path / "a.wav", tmp_path / "b.flac"]
    for path in kept:
        audio.write(path, noise, RATE)
    audio.write(tmp_path / "c.ogg", noise, RATE)
    audio.write(tmp_path / "d.mp3", noise, RATE)
    audio.write(tmp_path / "e.wav", noise, 44100)
    soundfile.write(tmp_path / "f.wav", stereo, RATE)
    others = [tmp_path / n for n in ("c.ogg", "d.mp3", "e.wav", "f.wav")]
    folder = tmp_path / "cache"
    got = prepare_audio(kept + others, RATE, folder)
    assert list(got) == kept + others
    assert [got[path] for path in kept] == kept
    for path in others:
        info = audio.inspect(got[path])
        assert got[path].parent == folder and info.usable_in_place(RATE)
        source = audio.inspect(path)
        assert info.frames == -(-source.frames * RATE // source.sample_rate)
    np.testing.assert_allclose(
        audio.read(got[others[3]]), 0.25 * noise, atol=1e-4
    )
    np.testing.assert_allclose(
        audio.read(got[others[2]]),
        audio.resample(audio.read(others[2]), 44100, RATE),
        atol=1e-4,
    )
    first = prepare_audio(others, RATE, folder, channel=0)[others[3]]
    np.testing.assert_allclose(audio.read(first), noise, atol=1e-4)


def test_a_second_call_converts_nothing_and_a_changed_file_anew(
    tmp_path, noise
):
    paths = [tmp_path / f"{i}.ogg" for i in range(12)]
    for path in paths:
        audio.write(path, noise, RATE)
    folder = tmp_path / "cache"
    first = prepare_audio(paths, RATE, folder)
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert prepare_audio(paths, RATE, folder) == first
    audio.write(paths[5], noise[:8000], RATE)
    second = prepare_audio(paths, RATE, folder)
    assert [p for p in paths if first[p] != second[p]] == [paths[5]]
    assert audio.inspect(second[paths[5]]).frames == 8000
    assert all(path.stat().st_mtime_ns == t for path, t in times.items())
    assert prepare_audio(paths, 8000, folder)[paths[0]] != first[paths[0]]


def test_long_files_go_through_in_pieces(tmp_path, monkeypatch):
    wav = np.random.default_rng(0).standard_normal(441 * 500) * 0.1
    audio.write(tmp_path / "a.wav", wav, 44100)
    blocks = cache.read_blocks
    monkeypatch.setattr(
        cache, "read_blocks", lambda path, channel: blocks(path, 5000, channel)
    )
    (got,) = prepare_audio([tmp_path / "a.wav"], RATE, tmp_path / "c").values()
    whole = audio.resample(audio.read(tmp_path / "a.wav"), 44100, RATE)
    np.testing.assert_allclose(audio.read(got), whole, atol=2e-5)


def test_loud_and_faint_files_keep_floats(tmp_path, noise):
    for name, gain in {"loud": 20.0, "faint": 1e-3, "usual": 1.0}.items():
        audio.write(tmp_path / f"{name}.wav", gain * noise, 8000, "FLOAT")
    paths = sorted(tmp_path.glob("*.wav"))
    got = prepare_audio(paths, RATE, tmp_path / "cache")
    subtypes = {path.stem: audio.inspect(got[path]).subtype for path in paths}
    assert subtypes == {"loud": "FLOAT", "faint": "FLOAT", "usual": "PCM_16"}
    assert np.abs(audio.read(got[tmp_path / "loud.wav"])).max() > 1.5


def test_unreadable_files_are_listed(tmp_path, noise):
    audio.write(tmp_path / "a.flac", noise, 8000)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: len(data) // 2])
    (tmp_path / "b.wav").write_text("text")
    (tmp_path / "c.wav").touch()
    with pytest.raises(UserError, match=r"2 problems(.|\n)*b.wav(.|\n)*c.wav"):
        prepare_audio(sorted(tmp_path.glob("*.wav")), RATE, tmp_path / "x")
    with pytest.raises(UserError, match="a.flac: is not whole"):
        prepare_audio([tmp_path / "a.flac"], RATE, tmp_path / "x")
    assert list((tmp_path / "x").iterdir()) == []


def test_too_little_disk_is_said_before_work(tmp_path, noise, monkeypatch):
    audio.write(tmp_path / "a.ogg", noise, RATE)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: usage._replace(free=1 << 20)
    )
    with pytest.raises(UserError, match="1 files.*need 0.03 GiB, 0.00 GiB"):
        prepare_audio([tmp_path / "a.ogg"], RATE, tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []


def test_a_cache_that_cannot_be_made_is_refused(tmp_path, noise):
    audio.write(tmp_path / "a.ogg", noise, RATE)
    with pytest.raises(UserError, match="cache_folder"):
        prepare_audio([tmp_path / "a.ogg"], RATE, tmp_path / "a.ogg" / "c")


def test_only_old_leftovers_are_removed(tmp_path):
    old, young = tmp_path / ".a.wav.1-x.tmp", tmp_path / ".b.wav.1-x.tmp"
    for path in (old, young):
        path.touch()
    past = time.time() - 7200
    os.utime(old, (past, past))
    files.remove_leftovers(tmp_path)
    assert not old.exists() and young.exists()


def test_json_is_written_only_if_it_differs(tmp_path):
    path = tmp_path / "a.json"
    assert files.write_json(path, {"a": "ü"})
    assert not files.write_json(path, {"a": "ü"})
    assert files.write_json(path, {"a": 2})
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    assert path.read_text() == '{\n  "a": 2\n}\n'
