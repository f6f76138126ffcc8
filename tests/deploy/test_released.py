"""The three commands on the trained, released networks, and their proofs."""

import json
from pathlib import Path
import shutil
import subprocess
import sys

from c_models import ENHANCERS, build, frames
from c_reference import Reference
from edgebrain.data import audio
from edgebrain.data.embedded.corpus import CorpusSizes, make_embedded_corpus
from edgebrain.enhancement import load_enhancer
from edgebrain.enhancement.metrics import score_clips
from edgebrain.report.scores import summarise
import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
import pytest
from test_c_networks import (
    c_masks,
    feature_levels,
    onnx_masks,
    reference_masks,
)

from deploy.c.generator.generate import read

ROOT = Path(__file__).parents[2]
EDGE16K = ROOT.parent / "shared" / "data" / "edge16k"
needs_cc = pytest.mark.skipif(
    not (shutil.which("cc") and shutil.which("make")),
    reason="no C compiler (cc) or make on this machine",
)


def command(*words):
    done = subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def mixtures(folder, count):
    """Return (clean, noisy) of speech and noise of a folder's test part."""
    speech = sorted((folder / "speech" / "test").rglob("*.flac"))[::-1]
    noises = sorted((folder / "noise" / "test").rglob("*.flac"))
    pairs = []
    for i, path in enumerate(speech[:: max(1, len(speech) // count)][:count]):
        clean = audio.read(path, 16000)[:80000]
        noise = audio.read(noises[i % len(noises)], 16000)
        noise = np.resize(noise, clean.shape)
        # 5 dB below the speech, at levels 8 dB apart.
        noise = noise * np.sqrt((clean**2).mean() / (noise**2).mean()) * 0.56
        level = 10 ** (-0.4 * (i % 3)) * 0.9
        level = np.float32(level / np.abs(clean + noise).max())
        # Of 16 bits, as C hears it: a recurrent network makes much of less.
        noisy = np.round((clean + noise) * level * 32768) / 32768
        pairs.append((clean * level, noisy.astype(np.float32)))
    return pairs


@pytest.fixture(scope="module", params=["embedded", "edge16k"])
def clips(request, tmp_path_factory):
    """Four noisy clips, of synthesised voices and of real recordings."""
    if request.param == "edge16k":
        if not EDGE16K.is_dir():
            pytest.skip("edge16k is not here")
        return mixtures(EDGE16K, 4)
    sizes = CorpusSizes((1, 1, 4), (1, 1, 3), (1, 1, 1), 1, (3.0, 4.0))
    folder = tmp_path_factory.mktemp("corpus")
    corpus = make_embedded_corpus(folder, seed=3, n_jobs=1, sizes=sizes)
    return mixtures(Path(corpus), 4)


def score(metric, enhanced, clips):
    """Return the mean; a clip that cannot be scored fails the test."""
    scored = score_clips(
        [
            (str(number), clean, wav)
            for number, ((clean, _), wav) in enumerate(
                zip(clips, enhanced, strict=True)
            )
        ],
        16000,
        [metric],
        n_jobs=1,
    )
    found = summarise(scored)
    assert found["scored"][metric] == len(clips)
    return found["mean"][metric]


def pesq(enhance, clips):
    return score("pesq", [enhance(noisy) for _, noisy in clips], clips)


def on_the_grid_of_c(enhancer, signal):
    """Put zeros in front, so that frames begin where those in C do."""
    late = signal.win_length - signal.hop_length - signal.offset
    lead = np.zeros(late % signal.hop_length, np.float32)
    return lambda wav: enhancer.enhance(np.append(lead, wav))[len(lead) :]


def double_masks(path, magnitude):
    """What the ONNX file says, computed in double precision."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            value = onnx.numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(onnx.numpy_helper.from_array(value, tensor.name))
    evaluate = ReferenceEvaluator(model)
    name, *_ = evaluate.input_names
    feeds = {
        i.name: np.zeros([d.dim_value for d in i.type.tensor_type.shape.dim])
        for i in model.graph.input
    }
    masks = []
    for frame in magnitude.T.astype(np.float64):
        found = evaluate.run(None, {**feeds, name: frame[None, :, None]})
        found = dict(zip(evaluate.output_names, found, strict=True))
        masks.append(found.pop("mask").ravel())
        feeds |= {n.removeprefix("new_"): v for n, v in found.items()}
    return np.stack(masks, 1)


def decibels(got, want):
    return 10 * np.log10((want**2).sum() / ((got - want) ** 2).sum())


@needs_cc
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "int16x8"])
@pytest.mark.parametrize("name", ENHANCERS)
def test_c_of_a_trained_network(name, precision, clips, tmp_path):
    """Whole clips in closed loop: every bit, and the scores of Python."""
    path = ROOT / "models" / name / f"stream_{precision}.onnx"
    folder = tmp_path / "c"
    command(
        ROOT / "deploy/c_engine.py", path, "--output_folder", folder,
        "--name", "net",
    )  # fmt: skip
    build(folder, "libnet.so")
    program = read(path)
    signal = program.metadata.signal
    pcm = np.concatenate([noisy for _, noisy in clips[:2]])
    magnitude = frames((pcm * 32768).astype(np.int16), signal)
    got = c_masks(folder, magnitude)
    np.testing.assert_array_equal(got, reference_masks(program, magnitude))
    want, late = onnx_masks(path, magnitude)
    got = got[:, late:]
    if precision == "int16x8":
        # onnxruntime only simulates 16 bits, in single precision, which
        # rounds halves apart: where wide ranges make coarse steps of that,
        # C has to be as near to double precision as onnxruntime is.
        part = slice(100 - late)
        exact = double_masks(path, magnitude[:, :100])[:, late:][:, part]
        near = decibels(want[:, part], exact)
        assert decibels(got[:, part], exact) > min(70, near - 1)
        most = np.abs(want[:, part] - exact).max()
        assert np.abs(got[:, part] - exact).max() < max(1.5e-3, 1.5 * most)
        # And both are as far from the network before quantization.
        plain = onnx_masks(path.with_name("stream.onnx"), magnitude)[0]
        assert decibels(got, plain) > max(30, decibels(want, plain) - 0.2)
    elif name == "nnse-72mel":
        # Mel sums and logarithms are float: from their integers on.
        levels = feature_levels(path, program, magnitude)
        reference = Reference(program)
        same = [reference.step_features(v) for v in levels.T]
        np.testing.assert_array_equal(np.stack(same, 1), want)
    else:
        np.testing.assert_array_equal(got, want)
    in_c = pesq(load_enhancer(folder / "libnet.so").enhance, clips)
    in_python = pesq(on_the_grid_of_c(load_enhancer(path), signal), clips)
    # Where an input lies on the edge of a step, tcnn-500k makes much of it.
    most = 0.01 if name == "tcnn-500k" else 0.002
    assert abs(in_c - in_python) < most
    assert in_c > pesq(lambda noisy: noisy, clips) + 0.01


@pytest.mark.slow
@pytest.mark.parametrize("form", ["stream", "stream_int8", "stream_int16x8"])
@pytest.mark.parametrize("name", ["lstm-110k", "nnse-72mel"])
def test_old_states_do_no_harm(name, form, clips):
    """The fourth time in one stream a clip sounds as it does alone.

    What remembers and was trained on single clips loses 2 to 3 dB here.
    """
    enhance = load_enhancer(ROOT / "models" / name / f"{form}.onnx").enhance
    noisy = [noisy for _, noisy in clips]
    stream = enhance(np.concatenate(noisy * 4))[-sum(map(len, noisy)) :]
    parts = np.split(stream, np.cumsum([len(n) for n in noisy])[:-1])
    alone = score("si_snr", [enhance(n) for n in noisy], clips)
    assert score("si_snr", parts, clips) > alone - 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", ENHANCERS)
def test_hand_off_of_a_trained_network(name, tmp_path):
    """Nothing fails in the check; the package holds what its README says."""
    path = ROOT / "models" / name / "stream_int8.onnx"
    folder = tmp_path / "stm32"
    text = command(
        ROOT / "deploy/stedgeai.py", path, "--target", "stm32n6", "--no_run",
        "--output_folder", folder, "--json",
    )  # fmt: skip
    result = json.loads(text)
    assert result["check"]["result"] in ("pass", "warn")
    assert (folder / "model.onnx").read_bytes() == path.read_bytes()
    assert len(list(folder.glob("vectors/out_*.npy"))) > 1


@pytest.mark.slow
def test_tables_of_a_trained_network(clips, tmp_path):
    """Scored as that runtime computes, they lose next to nothing."""
    model = ROOT / "models" / "nnse-72mel"
    folder = tmp_path / "se"
    command(
        ROOT / "deploy/nnse_tables.py", model / "stream.onnx", "--net_id", 3,
        "--net_name", "se", "--output_folder", folder,
    )  # fmt: skip
    tables = pesq(load_enhancer(folder).enhance, clips)
    exact = pesq(load_enhancer(model / "stream.onnx").enhance, clips)
    assert abs(tables - exact) < 0.02
