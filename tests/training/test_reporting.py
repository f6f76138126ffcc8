import json
import math

from edgebrain.enhancement.metrics import ClipScores
from edgebrain.signal import SignalSettings
from edgebrain.training.reporting import (
    epoch_line,
    example_clips,
    write_test_results,
)
import numpy as np


def rows(gains):
    noisy = [ClipScores(f"c{i}", {"stoi": 0.5}) for i in range(len(gains))]
    enhanced = [
        ClipScores(f"c{i}", {"stoi": 0.5 + gain})
        for i, gain in enumerate(gains)
    ]
    return {"noisy": noisy, "enhanced": enhanced}


def test_examples_are_best_median_and_worst():
    assert example_clips(rows([0.1, -0.2, 0.3, 0.0, 0.05]), "stoi") == {
        "best": "c2",
        "median": "c4",
        "worst": "c1",
    }


def test_examples_of_few_clips_and_of_failures():
    assert example_clips(rows([0.1]), "stoi") == {"best": "c0"}
    assert example_clips(rows([math.nan, 0.1]), "stoi") == {"best": "c1"}
    assert example_clips(rows([math.nan]), "stoi") == {}


def test_lower_is_better_turns_the_order():
    scores = rows([0.1, -0.2, 0.3])
    for part in scores.values():
        for clip in part:
            clip.values["mse"] = clip.values.pop("stoi")
    assert example_clips(scores, "mse")["best"] == "c1"


def test_epoch_line_begins_with_the_selecting_metric():
    row = {"epoch": 2, "train_loss": 0.5, "valid_loss": 0.4}
    row |= {"noisy_pesq": 1.2, "valid_pesq": 1.5}
    row |= {"noisy_stoi": 0.7, "valid_stoi": 0.8}
    line = epoch_line(row, "stoi")
    assert line.index("stoi 0.7 -> 0.8") < line.index("pesq 1.2 -> 1.5")


def test_results_are_written(tmp_path):
    wave = np.sin(np.arange(8000) / 9).astype(np.float32)
    table = write_test_results(
        tmp_path,
        rows([0.1, math.nan, 0.2]),
        SignalSettings(),
        {"epoch": 3},
        lambda clip_id: (wave, wave, wave),
        {"c0": {"clean_file": "a.wav"}},
    )
    assert table.splitlines()[2].startswith("noisy")
    saved = json.loads((tmp_path / "metrics.json").read_text())
    assert saved["epoch"] == 3
    assert saved["enhanced"]["scored"] == {"stoi": 2}
    names = {path.name for path in tmp_path.iterdir()}
    assert {"per_clip.csv", "table.txt", "spectrograms_best.png"} <= names
