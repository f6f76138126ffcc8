"""enhance.py as people call it."""

import importlib.util
import os
from pathlib import Path
import subprocess
import sys

from edgebrain.command_line import exit_on_user_error
from edgebrain.errors import UserError
import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.integration


def enhance(*words):
    return subprocess.run(
        [sys.executable, ROOT / "enhance.py", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def recording(tmp_path):
    samples = 0.1 * np.random.default_rng(0).standard_normal((50001, 2))
    soundfile.write(tmp_path / "in.wav", samples, 44100, "PCM_24")
    return tmp_path / "in.wav"


def test_a_file_by_each_form(
    recording, tmp_path, causal_folder, onnx_folder, here
):
    outputs = []
    for number, words in enumerate(
        ([causal_folder], [onnx_folder], [onnx_folder, "--form", "patch"])
    ):
        target = tmp_path / f"{number}.wav"
        words = [words[0], recording, target, *words[1:]]
        done = here("enhance.py", *words) if number else enhance(*words)
        assert done.returncode == 0, done.stderr
        assert "real-time factor" in done.stdout
        info = soundfile.info(target)
        assert (info.frames, info.samplerate) == (50001, 44100)
        assert (info.channels, info.subtype) == (2, "PCM_24")
        outputs.append(soundfile.read(target)[0])
    assert np.abs(outputs[0] - outputs[1]).max() < 1e-5
    assert np.abs(outputs[0] - outputs[2]).max() < 1e-5
    assert "torch" not in done.stdout


def test_a_folder_and_no_overwriting(tmp_path, onnx_folder, here):
    samples = 0.1 * np.random.default_rng(0).standard_normal(8000)
    for name in ("a.wav", "sub/b.flac"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, 16000)
    (tmp_path / "in" / "nan.wav").write_bytes(b"")
    words = ("enhance.py", onnx_folder, tmp_path / "in", tmp_path / "out")
    bad = here(*words)
    assert bad.returncode == 2 and "nan.wav: is empty" in bad.stderr
    assert not (tmp_path / "out").exists()
    (tmp_path / "in" / "nan.wav").unlink()
    good = here(*words)
    assert good.returncode == 0, good.stderr
    assert "2 files" in good.stdout
    before = (tmp_path / "out" / "a.wav").read_bytes()
    again = here(*words, "--dry_wet", "0")
    assert again.returncode == 2
    assert "a.wav: exists already; give --overwrite" in again.stderr
    assert "Traceback" not in again.stderr
    assert (tmp_path / "out" / "a.wav").read_bytes() == before
    forced = here(*words, "--dry_wet", "0", "--overwrite")
    assert forced.returncode == 0
    dry, _ = soundfile.read(tmp_path / "out" / "a.wav")
    assert np.abs(dry - samples).max() < 1e-4


def test_attenuation_limit_is_a_floor_under_the_mask(
    recording, tmp_path, onnx_folder
):
    script = load_script()
    outs = {}
    for limit in ("0", "12", "300"):
        out = tmp_path / f"{limit}.wav"
        words = [onnx_folder, recording, out, "--attenuation_limit_db", limit]
        script.main([str(word) for word in words])
        outs[limit], rate = soundfile.read(out)
    noisy, _ = soundfile.read(recording)
    assert np.abs(outs["0"] - noisy).max() < 1e-4
    floor = 10 ** (-12 / 20)
    expected = floor * noisy + (1 - floor) * outs["300"]
    assert np.abs(outs["12"] - expected).max() < 1e-4
    assert np.abs(outs["300"] - noisy).max() > 1e-2


def load_script():
    spec = importlib.util.spec_from_file_location("it", ROOT / "enhance.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_mistakes_are_said_and_leave_nothing(
    recording, tmp_path, onnx_folder, capsys
):
    script = load_script()
    out = tmp_path / "out.wav"
    for words, text in (
        ([tmp_path / "no.onnx", recording, out], "does not exist"),
        ([onnx_folder, recording, out, "--dry_wet", "1.5"], "from 0 to 1, not"),
        (
            [onnx_folder, recording, out, "--attenuation_limit_db", "-3"],
            "attenuation_limit_db: a number from 0",
        ),
        ([onnx_folder, recording], "give INPUT and OUTPUT"),
        ([onnx_folder, "--live", "--record", "3"], "exclude each other"),
        ([onnx_folder, recording, out, "--n_fft", "256"], "n_fft"),
        ([onnx_folder, "--live", recording], "no path"),
    ):
        with pytest.raises(SystemExit) as left, exit_on_user_error():
            script.main([str(word) for word in words])
        assert left.value.code == 2
        assert text in capsys.readouterr().err
        assert not out.exists()


def test_without_microphone(onnx_folder, tmp_path, capsys, monkeypatch):
    script = load_script()
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    for words in (["--live"], ["--record", "1", tmp_path / "out.wav"]):
        with pytest.raises(UserError, match="pip install"):
            script.main([str(onnx_folder), *map(str, words)])
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder that is a disk of 512 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no mount ({error})")
    if done.returncode:
        pytest.skip(f"a disk cannot be mounted ({done.stderr.strip()})")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_named_and_loses_nothing(tmp_path, small_disk):
    model = ROOT / "models" / "tcnn-120k" / "stream_int8.onnx"
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name in "abc":
        wav = rng.uniform(-0.9, 0.9, 160000)
        soundfile.write(tmp_path / "in" / f"{name}.flac", wav, 16000)
    out = small_disk / "out"
    out.mkdir()
    (out / "b.flac").write_bytes(b"of yesterday")
    words = [model, tmp_path / "in", out, "--dry_wet", "0", "--overwrite"]
    done = enhance(*words)
    assert done.returncode == 2
    for name in "bc":
        said = f"{out / name}.flac: cannot be written (the disk is full)"
        assert said in done.stderr
    assert "\n1 file, 10.0 s of audio" in done.stdout
    assert (out / "b.flac").read_bytes() == b"of yesterday"
    assert sorted(p.name for p in out.iterdir()) == ["a.flac", "b.flac"]
    first, _ = soundfile.read(out / "a.flac")
    assert (first == soundfile.read(tmp_path / "in" / "a.flac")[0]).all()
    # Where nothing can be done, no row says what was done.
    (tmp_path / "in" / "a.flac").unlink()
    done = enhance(*words)
    assert done.returncode == 2 and "file" not in done.stdout
