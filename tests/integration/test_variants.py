"""Each choice that the yaml offers runs: models, batching, losses, ..."""

import csv
import json
import os
from pathlib import Path
import re
import subprocess
import sys

from edgebrain.errors import UserError
import pytest
import torch

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.integration, pytest.mark.slow]

_MODEL = re.compile(r"^model: .*?(?=^modules:)", re.M | re.S)
_LOSS = re.compile(r"^    terms: .*?(?=^    settings:)", re.M | re.S)
_SCHEDULE = re.compile(r"^lr_scheduler: .*?(?=^grad_acc)", re.M | re.S)
_OPTIMIZER = re.compile(r"^opt_class: .*?(?=^lr_scheduler:)", re.M | re.S)


def edit(path, pattern, new):
    text, count = pattern.subn(new + "\n", path.read_text())
    assert count == 1
    path.write_text(text)
    return path


@pytest.fixture
def run(train, corpus, tmp_path):
    """Train one epoch and test; return the rows of metrics.csv."""

    def once(config, *words):
        out = tmp_path / "out"
        train(
            config,
            *("--data_folder", corpus, "--output_folder", out),
            *("--number_of_epochs", 1, *words),
        )
        assert (out / "test_torch" / "metrics.json").exists()
        with open(out / "metrics.csv") as stream:
            return list(csv.DictReader(stream))

    return once


PSPEC = """!new:edgebrain.enhancement.networks.NNSE
    features: pspec
    layers:
        - {layer_type: conv1d, layer_neurons: 8, kernel_size: 3}
        - {layer_type: fc, layer_neurons: 257, activation: sigmoid}"""


def test_a_model_that_no_recipe_has(run, small_yaml):
    config = edit(small_yaml(), _MODEL, f"model: {PSPEC}")
    assert float(run(config)[0]["train_loss"]) > 0


@pytest.mark.parametrize("batching", ["pad", "dynamic"])
def test_batching(run, small_yaml, batching):
    assert run(small_yaml(), "--batching", batching)


def test_signal_of_another_model(run, small_yaml):
    config = small_yaml(
        **{
            "window: hann ": "window: sqrt_hann ",
            "in_channels: 257 ": "in_channels: 161 ",
            "center: True": "center: False",
            "power: 1.0": "power: 2.0",
            "peak_normalize: False": "peak_normalize: True",
        }
    )
    words = ("--n_fft", 320, "--win_length", 320, "--hop_length", 160)
    row = run(config, *words)[0]
    # the input is scored at its own level, so its SNR is that of the mixing
    assert float(row["valid_si_snr"]) > -10


LOSSES = (
    "spec_mse wave_mse wave_snr wave_sisnr log1p_mse compressed_mag_mse "
    "compressed_complex_mse speech_preservation"
).split()


def test_every_loss_in_a_sum(run, small_yaml):
    terms = "".join(f"\n        {name}: 0.1" for name in LOSSES)
    assert run(edit(small_yaml(), _LOSS, f"    terms:{terms}"))


def test_unknown_loss(run, small_yaml):
    config = edit(small_yaml(), _LOSS, "    terms: {spec_mes: 1.0}")
    with pytest.raises(UserError, match="did you mean spec_mse"):
        run(config)


def test_regularisation(run, small_yaml, tmp_path):
    config = small_yaml(
        **{
            "weight_clipping: null ": (
                "weight_clipping: "
                "!new:edgebrain.training.regularization.WeightClipper\n"
                "    max_value: 0.01 "
            ),
            "activation_regularizer: null ": (
                "activation_regularizer: "
                "!new:edgebrain.training.regularization.ActivationRegularizer\n"
                "    layer_types: [ReLU]\n"
                "    threshold: 1.0e-3\n"
                "    penalty: l1\n"
                "    weight: 1.0 "
            ),
        }
    )
    plain = float(run(small_yaml("plain.yaml"))[0]["train_loss"])
    (tmp_path / "out").rename(tmp_path / "plain")
    assert float(run(config)[0]["train_loss"]) > plain + 0.01
    path = next((tmp_path / "out" / "save").glob("CKPT*/model.ckpt"))
    matrices = [w for w in torch.load(path).values() if w.dim() > 1]
    assert matrices and max(float(w.abs().max()) for w in matrices) <= 0.01


@pytest.mark.parametrize(
    "optimizer, schedule",
    [
        ("torch.optim.SGD", "!new:speechbrain.nnet.schedulers.NewBobScheduler"),
        (
            "torch.optim.RMSprop",
            "!name:torch.optim.lr_scheduler.ReduceLROnPlateau",
        ),
    ],
)
def test_optimizer_and_schedule(run, small_yaml, optimizer, schedule):
    config = edit(
        small_yaml(),
        _OPTIMIZER,
        f"opt_class: !name:{optimizer}\n    lr: !ref <lr>",
    )
    argument = "\n    initial_value: 0.001" if "NewBob" in schedule else ""
    edit(config, _SCHEDULE, f"lr_scheduler: {schedule}{argument}")
    assert run(config)


def test_bf16_accumulation_clipping_and_tensorboard(run, small_yaml, tmp_path):
    pytest.importorskip("tensorboard")
    words = ("--precision", "bf16", "--grad_accumulation_factor", 3)
    words += ("--max_grad_norm", 0.5, "--tensorboard", "True")
    assert run(small_yaml(), *words)
    assert list((tmp_path / "out" / "tensorboard").glob("events*"))


def test_mlflow(run, small_yaml, tmp_path):
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    run(small_yaml(), "--mlflow", "True")
    assert (tmp_path / "out" / "mlflow" / "mlflow.db").exists()


def test_two_processes(small_yaml, corpus, tmp_path):
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        + ["--nproc_per_node", "2", str(ROOT / "train.py"), str(small_yaml())]
        + ["--data_folder", str(corpus), "--output_folder", str(out)]
        + ["--device", "cpu", "--noprogressbar"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with open(out / "metrics.csv") as stream:
        assert len(list(csv.DictReader(stream))) == 2
    result = json.loads((out / "test_torch" / "metrics.json").read_text())
    assert result["enhanced"]["n"] == 4
