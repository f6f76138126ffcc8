"""evaluate.py as people call it."""

import csv
import importlib.util
import json
import os
from pathlib import Path
import subprocess
import sys

from edgebrain.command_line import exit_on_user_error
import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.integration


def evaluate(*words, cwd=None):
    return subprocess.run(
        [sys.executable, ROOT / "evaluate.py", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    time = np.arange(20000) / 16000
    voice = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 12))
    for number in range(3):
        rng = np.random.default_rng(number)
        clean = 0.05 * voice * (1 + np.sin(2 * np.pi * (3 + number) * time))
        noisy = clean + 0.02 * rng.standard_normal(len(clean))
        for side, wav in (("clean", clean), ("noisy", noisy)):
            path = folder / side / "p1" / f"u{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, wav, 16000)
    return ["--noisy_folder", folder / "noisy"] + [
        "--clean_folder",
        folder / "clean",
    ]


def test_one_model(folders, causal_folder, tmp_path):
    done = evaluate(
        causal_folder,
        *folders,
        *("--metrics", "stoi", "si_snr", "--n_jobs", "1", "--save_enhanced"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    head = next(k for k, line in enumerate(lines) if "STOI" in line)
    assert lines[head + 2].startswith("noisy")
    assert lines[head + 3].startswith("enhanced")
    [out] = (tmp_path / "results" / "evaluation").iterdir()
    content = json.loads((out / "metrics.json").read_text())
    assert content["noisy"]["n"] == content["enhanced"]["n"] == 3
    facts = content["models"]["enhanced"]
    assert facts["form"] == "torch" and facts["checkpoint_sha256"]
    with (out / "per_clip.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["p1/u0", "p1/u1", "p1/u2"]
    mean = np.mean([float(row["enhanced_stoi"]) for row in rows])
    assert content["enhanced"]["mean"]["stoi"] == pytest.approx(mean, abs=1e-5)
    wav = soundfile.info(out / "enhanced" / "p1" / "u1.wav")
    assert wav.frames == 20000
    assert not (out / "report.html").exists()


@pytest.mark.slow
def test_forms_side_by_side(
    folders, causal_folder, onnx_folder, tmp_path, here
):
    out = tmp_path / "out"
    files = [onnx_folder / f"{f}.onnx" for f in ("offline", "patch", "stream")]
    done = here(
        "evaluate.py",
        *(causal_folder, "--compare", *files, *folders),
        *("--gain_db", "-20", "-10", "0", "10", "--n_jobs", "1"),
        *("--output_folder", out, "--report_clips", "2"),
    )
    assert done.returncode == 0, done.stderr
    content = json.loads((out / "metrics.json").read_text())
    names = list(content["models"])
    assert names[1:] == ["offline", "patch", "stream"]
    ours = content[names[0]]["mean"]
    assert set(ours) >= {"pesq", "stoi", "estoi", "csig", "cbak", "covl"}
    for name in names[1:]:
        for metric, value in content[name]["mean"].items():
            assert value == pytest.approx(ours[metric], abs=1e-3)
    assert list(content["levels"]) == ["-20", "-10", "0", "10"]
    assert "by input level" in (out / "table.txt").read_text()
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 2 * (2 + len(names))
    assert "softer or louder" in page


def test_somebody_elses_file(folders, onnx_folder, tmp_path, here):
    import onnx

    model = onnx.load(onnx_folder / "offline.onnx")
    del model.metadata_props[:]
    path = tmp_path / "foreign.onnx"
    onnx.save(model, path)
    words = [path, *folders, "--output_folder", tmp_path / "out"]
    words += ["--metrics", "si_snr", "--n_jobs", "1"]
    without = here("evaluate.py", *words)
    assert without.returncode == 2 and "no metadata" in without.stderr
    assert not (tmp_path / "out").exists()
    settings = ["--sample_rate", "16000", "--n_fft", "512"]
    settings += ["--win_length", "400", "--hop_length", "160"]
    done = here("evaluate.py", *words, *settings)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "metrics.json").is_file()


def test_mistakes_are_said_and_change_nothing(
    folders, onnx_folder, tmp_path, capsys
):
    spec = importlib.util.spec_from_file_location("it", ROOT / "evaluate.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    out = tmp_path / "out"
    out.mkdir()
    (out / "metrics.json").write_text("{}")
    lonely = tmp_path / "clean"
    lonely.mkdir()
    soundfile.write(lonely / "x.wav", np.zeros(10), 16000)
    noisy = folders[:2]
    for words, text in (
        ([onnx_folder, *noisy, "--clean_folder", lonely], "4 problems"),
        ([onnx_folder, *folders, "--metrics", "pesk"], "did you mean pesq"),
        ([*folders], "give MODEL"),
        ([tmp_path / "gone", *folders], "does not exist"),
        ([onnx_folder, *folders, "--names", "a", "b"], "1 models but 2"),
        ([onnx_folder, *folders, "--n_jobs", "0"], "number from 1, not '0'"),
    ):
        words = [str(word) for word in (*words, "--output_folder", out)]
        with pytest.raises(SystemExit) as left, exit_on_user_error():
            script.main(words)
        assert left.value.code == 2
        assert text in capsys.readouterr().err
        assert [p.name for p in out.iterdir()] == ["metrics.json"]
        assert (out / "metrics.json").read_text() == "{}"
