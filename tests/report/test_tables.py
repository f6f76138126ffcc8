"""Tables of scores as text, CSV and JSON."""

import csv
import json
import math
import os
from pathlib import Path

from edgebrain.enhancement.metrics import METRICS, at_rate
from edgebrain.files import replacing, write_json
from edgebrain.report.scores import ClipScores
from edgebrain.report.tables import (
    level_table,
    metrics_summary,
    metrics_table,
    per_clip,
    write_results,
)
import numpy as np
import pytest

NAN = math.nan
ROWS = {
    "noisy": [
        ClipScores("a", {"pesq": 1.5, "stoi": 0.9, "mse": 2e-3}),
        ClipScores("b,1", {"pesq": 2.5, "stoi": 0.8, "mse": 4e-3}),
    ],
    "enhanced": [
        ClipScores("a", {"pesq": 2.0, "stoi": 0.95, "mse": 1e-4}),
        ClipScores(
            "b,1",
            {"pesq": NAN, "stoi": 0.9, "mse": 3e-4},
            {"pesq": "silent estimate"},
        ),
    ],
}


def test_text_table():
    lines = metrics_table(ROWS, at_rate(16000)).splitlines()
    assert lines[0].split() == ["PESQ-wb", "↑", "STOI", "↑", "MSE", "↓"]
    assert lines[2].split() == ["noisy", "2.00", "0.8500", "3.00e-03"]
    assert lines[3].split() == ["enhanced", "2.00", "0.9250", "2.00e-04"]
    # The gain in PESQ is that of clip a, not the difference of the means.
    assert lines[4].split() == ["gain", "+0.50", "+0.0750", "-2.80e-03"]
    assert lines[5] == "2 clips"
    assert lines[6:] == [
        "not in the mean: PESQ-wb of 1 enhanced of 2: silent estimate (1)"
    ]
    ends = {len(line) for line in lines[:5]}
    assert len(ends) == 1


def test_units_and_narrow_band():
    rows = {"noisy": [ClipScores("a", {"pesq": 1, "si_snr": 3.0})]}
    lines = metrics_table(rows, at_rate(8000)).splitlines()
    assert "PESQ-nb ↑" in lines[0] and "SI-SNR [dB] ↑" in lines[0]
    assert len(lines) == 4 and lines[-1] == "1 clip"


def test_metric_without_any_success_is_shown_as_missing():
    failed = {"stoi": "too short"}
    rows = {
        name: [ClipScores("a", {"stoi": NAN, "snr": 1.0}, failed)]
        for name in ("noisy", "enhanced")
    }
    lines = metrics_table(rows, METRICS).splitlines()
    assert lines[3].split() == ["enhanced", "-", "1.00"]
    assert lines[4].split() == ["gain", "-", "+0.00"]
    assert "too short (1)" in lines[-1]


def test_several_forms_have_a_gain_each():
    text = metrics_table({**ROWS, "int8": ROWS["noisy"]}, METRICS)
    assert "gain enhanced" in text and "gain int8" in text


def test_per_clip(tmp_path):
    path = tmp_path / "new" / "per_clip.csv"
    files = {"a": {"noisy_file": "x/a.wav", "enhanced_file": "y/a.wav"}}
    write_results(path.parent, {"x": 1}, per_clip(ROWS, files), "a table")
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == [
        *("id", "noisy_file", "enhanced_file", "noisy_pesq", "enhanced_pesq"),
        *("noisy_stoi", "enhanced_stoi", "noisy_mse", "enhanced_mse"),
        "failures",
    ]
    assert rows[0]["enhanced_file"] == "y/a.wav"
    assert float(rows[0]["enhanced_mse"]) == 1e-4
    assert rows[1]["id"] == "b,1" and rows[1]["enhanced_pesq"] == ""
    assert rows[1]["failures"] == "enhanced pesq: silent estimate"
    others = {"metrics.json", "table.txt"}
    assert set(os.listdir(path.parent)) == {"per_clip.csv", *others}
    assert (path.parent / "table.txt").read_text() == "a table\n"


def test_json_is_valid_and_plain(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(
        path,
        {
            "scores": metrics_summary(ROWS),
            "odd": [NAN, math.inf, np.float32(0.5), np.int64(3), np.nan],
            "array": np.array([1.0, NAN]),
            "more": (None, True, "ü", Path("a") / "b"),
        },
    )

    def refuse(name):
        raise AssertionError(name)

    content = json.loads(path.read_text("utf-8"), parse_constant=refuse)
    assert content["odd"] == [None, None, 0.5, 3, None]
    assert content["array"] == [1.0, None]
    assert content["more"] == [None, True, "ü", "a/b"]
    enhanced = content["scores"]["enhanced"]
    assert enhanced["n"] == 2 and enhanced["mean"]["pesq"] == 2
    assert enhanced["failures"] == {"pesq": {"silent estimate": 1}}
    assert content["scores"]["gain"]["enhanced"]["pesq"] == 0.5
    with pytest.raises(TypeError, match="object"):
        write_json(path, object())
    assert json.loads(path.read_text("utf-8")) == content


def test_an_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]
    (tmp_path / "b").touch()
    assert path.stat().st_mode == (tmp_path / "b").stat().st_mode


def test_level_table_has_a_line_for_each_row_and_level():
    def rows(value):
        names = {"noisy": value, "model": value + 0.05}
        return {
            name: [ClipScores("a", {"stoi": score})]
            for name, score in names.items()
        }

    text = level_table({-20.0: rows(0.5), 10.0: rows(0.6)}, METRICS)
    lines = text.splitlines()[2:]
    assert [line.split("  ")[0] for line in lines] == [
        "noisy -20 dB",
        "noisy +10 dB",
        "model -20 dB",
        "model +10 dB",
    ]
    assert lines[3].endswith("0.6500")
