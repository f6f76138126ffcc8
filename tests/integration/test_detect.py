"""From a training to events of a recording, by commands alone."""

import csv
import json
from pathlib import Path
import subprocess
import sys

from edgebrain.events.synthetic import make_embedded_sounds
import numpy as np
import pytest
import soundfile

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "ESC10" / "event_detection"
#: Learns the synthesised sounds in seconds.
SMALL = "{blocks: [[2, 16], [2, 32]], stem: 8}"
FROM_SCRATCH = (
    "--frozen_layers 0 --freeze_norm False --equalize False --fit_head False "
    "--valid_fold next --patches_per_clip 3 --lr 0.02"
).split() + ["--augmentation", "{mixup: 0.0, speed: 0.0}"]


def run(script, *words, cwd=ROOT):
    done = subprocess.run(
        [sys.executable, str(script), *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_train_export_quantize_evaluate_detect(tmp_path):
    sounds = make_embedded_sounds(tmp_path / "s", clips=2, speech=False)
    out = tmp_path / "out"
    code, text = run(
        "train.py",
        *("stream_66k.yaml", "--data_folder", sounds, "--output_folder", out),
        *("--model", SMALL, "--pretrained", "none", *FROM_SCRATCH),
        *("--unknown_classes", "[fan, siren]", "--false_alarm_rate", 0.25),
        *("--number_of_epochs", 8, "--batch_size", 4, "--noprogressbar"),
        *("--cache_folder", tmp_path / "cache", "--device", "cpu"),
        cwd=RECIPE,
    )
    assert code == 0, text
    code, text = run("export_onnx.py", out)
    assert code == 0, text
    export = out / "export"
    code, text = run(
        "quantize.py",
        *(export / "patch.onnx", "--calibration_folder", sounds),
        *("--num_quantization_samples", 12),
    )
    assert code == 0, text
    code, text = run(
        "evaluate.py",
        *("--compare", out, export / "patch.onnx", export / "patch_int8.onnx"),
        *("--data_folder", sounds, "--fold", 1, "--names", "torch", "onnx"),
        *("int8", "--output_folder", tmp_path / "scores"),
    )
    assert code == 0, text
    scores = json.loads((tmp_path / "scores" / "metrics.json").read_text())
    tested = json.loads((out / "test_torch" / "metrics.json").read_text())
    # 10 clips of 5 classes, of sources never heard: chance has two right.
    assert tested["network"]["clip_accuracy"] >= 60
    assert tested["clips"] == 10 and tested["unknown_clips"] == 10
    with (out / "metrics.csv").open() as stream:
        epochs = list(csv.DictReader(stream))
    assert {"valid_hits", "valid_false_alarms"} <= epochs[-1].keys()
    threshold = tested["unknown_below"]
    assert 0.2 < threshold <= 1
    # Other clips of unknown sounds are in this fold.
    for row in (scores["torch"], tested["network"]):
        assert 0 <= row.pop("false_alarms") <= 100
    scores["onnx"].pop("false_alarms")
    assert scores["torch"] == pytest.approx(tested["network"], abs=1e-3)
    assert scores["onnx"] == pytest.approx(scores["torch"], abs=1e-3)
    assert abs(scores["int8"]["nll"] - scores["onnx"]["nll"]) < 0.3
    page = (tmp_path / "scores" / "report.html").read_text()
    assert page.count("<audio") == 6 and page.count('class="line s0"') == 18
    wav, rate = soundfile.read(sounds / "tone-1-0.wav")
    long = np.concatenate([np.zeros(2 * rate), wav, np.zeros(2 * rate)])
    soundfile.write(tmp_path / "long.wav", long, rate)
    code, text = run(
        "detect.py",
        *(export / "stream.onnx", tmp_path / "long.wav"),
        *("--output_folder", tmp_path / "events", "--on", 0.14, "--off", 0.1),
    )
    assert code == 0, text
    code, plain = run(
        "detect.py", export / "stream.onnx", tmp_path / "long.wav"
    )
    assert code == 0 and f", on {max(threshold, 0.3):g}" in plain
    with (tmp_path / "events" / "long.csv").open() as stream:
        events = list(csv.DictReader(stream))
    assert events
    assert all(1.0 < float(e["start"]) < float(e["end"]) for e in events)
    assert (tmp_path / "events" / "long.png").stat().st_size > 1000
    labels = (tmp_path / "events" / "long.txt").read_text().splitlines()
    assert len(labels) == len(events) and labels[0].count("\t") == 2


def test_refuses_in_words(tmp_path):
    code, text = run("detect.py", tmp_path / "no", tmp_path / "such.wav")
    assert code == 2 and "no recording there" in text
    (tmp_path / "a.wav").touch()
    code, text = run("detect.py", tmp_path / "no", tmp_path / "a.wav")
    assert code == 2 and "does not exist" in text
    code, text = run("detect.py", "x", tmp_path / "a.wav", "--off", "0.9")
    assert code == 2 and "must rise" in text
