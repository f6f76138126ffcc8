"""A run that is stopped anywhere ends as if it had not been."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parents[2]

# Dropout, gradient accumulation with a remainder and a schedule by steps: all
# that a resume could get wrong.
_LSTM = {
    "model: !new:edgebrain.enhancement.networks.STFTTCNN\n"
    "    in_channels: 257       # n_fft / 2 + 1\n"
    "    bottleneck_channels: 8\n"
    "    n_blocks: 1\n"
    "    num_layers: 2\n"
    "    tcn_latent_dim: 12\n"
    "    kernel_size: 3\n"
    "    init_dilation: 2\n"
    "    causal: True\n"
    "    activation: relu\n"
    "    mask_activation: sigmoid\n"
    "    prologue: power        # linear, log1p, power: |X| ** 0.3": (
        "model: !new:edgebrain.enhancement.networks.LSTMMask\n"
        "    in_channels: 257\n"
        "    hidden_size: 8\n"
        "    num_layers: 2\n"
        "    dropout: 0.3"
    ),
    "batch_size: 2": "batch_size: 1",
    "grad_accumulation_factor: 1": "grad_accumulation_factor: 3",
    "number_of_epochs: 2": "number_of_epochs: 3",
}


def words(config, corpus, out):
    places = ["--data_folder", str(corpus), "--output_folder", str(out)]
    return ["train.py", str(config), *places, "--noprogressbar"]


def start(config, corpus, out):
    """Train with a worker process and a checkpoint a step."""
    script, *more = words(config, corpus, out)
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), *more]
        + ["--num_workers", "1", "--ckpt_interval_steps", "1"],
        cwd=out.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # a suite run in the background hands down that Ctrl-C is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        text=True,
    )


def finish(process):
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    return text


def newest(folder):
    """Return meta and folder of the newest whole checkpoint."""
    found = []
    for path in folder.glob("save/CKPT*/CKPT.yaml"):
        try:
            found.append((yaml.safe_load(path.read_text()), path.parent))
        except FileNotFoundError:
            continue  # it was deleted while we looked
    return max(found, key=lambda x: x[0]["unixtime"], default=({}, None))


def wait_for(folder, condition, process):
    deadline = time.monotonic() + 120
    while not condition(newest(folder)[0]):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def final(folder):
    path = newest(folder)[1]
    state = torch.load(path / "model.ckpt")
    results = {
        name: (folder / name).read_bytes()
        for name in ("metrics.csv", "test_torch/metrics.json")
    }
    return state, results


@pytest.fixture(scope="module")
def config(small_text, tmp_path_factory):
    text = small_text()
    for old, new in _LSTM.items():
        assert old in text, old
        text = text.replace(old, new)
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def whole(config, corpus, here, tmp_path_factory):
    """Return the folder of a run that nothing stopped, without a worker."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    done = here(*words(config, corpus, folder), cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    return folder


def same(one, other):
    assert one[1] == other[1]
    assert one[0].keys() == other[0].keys()
    assert all(torch.equal(one[0][k], other[0][k]) for k in one[0])


def test_kill_interrupt_and_a_worker_change_nothing(
    config, whole, corpus, tmp_path
):
    broken = tmp_path / "broken"
    # killed inside the first epoch
    process = start(config, corpus, broken)
    wait_for(broken, lambda m: m.get("end-of-epoch") is False, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert newest(broken)[0]["end-of-epoch"] is False

    # stopped with Ctrl-C after the first epoch, perhaps inside the second
    process = start(config, corpus, broken)
    wait_for(broken, lambda m: m.get("epoch", 0) >= 1, process)
    os.killpg(process.pid, signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "the same command goes on" in text

    text = finish(start(config, corpus, broken))
    assert "Resuming" in text
    same(final(whole), final(broken))
