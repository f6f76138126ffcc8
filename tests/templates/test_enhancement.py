"""The copyable SpeechBrain template, run the way a person runs it."""

import ast
import json
import shutil
import signal
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from template_runs import RATE, TEMPLATE, run, start, voice, words


@pytest.fixture(scope="module")
def trained(copy_of_template, data):
    output = copy_of_template / "results" / "whole"
    text = run(copy_of_template, "train.py", *words(data, output))
    return SimpleNamespace(folder=output, text=text)


def weights(output):
    import torch

    return torch.load(output / "export" / "enhance_model.ckpt")


def test_template_stands_alone():
    """No module of it imports this repository, and pip has the rest."""
    own = {path.stem for path in TEMPLATE.glob("*.py")}
    listed = (TEMPLATE / "extra_requirements.txt").read_text().lower()
    for path in TEMPLATE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                names = [node.module]
            for name in {n.split(".")[0] for n in names}:
                known = name in sys.stdlib_module_names or name in own
                assert known or name.split("_")[0] in listed, (path, name)


@pytest.mark.slow
@pytest.mark.integration
def test_training_writes_scores_and_a_table(trained):
    report = json.loads((trained.folder / "test_scores.json").read_text())
    rows = trained.text.splitlines()
    noisy = next(i for i, r in enumerate(rows) if r.startswith("noisy "))
    assert rows[noisy + 1].startswith("enhanced ")
    for signal_name in ("noisy", "enhanced"):
        assert 0 < report[signal_name]["stoi"]["average"] <= 1
        assert report[signal_name]["pesq"]["clips"] == 6
    assert f"{report['enhanced']['stoi']['average']:.4f}" in rows[noisy + 1]
    per_clip = (trained.folder / "test_per_clip.csv").read_text().splitlines()
    assert len(per_clip) == 1 + 6


@pytest.mark.slow
@pytest.mark.integration
def test_test_only_repeats_the_scores(trained, train_here, data):
    before = (trained.folder / "test_scores.json").read_bytes()
    (trained.folder / "test_scores.json").unlink()
    # Another batch size must not matter either.
    flags = ["--test_only", "True", "--skip_prep", "True"]
    train_here(words(data, trained.folder, *flags))
    assert (trained.folder / "test_scores.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.integration
def test_killed_run_resumes_to_the_same_end(
    trained, copy_of_template, train_here, data
):
    """Kill -9 in mid-epoch; the resumed run ends bit for bit the same."""
    output = copy_of_template / "results" / "killed"
    arguments = words(
        *(data, output, "--ckpt_interval_steps", 1),
        *("--ckpt_interval_minutes", 0),
    )
    process = start(copy_of_template, "train.py", *arguments)
    deadline = time.time() + 120
    while not list((output / "save").glob("CKPT*")):
        assert process.poll() is None, process.communicate()[0]
        assert time.time() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (output / "test_scores.json").exists()
    train_here(arguments)
    resumed, whole = weights(output), weights(trained.folder)
    assert resumed.keys() == whole.keys()
    for key in whole:
        assert (resumed[key] == whole[key]).all(), key
    scores = [
        (o / "test_scores.json").read_bytes() for o in (output, trained.folder)
    ]
    assert scores[0] == scores[1]


CLEAN_PROCESS = """
import sys
sys.path.insert(0, sys.argv[4])
import guard_torchaudio
sys.path.remove(sys.argv[4])
import numpy as np, torch
sys.path.insert(0, "other")  # has another network of the same name
import custom_model
from speechbrain.inference.interfaces import foreign_class
model = foreign_class(
    source=sys.argv[1],
    hparams_file="inference.yaml",
    pymodule_file="custom_model.py",
    classname="SpectralMaskEnhancement",
)
noisy = torch.from_numpy(np.load(sys.argv[2]))[None]
np.save(sys.argv[3], model.enhance_batch(noisy, torch.ones(1))[0].numpy())
assert "edgebrain" not in sys.modules
print(*sys.path)
"""


@pytest.mark.slow
@pytest.mark.integration
def test_export_loads_with_speechbrain_alone(trained, template, tmp_path):
    """A moved export, in a clean process, equals the trained network."""
    import torch

    moved = tmp_path / "moved" / "here"
    shutil.copytree(trained.folder / "export", moved)
    other = tmp_path / "moved" / "other"
    other.mkdir()
    (other / "custom_model.py").write_text("CustomModel = print")
    # Only the guard against an unusable torchaudio goes with it.
    guard = tmp_path / "guard"
    guard.mkdir()
    shutil.copy(TEMPLATE / "guard_torchaudio.py", guard)
    noisy = (0.3 * voice(5) + 0.02 * np.random.default_rng(1).normal(
        size=len(voice(5)))).astype(np.float32)  # fmt: skip
    np.save(tmp_path / "noisy.npy", noisy)
    (tmp_path / "clean.py").write_text(CLEAN_PROCESS)
    path = run(
        tmp_path / "moved",
        tmp_path / "clean.py",
        moved,
        tmp_path / "noisy.npy",
        tmp_path / "enhanced.npy",
        guard,
    )
    assert str(TEMPLATE.parents[1]) not in path.splitlines()[-1].split()
    model = template.custom_model.CustomModel(257, 16, 16, 2)
    best = max(
        (trained.folder / "save").glob("CKPT*"),
        key=lambda p: float(
            next(
                line.split()[1]
                for line in (p / "CKPT.yaml").read_text().splitlines()
                if line.startswith("stoi:")
            )
        ),
    )
    model.load_state_dict(torch.load(best / "model.ckpt"))
    model.eval()
    window = torch.hann_window(400)
    spec = torch.stft(
        torch.from_numpy(noisy),
        512,
        160,
        400,
        window,
        pad_mode="constant",
        return_complex=True,
    )
    with torch.no_grad():
        feats = torch.log1p(spec.abs())
        mask = model(feats.T[None])[0].T
        enhanced = torch.istft(
            torch.polar(torch.expm1(mask * feats), spec.angle()),
            512,
            160,
            400,
            window,
            length=len(noisy),
        )
    got = np.load(tmp_path / "enhanced.npy")
    assert np.abs(got - enhanced.numpy()).max() < 1e-4
    assert np.abs(got).max() < 0.9 * np.abs(noisy).max()  # not normalised


@pytest.mark.slow
@pytest.mark.integration
def test_enhance_file_at_another_rate(trained, copy_of_template, tmp_path):
    noisy = tmp_path / "noisy.wav"
    stereo = np.stack([voice(3, 1.0).repeat(3)] * 2, axis=1)
    soundfile.write(noisy, stereo, 48000)
    out = run(
        copy_of_template,
        "enhance_file.py",
        trained.folder,
        noisy,
        tmp_path / "out" / "enhanced.wav",
    )
    assert "from 48000 Hz" in out
    wav, rate = soundfile.read(tmp_path / "out" / "enhanced.wav")
    assert (rate, wav.shape) == (RATE, (RATE,))
    assert np.abs(wav).max() > 1e-3


@pytest.mark.slow
@pytest.mark.integration
def test_debug_run_leaves_no_trace_in_the_results(trained, train_here, data):
    before = weights(trained.folder)
    scores = (trained.folder / "test_scores.json").read_bytes()
    train_here(words(data, trained.folder, "--debug"))
    after = weights(trained.folder)
    assert all((after[k] == before[k]).all() for k in before)
    assert (trained.folder / "test_scores.json").read_bytes() == scores


@pytest.mark.slow
@pytest.mark.integration
def test_test_only_without_checkpoint_is_refused(
    copy_of_template, train_here, data
):
    output = copy_of_template / "results" / "nothing"
    text = train_here(words(data, output, "--test_only"), status=2)
    assert "no scored checkpoint" in text
    assert "Traceback" not in text
