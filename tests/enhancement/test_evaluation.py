"""Pairs, scores of several models and levels, names of rows."""

from edgebrain.data import audio
from edgebrain.enhancement import load_enhancer, metrics
from edgebrain.enhancement.evaluation import evaluate, find_pairs
from edgebrain.errors import UserError
from edgebrain.trained_models import model_names
import numpy as np
import pytest
import soundfile

METRICS = ["stoi", "snr", "mse"]


def speechlike(seconds=1.2, rate=16000, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    voice = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 12))
    return 0.05 * voice * (1 + np.sin(2 * np.pi * 4 * time)), rng


@pytest.fixture(scope="module")
def pairs_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    for number, name in enumerate(["a", "sub/b", "c"]):
        clean, rng = speechlike(seed=number)
        noisy = clean + 0.02 * (number + 1) * rng.standard_normal(len(clean))
        for side, wav in (("clean", clean), ("noisy", noisy)):
            path = folder / side / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, wav, 16000, "FLOAT")
    return folder


@pytest.fixture(scope="module")
def pairs(pairs_folder):
    return find_pairs(pairs_folder / "noisy", pairs_folder / "clean")


def test_pairs_by_relative_name(pairs):
    assert [pair.id for pair in pairs] == ["a", "c", "sub/b"]


def test_every_mismatch_is_listed(tmp_path):
    def put(side, name, length=800, rate=16000):
        path = tmp_path / side / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.full(length, 0.1), rate)
        return path

    for name in ("length.wav", "rate.wav", "broken.wav", "suffix.wav"):
        put("clean", name)
    put("noisy", "length.wav", 801)
    put("noisy", "rate.wav", 800, 8000)
    put("noisy", "broken.wav").write_bytes(b"nothing")
    put("noisy", "suffix.flac")
    put("noisy", "only_noisy.wav")
    put("clean", "only_clean.wav")
    with pytest.raises(UserError, match="5 problems") as caught:
        find_pairs(tmp_path / "noisy", tmp_path / "clean")
    text = str(caught.value)
    for word in ("801", "8000 Hz", "broken", "only_noisy", "only_clean"):
        assert word in text
    assert "suffix" not in text
    with pytest.raises(UserError, match="no such folder"):
        find_pairs(tmp_path / "gone", tmp_path / "clean")


def test_a_recording_with_nan_is_named(tmp_path):
    wav = np.zeros(800, np.float32)
    for side, value in (("clean", 0), ("noisy", np.nan)):
        (tmp_path / side).mkdir()
        wav[17] = value
        soundfile.write(tmp_path / side / "a.wav", wav, 16000, "FLOAT")
    (pair,) = find_pairs(tmp_path / "noisy", tmp_path / "clean")
    with pytest.raises(UserError, match="noisy/a.wav: sample 17 is nan"):
        pair.read(16000)


def test_scores_are_those_of_whole_clips(causal_folder, onnx_folder, pairs):
    enhancers = {
        "torch": load_enhancer(causal_folder),
        "stream": load_enhancer(onnx_folder, form="stream"),
        "patch": load_enhancer(onnx_folder, form="patch"),
    }
    result = evaluate(enhancers, pairs, METRICS, n_jobs=1)
    assert list(result.rows) == ["noisy", "torch", "stream", "patch"]
    assert not result.levels
    for number, pair in enumerate(pairs):
        noisy, clean = pair.read(16000)
        expected = metrics.score_clip(clean, noisy, 16000, METRICS).values
        assert result.rows["noisy"][number].values == expected
        out = enhancers["torch"].enhance(noisy)
        expected = metrics.score_clip(clean, out, 16000, METRICS).values
        for form in enhancers:
            got = result.rows[form][number]
            assert got.id == pair.id
            assert got.values == pytest.approx(expected, rel=1e-4)
    facts = result.clips["a"]
    assert facts.seconds == pytest.approx(1.2)
    assert facts.snr_db == pytest.approx(
        result.rows["noisy"][0].values["snr"], abs=1e-3
    )


def test_levels_scale_clean_and_noisy_alike(causal_folder, pairs):
    enhancers = {"enhanced": load_enhancer(causal_folder)}
    result = evaluate(enhancers, pairs, METRICS, [-20, 0, 10], n_jobs=1)
    assert result.gain_db == 0 and list(result.levels) == [-20, 0, 10]
    noisy, clean = (x * np.float32(0.1) for x in pairs[0].read(16000))
    quiet = result.levels[-20.0]
    for name, estimate in (
        ("noisy", noisy),
        ("enhanced", enhancers["enhanced"].enhance(noisy)),
    ):
        expected = metrics.score_clip(clean, estimate, 16000, METRICS).values
        assert quiet[name][0].values == pytest.approx(expected, rel=1e-3)
    assert "enhanced -20 dB" in result.all_rows()
    only = evaluate(enhancers, pairs[:1], ["mse"], [-20], n_jobs=1)
    assert only.gain_db == -20
    assert only.rows["noisy"][0].values["mse"] == pytest.approx(
        quiet["noisy"][0].values["mse"], rel=1e-4
    )


def test_one_stream_goes_on_from_clip_to_clip(causal_folder, pairs, tmp_path):
    enhancer = load_enhancer(causal_folder)
    joined = np.concatenate([pair.read(16000)[0] for pair in pairs])
    want = enhancer.enhance(joined * np.float32(10 ** (-6 / 20)))
    evaluate(
        {"model": enhancer}, pairs, ["stoi"], [-6.0], 1, tmp_path,
        one_stream=True,
    )  # fmt: skip
    got = [audio.read(tmp_path / f"{pair.id}.wav", 16000) for pair in pairs]
    np.testing.assert_allclose(np.concatenate(got), want, atol=1e-4)
    alone = enhancer.enhance(pairs[1].read(16000)[0] * np.float32(0.501187))
    assert np.abs(got[1] - alone).max() > 1e-3


def test_enhanced_clips_are_saved(causal_folder, pairs, tmp_path):
    enhancer = load_enhancer(causal_folder)
    evaluate({"e": enhancer}, pairs, ["mse"], n_jobs=1, save_folder=tmp_path)
    saved = audio.read(tmp_path / "sub" / "b.wav")
    expected = enhancer.enhance(pairs[2].read(16000)[0])
    assert np.abs(saved - expected).max() < 1e-4
    both = {"one": enhancer, "two": enhancer}
    evaluate(both, pairs[:1], ["mse"], n_jobs=1, save_folder=tmp_path)
    assert (tmp_path / "one" / "a.wav").is_file()
    assert (tmp_path / "two" / "a.wav").is_file()


def test_files_of_another_rate_are_resampled(causal_folder, tmp_path):
    clean, rng = speechlike(1.0, 48000)
    for side in ("clean", "noisy"):
        (tmp_path / side).mkdir()
        soundfile.write(tmp_path / side / "a.wav", clean, 48000)
        clean = clean + 0.01 * rng.standard_normal(len(clean))
    pairs = find_pairs(tmp_path / "noisy", tmp_path / "clean")
    enhancers = {"enhanced": load_enhancer(causal_folder)}
    result = evaluate(enhancers, pairs, ["snr"], n_jobs=1)
    assert result.clips["a"].seconds == pytest.approx(1.0)


def test_names_are_short_and_differ():
    assert model_names(["r/tcnn/1", "m/x/a.onnx"]) == ["tcnn/1", "a"]
    assert model_names(["m/x/a.onnx", "m/y/a.onnx"]) == ["x/a", "y/a"]
    assert model_names(["m/x", "m/x"]) == ["x", "x (2)"]
    assert model_names(["a/r/1", "b/r/1", "c/2"]) == ["a/r/1", "b/r/1", "c/2"]
