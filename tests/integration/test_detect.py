"""From a training to events of a recording, by commands alone."""

import csv
import json
from pathlib import Path

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


def test_train_export_quantize_evaluate_detect(here, tmp_path):
    sounds = make_embedded_sounds(tmp_path / "s", clips=2, speech=False)
    out = tmp_path / "out"
    words = [
        *("stream_66k.yaml", "--data_folder", sounds, "--output_folder", out),
        *("--model", SMALL, "--pretrained", "none", *FROM_SCRATCH),
        *("--unknown_classes", "[fan, siren]", "--false_alarm_rate", 0.25),
        *("--number_of_epochs", 8, "--batch_size", 4, "--noprogressbar"),
        *("--cache_folder", tmp_path / "cache", "--device", "cpu"),
    ]
    done = here(RECIPE / "train.py", *words, cwd=RECIPE)
    assert done.returncode == 0, done.stdout + done.stderr
    done = here("export_onnx.py", out)
    assert done.returncode == 0, done.stderr
    export = out / "export"
    done = here(
        "quantize.py",
        *(export / "patch.onnx", "--calibration_folder", sounds),
        *("--num_quantization_samples", 12),
    )
    assert done.returncode == 0, done.stderr
    done = here(
        "evaluate.py",
        *("--compare", out, export / "patch.onnx", export / "patch_int8.onnx"),
        *("--data_folder", sounds, "--fold", 1, "--names", "torch", "onnx"),
        *("int8", "--output_folder", tmp_path / "scores"),
    )
    assert done.returncode == 0, done.stderr
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
    done = here(
        "detect.py",
        *(export / "stream.onnx", tmp_path / "long.wav"),
        *("--output_folder", tmp_path / "events", "--on", 0.14, "--off", 0.1),
    )
    assert done.returncode == 0, done.stderr
    done = here("detect.py", export / "stream.onnx", tmp_path / "long.wav")
    assert f", on {max(threshold, 0.3):g}" in done.stdout
    with (tmp_path / "events" / "long.csv").open() as stream:
        events = list(csv.DictReader(stream))
    assert events
    assert all(1.0 < float(e["start"]) < float(e["end"]) for e in events)
    assert (tmp_path / "events" / "long.png").stat().st_size > 1000
    labels = (tmp_path / "events" / "long.txt").read_text().splitlines()
    assert len(labels) == len(events) and labels[0].count("\t") == 2


def test_refuses_in_words(here, tmp_path):
    (tmp_path / "a.wav").touch()
    for words, message in {
        ("no", "such.wav"): "no recording there",
        ("no", "a.wav"): "does not exist",
        ("x", "a.wav", "--off", "0.9"): "must rise",
    }.items():
        done = here("detect.py", *words, cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr
