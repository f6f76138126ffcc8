import json
import os
import shutil
import struct

from edgebrain.data import audio, ingest
from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile

RATE = 16000


@pytest.fixture
def noise():
    return np.random.default_rng(0).standard_normal(RATE).astype("f") * 0.1


def take_in(paths, folder, rate=RATE, **options):
    """Ingest files that have no fault; return what is to be read."""
    found = ingest.ingest(paths, rate, folder, **options)
    assert not any(r.fault for r in found.values())
    return {path: r.ready for path, r in found.items()}


def faults(paths, folder):
    found = ingest.ingest(paths, RATE, folder)
    return {path.name: r.fault for path, r in found.items() if r.fault}


def fault(path):
    return faults([path], path.parent / "cache").get(path.name)


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
    got = take_in(kept + others, folder)
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
    first = take_in(others, folder, rooms=True)[others[3]]
    np.testing.assert_allclose(audio.read(first), noise, atol=1e-4)


def test_a_second_call_converts_nothing_and_a_changed_file_anew(
    tmp_path, noise
):
    paths = [tmp_path / f"{i}.ogg" for i in range(12)]
    for path in paths:
        audio.write(path, noise, RATE)
    folder = tmp_path / "cache"
    first = take_in(paths, folder)
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*.wav")}
    assert take_in(paths, folder) == first
    audio.write(paths[5], noise[:8000], RATE)
    second = take_in(paths, folder)
    assert [p for p in paths if first[p] != second[p]] == [paths[5]]
    assert audio.inspect(second[paths[5]]).frames == 8000
    assert all(path.stat().st_mtime_ns == t for path, t in times.items())
    assert take_in(paths, folder, 8000)[paths[0]] != first[paths[0]]


def test_long_files_go_through_in_pieces(tmp_path, monkeypatch):
    wav = np.random.default_rng(0).standard_normal(441 * 500) * 0.1
    audio.write(tmp_path / "a.wav", wav, 44100)
    blocks = ingest.read_blocks
    monkeypatch.setattr(
        ingest, "read_blocks", lambda path, channel: blocks(path, 5000, channel)
    )
    (got,) = take_in([tmp_path / "a.wav"], tmp_path / "c").values()
    whole = audio.resample(audio.read(tmp_path / "a.wav"), 44100, RATE)
    np.testing.assert_allclose(audio.read(got), whole, atol=2e-5)


def test_loud_and_faint_files_keep_floats(tmp_path, noise):
    for name, gain in {"loud": 20.0, "faint": 1e-3, "usual": 1.0}.items():
        audio.write(tmp_path / f"{name}.wav", gain * noise, 8000, "FLOAT")
    paths = sorted(tmp_path.glob("*.wav"))
    got = take_in(paths, tmp_path / "cache")
    subtypes = {path.stem: audio.inspect(got[path]).subtype for path in paths}
    assert subtypes == {"loud": "FLOAT", "faint": "FLOAT", "usual": "PCM_16"}
    assert np.abs(audio.read(got[tmp_path / "loud.wav"])).max() > 1.5


def test_too_little_disk_is_said_before_work(tmp_path, noise, monkeypatch):
    audio.write(tmp_path / "a.ogg", noise, RATE)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: usage._replace(free=1 << 20)
    )
    with pytest.raises(UserError, match="1 files.*need 0.03 GiB, 0.00 GiB"):
        take_in([tmp_path / "a.ogg"], tmp_path / "c")
    assert list((tmp_path / "c").iterdir()) == []


def test_a_full_disk_is_no_fault_of_the_file(tmp_path, noise, monkeypatch):
    audio.write(tmp_path / "a.ogg", noise, RATE)

    def full(path, *_):
        raise UserError(f"{path}: cannot be written (the disk is full)")

    monkeypatch.setattr(ingest, "write_blocks", full)
    with pytest.raises(UserError, match="cannot be written"):
        take_in([tmp_path / "a.ogg"], tmp_path / "c")


def test_a_cache_that_cannot_be_made_is_refused(tmp_path, noise):
    audio.write(tmp_path / "a.ogg", noise, RATE)
    with pytest.raises(UserError, match="cache_folder"):
        take_in([tmp_path / "a.ogg"], tmp_path / "a.ogg" / "c")


def test_each_file_is_decoded_once(tmp_path, noise, monkeypatch):
    paths = [tmp_path / "a.flac", tmp_path / "b.flac"]
    audio.write(paths[0], noise, RATE)
    audio.write(paths[1], noise, 8000)
    decoded = []
    blocks = ingest.read_blocks
    monkeypatch.setattr(
        ingest,
        "read_blocks",
        lambda path, channel: (decoded.append(path), blocks(path))[1],
    )
    take_in(paths, tmp_path / "c")
    assert sorted(decoded) == paths


def test_no_copy_is_left_of_a_bad_file(tmp_path, noise):
    audio.write(tmp_path / "cut.flac", noise, 8000)
    data = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    audio.write(tmp_path / "silent.flac", 0 * noise, 8000)
    found = faults(sorted(tmp_path.glob("*.flac")), tmp_path / "x")
    assert "not whole audio" in found["cut.flac"]
    assert "silent" in found["silent.flac"]
    assert [p.name for p in (tmp_path / "x").iterdir()] == [ingest.KEPT]


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
    found = ingest.ingest(files.values(), RATE, tmp_path / "cache")
    found = {p.name: r.fault_within(0.1) for p, r in found.items()}
    assert [n for n, line in found.items() if not line] == [
        "good.wav",
        "late.wav",
    ]
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
        assert message in found[name]


def test_good_files_are_not_opened_again(tmp_path, noise, monkeypatch):
    paths = [tmp_path / f"{i}.flac" for i in range(20)]
    for path in paths:
        audio.write(path, noise, RATE)
    cache = tmp_path / "cache"
    first = take_in(paths, cache)
    opened = []
    examine = ingest._ingest
    monkeypatch.setattr(
        ingest, "_ingest", lambda p, *a: (opened.append(p), examine(p, *a))[1]
    )
    assert take_in(paths, cache) == first
    assert list(first) == paths and opened == []
    # The kept result of a changed file is not believed.
    soundfile.write(paths[3], np.zeros(RATE), RATE)
    assert list(faults(paths, cache)) == ["3.flac"]
    assert opened == [paths[3]]


def test_a_damaged_store_is_made_anew(tmp_path, noise):
    path = tmp_path / "a.wav"
    audio.write(path, noise, RATE)
    take_in([path], tmp_path)
    store = tmp_path / ingest.KEPT
    for damage in ("{ not json", "[]", '{"' + os.path.abspath(path) + '": 3}'):
        store.write_text(damage)
        take_in([path], tmp_path)
        assert str(path) in json.loads(store.read_text())
