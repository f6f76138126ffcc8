"""Files of any rate, length and number of channels."""

import tracemalloc

from edgebrain.data import audio
from edgebrain.enhancement import Enhancer, load_enhancer
from edgebrain.enhancement import enhance_files as files
from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings
from edgebrain.tasks import Setup
import numpy as np
import pytest
import soundfile


class HalfMask:
    """A runner, and its streamer, whose mask is one half everywhere."""

    form, precision = "torch", "float32"
    lookahead_frames, exact = 0, True

    def __init__(self, **settings):
        self.setup = Setup("enhancement", SignalSettings(**settings))

    def run(self, magnitude):
        return np.full_like(magnitude, 0.5)

    __call__ = run

    def streamer(self):
        return self

    def flush(self):
        return np.zeros((257, 0), np.float32)

    def reset(self):
        pass

    def facts(self):
        return {}


@pytest.fixture(scope="module")
def enhancer(causal_folder):
    return load_enhancer(causal_folder)


def write(path, samples, rate, subtype="PCM_16"):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype)
    return path


def noise(*shape):
    return 0.1 * np.random.default_rng(sum(shape)).standard_normal(shape)


@pytest.mark.parametrize("block", [1000, 7777, 1 << 16])
@pytest.mark.parametrize(
    ("rate", "channels"), [(16000, 1), (44100, 2), (8000, 1), (48000, 1)]
)
def test_blocks_equal_the_whole(
    tmp_path, enhancer, monkeypatch, block, rate, channels
):
    monkeypatch.setattr(files, "BLOCK", block)
    samples = noise(rate + 13, channels)
    path = write(tmp_path / "in.wav", samples, rate, "FLOAT")
    files.enhance_file(enhancer, audio.inspect(path), tmp_path / "out.wav")
    out, out_rate = soundfile.read(tmp_path / "out.wav", always_2d=True)
    assert out.shape == samples.shape and out_rate == rate
    for channel in range(channels):
        whole = samples[:, channel].astype(np.float32)
        whole = enhancer.enhance(audio.resample(whole, rate, 16000))
        whole = audio.resample(whole, 16000, rate)[: len(samples)]
        assert np.abs(out[:, channel] - whole).max() < 1e-5


def test_output_is_not_delayed(tmp_path):
    rate = 44100
    time = np.arange(rate) / rate
    tone = 0.4 * np.sin(2 * np.pi * 997 * time)
    path = write(tmp_path / "tone.wav", tone, rate, "FLOAT")
    half = Enhancer(HalfMask(), "half")
    files.enhance_file(half, audio.inspect(path), tmp_path / "out.wav")
    out, _ = soundfile.read(tmp_path / "out.wav")
    assert np.abs(out - tone / 2)[2000:-2000].max() < 1e-4


@pytest.mark.parametrize("wet", [0.0, 0.25, 1.0])
def test_dry_wet(tmp_path, wet):
    samples = noise(20000)
    path = write(tmp_path / "in.wav", samples, 16000, "FLOAT")
    half = Enhancer(HalfMask(), "half")
    info = audio.inspect(path)
    files.enhance_file(half, info, tmp_path / "out.wav", wet)
    out, _ = soundfile.read(tmp_path / "out.wav")
    assert np.abs(out - samples * (1 - wet / 2)).max() < 1e-5


def test_memory_does_not_grow_with_length(tmp_path):
    half = Enhancer(HalfMask(), "half")
    path = tmp_path / "long.wav"
    seconds, rate = 120, 44100
    with soundfile.SoundFile(path, "w", rate, 2, "PCM_16") as file:
        for _ in range(seconds):
            file.write(noise(rate, 2))
    tracemalloc.start()
    try:
        files.enhance_file(half, audio.inspect(path), tmp_path / "out.wav")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The file as float32 would be 42 MB, in float64 85 MB.
    assert peak < 15e6
    assert audio.inspect(tmp_path / "out.wav").frames == seconds * rate


@pytest.mark.parametrize(
    ("name", "rate", "subtype", "kept"),
    [
        ("a.wav", 22050, "PCM_24", "PCM_24"),
        ("a.flac", 8000, "PCM_16", "PCM_16"),
        ("a.ogg", 48000, "VORBIS", "VORBIS"),
        ("a.mp3", 44100, "MPEG_LAYER_III", "MPEG_LAYER_III"),
    ],
)
def test_format_and_length_are_kept(
    tmp_path, enhancer, name, rate, subtype, kept
):
    source = write(tmp_path / "in" / name, noise(rate + 1), rate, subtype)
    [(info, target)] = files.plan(source, tmp_path / f"out_{name}")
    files.enhance_file(enhancer, info, target)
    out = audio.inspect(target)
    assert (out.frames, out.sample_rate) == (info.frames, rate)
    assert (out.subtype, out.channels) == (kept, 1)


@pytest.mark.parametrize("length", [0, 1, 5, 400])
@pytest.mark.parametrize("rate", [16000, 11025])
def test_tiny_files(tmp_path, enhancer, length, rate):
    path = write(tmp_path / "in.wav", noise(length), rate)
    files.enhance_file(enhancer, audio.inspect(path), tmp_path / "out.wav")
    assert audio.inspect(tmp_path / "out.wav").frames == length


def test_peak_normalised_network_hears_the_peak(tmp_path):
    seen = []

    class Listening(HalfMask):
        def run(self, magnitude):
            seen.append(magnitude.max())
            return super().run(magnitude)

        __call__ = run

    samples = noise(48000)
    path = write(tmp_path / "in.wav", samples * 0.01, 16000, "FLOAT")
    listening = Enhancer(Listening(peak_normalize=True), "half")
    files.enhance_file(listening, audio.inspect(path), tmp_path / "out.wav")
    out, _ = soundfile.read(tmp_path / "out.wav")
    assert np.abs(out - samples * 0.005).max() < 1e-6
    whole = samples / np.abs(samples).max()
    seen_by_stream = max(seen)
    seen.clear()
    listening.enhance(whole.astype(np.float32))
    assert seen_by_stream == pytest.approx(max(seen), rel=1e-4)


def test_nan_names_file_and_sample_and_leaves_nothing(tmp_path, enhancer):
    samples = noise(3000)
    samples[1234] = np.nan
    path = write(tmp_path / "in.wav", samples, 16000, "FLOAT")
    with pytest.raises(UserError, match="in.wav: sample 1234 is nan"):
        files.enhance_file(enhancer, audio.inspect(path), tmp_path / "out.wav")
    assert [p.name for p in tmp_path.iterdir()] == ["in.wav"]


def test_plan_of_a_folder_keeps_its_structure(tmp_path):
    for name in ("a.wav", "sub/b.flac", "sub/deep/c.aiff"):
        write(tmp_path / "in" / name, noise(100), 16000)
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    tasks = files.plan(tmp_path / "in", tmp_path / "out")
    out = tmp_path / "out"
    assert [target for _, target in tasks] == [
        out / "a.wav",
        out / "sub" / "b.flac",
        out / "sub" / "deep" / "c.aiff.wav",
    ]


def test_plan_refuses_and_lists(tmp_path):
    source = write(tmp_path / "in" / "a.wav", noise(100), 16000)
    other = write(tmp_path / "in" / "b.wav", noise(100), 16000)
    out = tmp_path / "out"
    write(out / "a.wav", noise(10), 16000)
    write(out / "b.wav", noise(10), 16000)
    with pytest.raises(UserError, match="2 problems") as caught:
        files.plan(tmp_path / "in", out)
    assert "a.wav" in str(caught.value) and "b.wav" in str(caught.value)
    assert len(files.plan(tmp_path / "in", out, overwrite=True)) == 2
    with pytest.raises(UserError, match="same file"):
        files.plan(source, source, overwrite=True)
    with pytest.raises(UserError, match="lies in the input folder"):
        files.plan(tmp_path / "in", tmp_path / "in" / "out")
    with pytest.raises(UserError, match="no such file"):
        files.plan(tmp_path / "gone", out)
    with pytest.raises(UserError, match="ends in .wav"):
        files.plan(source, tmp_path / "out.xyz")
    other.write_bytes(b"RIFF, but not audio")
    with pytest.raises(UserError, match="b.wav: is not whole audio"):
        files.plan(tmp_path / "in", tmp_path / "new")


def test_too_long_for_a_wav_file(tmp_path, enhancer):
    path = write(tmp_path / "in.wav", noise(100), 48000)
    huge = audio.AudioInfo(path, 48000, 2**31, 2, "FLAC", "PCM_16")
    with pytest.raises(UserError, match="8.0 GiB, a WAV file holds 4"):
        files.enhance_file(enhancer, huge, tmp_path / "out.wav")


def test_a_full_disk_is_called_so(tmp_path, enhancer, monkeypatch):
    path = write(tmp_path / "in.wav", noise(4000), 16000)
    info = audio.inspect(path)
    monkeypatch.setattr(files, "free_bytes", lambda place: 7999)
    with pytest.raises(UserError, match="out.wav: takes 0.0 MiB, 0.0 MiB are"):
        files.enhance_file(enhancer, info, tmp_path / "out.wav")
    monkeypatch.setattr(files, "free_bytes", lambda place: 8000)
    files.enhance_file(enhancer, info, tmp_path / "out.wav")
    monkeypatch.setattr(audio, "free_bytes", lambda place: 0)

    def fill(*_):
        raise soundfile.LibsndfileError(2)

    monkeypatch.setattr(audio, "_fill", fill)
    with pytest.raises(UserError, match="more.flac: .*the disk is full"):
        files.enhance_file(enhancer, info, tmp_path / "more.flac")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.wav", "out.wav"]
