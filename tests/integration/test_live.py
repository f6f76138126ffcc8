"""enhance.py and detect.py --live on a sound server without a sound card."""

import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

from edgebrain.data.embedded.noises import make_noise
import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "enhance.py"
RATE = 16000
#: LIVE_SECONDS=600 pytest -k stream_through: ten minutes, by hand.
LONG = int(os.environ.get("LIVE_SECONDS", "60"))
#: Fits no number of 10 ms, so that a lost piece shows as a jump of phase.
TONE_HZ = 997.0
MISSING = [
    tool
    for tool in ("pulseaudio", "paplay", "parec", "pactl")
    if not shutil.which(tool)
]
try:
    import sounddevice  # noqa: F401
except (ImportError, OSError):
    MISSING.append("sounddevice or libportaudio2")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}"),
]


@pytest.fixture
def server(tmp_path):
    """Return the environment of a sound server with two null sinks.

    ``speech`` is what the microphone hears, ``heard`` what is played.
    """
    socket = tmp_path / "socket"
    words = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1"]
    modules = [f"module-native-protocol-unix auth-anonymous=1 socket={socket}"]
    for name in ("speech", "heard"):
        modules.append(
            f"module-null-sink sink_name={name} rate={RATE} channels=1 "
            "format=float32le"
        )
    for module in modules:
        words += ["-L", module]
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PULSE_SERVER": f"unix:{socket}",
        "PULSE_SOURCE": "speech.monitor",
    }
    with open(tmp_path / "server.log", "w") as log:
        process = subprocess.Popen(
            words, env=environment, stdout=log, stderr=log
        )
    for _ in range(100):
        done = subprocess.run(
            ["pactl", "info"], env=environment, capture_output=True
        )
        if not done.returncode:
            break
        time.sleep(0.1)
    assert not done.returncode, (tmp_path / "server.log").read_text()
    yield environment
    process.terminate()
    process.wait(10)


def longest_tone(wave):
    """Return how many samples of the tone follow without a jump."""
    wave = wave.astype(float)
    factor = 2 * np.cos(2 * np.pi * TONE_HZ / RATE)
    rest = np.abs(wave[2:] - factor * wave[1:-1] + wave[:-2])
    # Digital silence continues no tone.
    silent = np.convolve(np.abs(wave), np.ones(3), "valid") == 0
    breaks = np.flatnonzero((rest > 12) | silent)
    return int(np.diff(np.concatenate([[0], breaks, [len(rest)]])).max())


def test_a_jump_ends_a_tone():
    tone = 8000 * np.sin(2 * np.pi * TONE_HZ / RATE * (np.arange(RATE) + 0.3))
    whole = np.rint(tone)
    assert longest_tone(whole) > RATE - 10
    assert longest_tone(np.delete(whole, slice(9000, 9160))) < 9010
    assert longest_tone(np.insert(whole, 9000, np.zeros(160))) < 9010


@pytest.mark.parametrize(
    "seconds", [5, pytest.param(LONG, marks=pytest.mark.slow)]
)
def test_a_stream_through_the_sound_server_loses_nothing(
    seconds, server, causal_folder, tmp_path
):
    time_axis = np.arange((seconds + 1) * RATE) / RATE
    tone = 0.25 * np.sin(2 * np.pi * TONE_HZ * time_axis + 0.3)
    soundfile.write(tmp_path / "tone.wav", tone, RATE, "FLOAT")
    words = [sys.executable, SCRIPT, causal_folder, "--live"]
    words += ["--dry_wet", "0", "--microphone", "pulse"]
    # Tests run beside each other: more patience than a desk needs.
    words += ["--loudspeaker", "pulse", "--ahead_ms", "400"]
    with open(tmp_path / "heard", "wb") as heard:
        recorder = subprocess.Popen(
            ["parec", "-d", "heard.monitor", "--format=s16le", "--channels=1"]
            + [f"--rate={RATE}"],
            env=server,
            stdout=heard,
        )
        live = subprocess.Popen(
            words,
            env={**server, "PULSE_SINK": "heard"},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert "latency" in live.stdout.readline()
            assert f"live at {RATE} Hz" in live.stdout.readline()
            time.sleep(2)  # until the devices run
            subprocess.run(
                ["paplay", "-d", "speech", tmp_path / "tone.wav"],
                env=server,
                check=True,
            )
            time.sleep(2)  # the rest of it is on its way
            live.send_signal(signal.SIGINT)
            said = live.communicate(timeout=30)[0]
        finally:
            live.kill()
            recorder.terminate()
            recorder.wait(10)
    assert not live.returncode
    assert said.rstrip().endswith("lost 0"), said
    wave = np.fromfile(tmp_path / "heard", "<i2")
    # The server itself cuts a little of the ends.
    assert seconds * RATE <= longest_tone(wave) <= (seconds + 1) * RATE


def test_devices_are_listed_and_chosen_by_name(server):
    def run(*words):
        return subprocess.run(
            [sys.executable, SCRIPT, *words],
            env=server,
            capture_output=True,
            text=True,
        )

    done = run("--devices")
    assert not done.returncode and "pulse" in done.stdout
    done = run("none", "--live", "--microphone", "cello")
    assert done.returncode == 2
    assert "cello: not one input device" in done.stderr


def test_a_detector_says_what_the_microphone_hears(server, tmp_path):
    rain = make_noise("rain", "test", 4.0, RATE, np.random.default_rng(1))[0]
    quiet = np.zeros(2 * RATE)
    soundfile.write(
        tmp_path / "rain.wav",
        np.concatenate([quiet, 0.2 * rain / np.abs(rain).max(), quiet]),
        RATE,
    )
    model = ROOT / "models" / "yamnet-256-esc10"
    words = [sys.executable, ROOT / "detect.py", model, "--live"]
    live = subprocess.Popen(
        [*words, "--form", "stream", "--microphone", "pulse"],
        env=server,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert "stream float32, 10 classes" in live.stdout.readline()
        subprocess.run(
            ["paplay", "-d", "speech", tmp_path / "rain.wav"],
            env=server,
            check=True,
        )
        live.send_signal(signal.SIGINT)
        lines = live.communicate(timeout=30)[0].splitlines()
    finally:
        live.kill()
    assert live.returncode == 130
    # A line when what is heard changes, and no other.
    names = [line.split()[2] for line in lines]
    assert "rain" in names, lines
    assert all(a != b for a, b in zip(names, names[1:], strict=False))
    heard = float(lines[names.index("rain")].split()[0])
    assert 0.5 < heard < 12.0
