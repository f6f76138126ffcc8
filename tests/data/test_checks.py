import json
import os
import struct

from edgebrain.data import audio, checks
from edgebrain.data.checks import check_files, examine_files
from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile

RATE = 16000


@pytest.fixture
def noise():
    return np.random.default_rng(0).standard_normal(RATE).astype("f") * 0.1


def fault(path, **options):
    return checks.fault_of(examine_files([path])[path], **options)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_cut_file_is_found(tmp_path, noise, suffix, part):
    path = tmp_path / f"a{suffix}"
    audio.write(path, noise, RATE)
    assert fault(path) is None
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    assert "truncated" in fault(path) or "not whole audio" in fault(path)


def test_a_cut_float_wav_is_found(tmp_path, noise):
    path = tmp_path / "a.wav"
    audio.write(path, noise, RATE, subtype="FLOAT")
    path.write_bytes(path.read_bytes()[:-4000])
    assert "truncated: 60000 of 64000 bytes" in fault(path)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_from_a_pipe_is_no_cut_file(tmp_path, noise, size):
    path = tmp_path / "a.wav"
    audio.write(path, noise, RATE)
    data = bytearray(path.read_bytes())
    data[40:44] = struct.pack("<I", size)
    path.write_bytes(data)
    assert fault(path) is None


def test_all_bad_files_are_listed_at_once(tmp_path, noise):
    files = {name: tmp_path / name for name in ("good.wav", "none.wav")}
    audio.write(files["good.wav"], noise, RATE)

    def add(name, wav, subtype="PCM_16"):
        files[name] = tmp_path / name
        soundfile.write(files[name], wav, RATE, subtype=subtype)

    nan = noise.copy()
    nan[8000] = np.nan
    add("nan.wav", nan, "FLOAT")
    add("inf.wav", np.where(np.isnan(nan), np.inf, nan), "FLOAT")
    add("silent.wav", np.zeros(RATE))
    add("nearly.wav", np.full(RATE, 1e-6, "f"), "FLOAT")
    add("silent.flac", np.zeros(RATE))
    add("zero.wav", np.zeros(0))
    add("short.wav", noise[:800])
    files["text.wav"] = tmp_path / "text.wav"
    files["text.wav"].write_text("not audio")
    # Its first second is silent, the sound comes late.
    add("late.wav", np.concatenate([np.zeros(300_000, "f"), noise]))
    with pytest.raises(UserError) as caught:
        check_files(files.values(), min_seconds=0.1)
    lines = str(caught.value).splitlines()
    assert "9 problems" in lines[0]
    for name, message in {
        "none.wav": "does not exist",
        "nan.wav": "first at 0.500 s",
        "inf.wav": "NaN or infinite",
        "silent.wav": "silent",
        "nearly.wav": "silent",
        "silent.flac": "silent",
        "zero.wav": "no samples",
        "short.wav": "0.050 s, at least 0.1 s",
        "text.wav": "not whole audio",
    }.items():
        (line,) = [x for x in lines if f"/{name}: " in x]
        assert message in line


def test_good_files_are_not_opened_again(tmp_path, noise, monkeypatch):
    paths = [tmp_path / f"{i}.flac" for i in range(20)]
    for path in paths:
        audio.write(path, noise, RATE)
    cache = tmp_path / "cache"
    first = check_files(paths, cache_folder=cache)
    opened = []
    examine = checks._examine
    monkeypatch.setattr(
        checks, "_examine", lambda p: (opened.append(p), examine(p))[1]
    )
    assert check_files(paths, cache_folder=cache) == first
    assert list(first) == paths and opened == []
    # The kept result of a changed file is not believed.
    soundfile.write(paths[3], np.zeros(RATE), RATE)
    with pytest.raises(UserError, match="3.flac: is silent"):
        check_files(paths, cache_folder=cache)
    assert opened == [paths[3]]
    # Nor is a limit on the length part of what is kept.
    with pytest.raises(UserError, match="20 problems"):
        check_files(paths, min_seconds=2, cache_folder=cache)


def test_a_damaged_store_is_made_anew(tmp_path, noise):
    path = tmp_path / "a.wav"
    audio.write(path, noise, RATE)
    check_files([path], cache_folder=tmp_path)
    store = tmp_path / checks.KEPT
    for damage in ("{ not json", "[]", '{"' + os.path.abspath(path) + '": 3}'):
        store.write_text(damage)
        check_files([path], cache_folder=tmp_path)
        assert str(path) in json.loads(store.read_text())
