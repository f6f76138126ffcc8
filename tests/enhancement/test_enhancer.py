"""Every form: streams equal whole clips and do not disturb each other."""

import sys

from edgebrain.enhancement import load_enhancer
from edgebrain.errors import UserError
from edgebrain.signal import SignalSettings
from edgebrain.tasks import Setup
import numpy as np
import pytest

FORMS = ["torch", "late", "noncausal", "offline", "patch", "stream"]


@pytest.fixture(scope="module")
def wav():
    rng = np.random.default_rng(5)
    return (0.1 * rng.standard_normal(9611)).astype(np.float32)


@pytest.fixture(scope="module")
def enhancers(causal_folder, onnx_folder, small_network, results_folder):
    loaded = {
        "torch": load_enhancer(causal_folder),
        "late": load_enhancer(
            results_folder([small_network(2, lookahead_frames=2)])
        ),
        "noncausal": load_enhancer(
            results_folder([small_network(1, causal=False)])
        ),
    }
    for form in ("offline", "patch", "stream"):
        loaded[form] = load_enhancer(onnx_folder / f"{form}.onnx")
    return loaded


def streamed(stream, wav, size):
    parts, at = [], 0
    rng = np.random.default_rng(0)
    while at < len(wav):
        step = int(rng.integers(0, 900)) if size == "random" else size
        parts.append(stream.feed(wav[at : at + step]))
        at += step
    return np.concatenate([*parts, stream.flush()])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 37, 160, 1024, "random"])
def test_stream_equals_whole_clip(enhancers, wav, form, size):
    enhancer = enhancers[form]
    if size == 1:
        wav = wav[:2500]
    expected = enhancer.enhance(wav)
    assert np.abs(expected - wav).max() > 1e-2  # the network does something
    out = streamed(enhancer.stream(), wav, size)
    assert out.shape == wav.shape
    assert np.abs(out - expected).max() < 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_two_streams_do_not_disturb_each_other(enhancers, wav, form):
    enhancer = enhancers[form]
    ours, theirs = enhancer.stream(), enhancer.stream()
    parts = []
    for at in range(0, len(wav), 500):
        parts.append(ours.feed(wav[at : at + 500]))
        theirs.feed(wav[::-1][at : at + 333].copy())
    parts.append(ours.flush())
    expected = enhancer.enhance(wav)
    assert np.abs(np.concatenate(parts) - expected).max() < 1e-5


@pytest.mark.parametrize("form", FORMS)
def test_reset_and_flush_make_a_stream_new(enhancers, wav, form):
    stream = enhancers[form].stream()
    first = streamed(stream, wav, 700)
    again = streamed(stream, wav, 700)
    stream.feed(wav[:3000])
    stream.reset()
    third = streamed(stream, wav, 700)
    assert np.array_equal(first, again) and np.array_equal(first, third)


@pytest.mark.parametrize("form", FORMS)
def test_latency_is_what_it_says(enhancers, wav, form):
    enhancer = enhancers[form]
    stream = enhancer.stream()
    long = np.tile(wav, 8)
    fed = out = 0
    for at in range(0, len(long), 97):
        out += len(stream.feed(long[at : at + 97]))
        fed += len(long[at : at + 97])
        assert out >= fed - enhancer.latency_samples
    assert stream.latency_samples == enhancer.latency_samples


def test_all_forms_agree(enhancers, wav):
    expected = enhancers["torch"].enhance(wav)
    for form in ("offline", "patch", "stream"):
        out = enhancers[form].enhance(wav)
        assert np.abs(out - expected).max() < 1e-5, form


def test_short_and_empty_clips(enhancers):
    for enhancer in enhancers.values():
        for length in (0, 1, 159, 401):
            wav = np.full(length, 0.1, np.float32)
            assert enhancer.enhance(wav).shape == (length,)
            assert streamed(enhancer.stream(), wav, 50).shape == (length,)


def test_bad_waveforms_are_refused(enhancers):
    enhancer = enhancers["torch"]
    with pytest.raises(UserError, match="shape"):
        enhancer.enhance(np.zeros((2, 100), np.float32))
    with pytest.raises(UserError, match="int16"):
        enhancer.enhance(np.zeros(100, np.int16))
    bad = np.zeros(100, np.float32)
    bad[7] = np.nan
    with pytest.raises(UserError, match="sample 7"):
        enhancer.enhance(bad)


def test_peak_normalised_network(small_network, results_folder, wav):
    signal = SignalSettings(peak_normalize=True)
    model = small_network(prologue="linear")
    enhancer = load_enhancer(results_folder([model], signal=signal))
    expected = enhancer.enhance(wav)
    quiet = enhancer.enhance(wav * 0.01)
    assert np.abs(quiet * 100 - expected).max() < 1e-5
    with pytest.raises(UserError, match="peak"):
        enhancer.stream()
    stream = enhancer.stream(peak=float(np.abs(wav).max()))
    assert np.abs(streamed(stream, wav, 333) - expected).max() < 1e-5


def test_facts_name_the_checkpoint(enhancers):
    facts = enhancers["torch"].facts()
    assert facts["form"] == "torch" and len(facts["checkpoint_sha256"]) == 64
    assert facts["signal"]["n_fft"] == 512
    assert enhancers["stream"].facts()["form"] == "stream"
    assert "25.0 ms" in enhancers["stream"].describe()


def test_memory_without_bound_in_a_form_without_memory(
    results_folder, tmp_path
):
    from edgebrain.enhancement.networks import LSTMMask
    from edgebrain.onnx.export import export_offline
    import torch

    torch.manual_seed(0)
    model = LSTMMask(hidden_size=8, num_layers=1).eval()
    export_offline(
        model, Setup("enhancement", SignalSettings()), tmp_path / "offline.onnx"
    )
    offline = load_enhancer(tmp_path / "offline.onnx")
    steps = load_enhancer(results_folder([model]))
    assert steps.exact_stream and not offline.exact_stream
    assert "500 frames" in offline.describe()
    rng = np.random.default_rng(0)
    wav = (0.1 * rng.standard_normal(160 * 1500)).astype(np.float32)
    out = streamed(offline.stream(), wav, 8000)
    assert np.abs(out - steps.enhance(wav)).max() < 1e-4


def test_importing_needs_neither_torch_nor_onnxruntime():
    import subprocess

    code = (
        "import sys, edgebrain.enhancement; "
        "print([m for m in ('torch', 'onnxruntime', 'speechbrain') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
