"""export_speechbrain.py, and its folder where this project is not there."""

import importlib.util
from pathlib import Path
import re
import subprocess
import sys

from edgebrain.enhancement import load_enhancer
from edgebrain.enhancement.networks import NNSE, ConvLSTM, LSTMMask
from edgebrain.signal.probe import speech_like
import numpy as np
import pytest
import soundfile
import torch

ROOT = Path(__file__).parents[2]
LAYERS = [
    {"layer_type": "conv1d", "layer_neurons": 8, "kernel_size": 6},
    {"layer_type": "lstm", "layer_neurons": 8},
    {"layer_type": "fc", "layer_neurons": 257, "activation": "sigmoid"},
]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*words):
    module = script("export_speechbrain")
    with module.exit_on_user_error():
        module.main([str(word) for word in words])


@pytest.fixture(scope="module")
def results(small_network, results_folder):
    """Return a results folder of each kind of network."""
    torch.manual_seed(0)
    models = {
        "tcnn": small_network(),
        "noncausal": small_network(causal=False, mask_activation="tanh"),
        "conv_lstm": ConvLSTM(hidden_size=8, num_layers=1),
        "lstm_mask": LSTMMask(hidden_size=8),
        "nnse": NNSE(LAYERS),
        "custom": script("custom_model").CustomModel(hidden_size=8),
    }
    return {
        name: results_folder([model.eval()]) for name, model in models.items()
    }


# What the README of an export says, and nothing of this project.
ALONE = """
import sys
sys.path.append(sys.argv.pop(1))
import guard_torchaudio
sys.path.pop()
sys.modules["edgebrain"] = sys.modules["custom_model"] = None
import numpy as np, torch
for name in sys.argv[1:]:
    usage = open(f"{name}.py").read()
    exec(usage)
    noisy = torch.from_numpy(np.load("noisy.npy"))
    batch = enhancer.enhance_batch(noisy, lengths=torch.ones(len(noisy)))
    np.save(f"{name}.npy", batch.numpy())
"""


@pytest.mark.slow
@pytest.mark.integration
def test_exports_of_all_networks_load_with_speechbrain_alone(
    results, tmp_path, capsys
):
    wav = speech_like(1.3, 16000)
    batch = np.stack([wav, 0.1 * wav[::-1]])
    soundfile.write(tmp_path / "noisy.wav", wav, 16000, subtype="FLOAT")
    np.save(tmp_path / "noisy.npy", batch)
    for name, folder in results.items():
        run(folder, "--output_folder", tmp_path / f"moved {name}")
        readme = (tmp_path / f"moved {name}" / "README.md").read_text()
        (usage,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
        usage = usage.replace("THIS_FOLDER", f"moved {name}")
        usage = usage.replace("enhanced.wav", f"{name}.wav")
        (tmp_path / f"{name}.py").write_text(usage)
    printed = capsys.readouterr().out
    assert printed.count("largest difference") == len(results)
    (tmp_path / "alone.py").write_text(ALONE)
    guard = ROOT / "templates" / "enhancement"
    subprocess.run(
        [sys.executable, "alone.py", guard, *results],
        cwd=tmp_path,
        check=True,
        timeout=300,
    )
    for name, folder in results.items():
        enhancer = load_enhancer(folder)
        wanted = np.stack([enhancer.enhance(item) for item in batch])
        got = np.load(tmp_path / f"{name}.npy")
        assert np.abs(got - wanted).max() < 1e-4, name
        assert np.abs(wanted[0] - wav).max() > 0.05, name
        file, rate = soundfile.read(tmp_path / f"{name}.wav")
        assert rate == 16000
        assert np.abs(file - wanted[0]).max() < 1e-4, name


def test_default_folder_and_refusals(results, capsys, tmp_path):
    folder = results["custom"]
    run(folder)
    assert f"{folder}/export/speechbrain" in capsys.readouterr().out
    names = sorted(p.name for p in (folder / "export/speechbrain").iterdir())
    assert names == [
        "README.md",
        "enhancer.py",
        "inference.yaml",
        "network.ckpt",
        "written.json",
    ]
    checkpoint = next((folder / "save").iterdir()).name
    run(folder, "--checkpoint", checkpoint)
    exported = folder / "export/speechbrain"
    before = (exported / "inference.yaml").read_text()
    run(results["tcnn"], "--output_folder", exported)
    assert (exported / "inference.yaml").read_text() != before
    (exported / "README.md").write_text("mine")
    with pytest.raises(SystemExit) as stop:
        run(folder)
    assert stop.value.code == 2
    assert "README.md: edited" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        run(tmp_path)
    assert stop.value.code == 2
    assert "no checkpoint there" in capsys.readouterr().err
