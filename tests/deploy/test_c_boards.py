"""The C code on emulated Cortex-M4, M33 and M55: the bits of the host."""

import shutil
import subprocess

from c_models import ENHANCERS, build, released, sound
from edgebrain.data import audio
import numpy as np
import pytest
import soundfile

BOARDS = ("m4", "m33", "m55")
TOOLS = ("cc", "make", "arm-none-eabi-gcc", "qemu-system-arm")
MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {' '.join(MISSING)}"
)


def run(folder, board):
    """Return the counts that the board prints."""
    (folder / "enhanced.wav").unlink(missing_ok=True)
    done = subprocess.run(
        ["make", "-s", f"run-{board}"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert not done.returncode, done.stdout + done.stderr
    words = done.stdout.split()
    return dict(zip(words[::2], map(int, words[1::2]), strict=True))


@pytest.mark.parametrize(
    "name, precision",
    [
        ("tcnn", "int8"),
        ("tcnn_prelu", "int16x8"),
        pytest.param("tcnn_late", "int8", marks=pytest.mark.slow),
        ("lstm", "int8"),
        pytest.param("lstm", "int16x8", marks=pytest.mark.slow),
        pytest.param("nnse", "int8", marks=pytest.mark.slow),
        pytest.param("nnse", "int16x8", marks=pytest.mark.slow),
    ],
)
def test_boards_give_the_bits_of_the_host(name, precision, generated):
    program, folder = generated(name, precision)
    signal = program.metadata.signal
    pcm = sound(40 * signal.hop_length + 7, 6)
    pcm[100:110] = 32767
    pcm[200:210] = -32768
    soundfile.write(folder / "noisy.wav", pcm, signal.sample_rate)
    subprocess.run(
        ["./enhance_wav", "noisy.wav", "host.wav"], cwd=folder, check=True
    )
    host = (folder / "host.wav").read_bytes()
    assert audio.inspect(folder / "host.wav").frames == len(pcm)
    enhanced = soundfile.read(folder / "host.wav", dtype="int16")[0]
    assert np.ptp(enhanced.astype(int)) > 50
    build(folder, "boards")
    for board in BOARDS:
        counts = run(folder, board)
        assert (folder / "enhanced.wav").read_bytes() == host, board
        late = program.metadata.lookahead_frames or 0
        assert counts["frames"] >= 40 + late
        assert 0 < counts["network"] < counts["instructions"]


@pytest.mark.slow
def test_vector_instructions_give_the_bits_of_plain_loops(generated):
    _, folder = generated("tcnn", "int8")
    soundfile.write(folder / "noisy.wav", sound(2000), 16000)
    build(folder, "boards")
    fast = {board: run(folder, board)["network"] for board in BOARDS}
    enhanced = (folder / "enhanced.wav").read_bytes()
    for elf in folder.glob("*.elf"):
        elf.unlink()
    subprocess.run(
        ["make", "-s", "CFLAGS=-O2 -Werror -DEB_SCALAR", "boards"],
        cwd=folder,
        check=True,
    )
    for board in BOARDS:
        assert run(folder, board)["network"] > fast[board]
        assert (folder / "enhanced.wav").read_bytes() == enhanced, board
    for elf in folder.glob("*.elf"):
        elf.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("flags", ["-O0", "-Os", "-O3"])
@pytest.mark.parametrize(
    "name, precision", [("nnse", "int8"), ("lstm", "int16x8")]
)
def test_any_optimisation_gives_the_same_bits(
    name, precision, flags, generated, tmp_path
):
    """gcc 12 moved a vector load before the stores that it reads at -Os."""
    _, made = generated(name, precision)
    folder = tmp_path / "c"
    shutil.copytree(made, folder, ignore=shutil.ignore_patterns("*.elf"))
    soundfile.write(folder / "noisy.wav", sound(2000, 6), 16000)
    subprocess.run(
        ["./enhance_wav", "noisy.wav", "host.wav"], cwd=folder, check=True
    )
    host = (folder / "host.wav").read_bytes()
    subprocess.run(
        ["make", "-s", f"CFLAGS={flags} -Werror", "boards"],
        cwd=folder,
        check=True,
    )
    for board in BOARDS:
        run(folder, board)
        assert (folder / "enhanced.wav").read_bytes() == host, board
    subprocess.run(
        ["make", "-s", "-B", f"CFLAGS={flags} -march=native", "enhance_wav"],
        cwd=folder,
        check=True,
    )
    subprocess.run(
        ["./enhance_wav", "noisy.wav", "again.wav"], cwd=folder, check=True
    )
    assert (folder / "again.wav").read_bytes() == host


@pytest.fixture
def same_flags(monkeypatch):
    """Let a Makefile compile as ``build`` does: a cache then knows it all."""
    monkeypatch.setenv("CFLAGS", "-O2 -Werror")


@pytest.mark.slow
@pytest.mark.usefixtures("same_flags")
@pytest.mark.parametrize("name", ENHANCERS)
def test_cost_of_the_released_networks(name):
    """The limits are what was measured, and a little."""
    from benchmarks import cost

    path = released(name, "int8")
    rows = {row.board: row for row in cost.measure(path)}
    assert list(rows) == list(BOARDS)
    per_mac = {b: r.network / r.macs for b, r in rows.items()}
    assert per_mac["m4"] < 2.1 and per_mac["m33"] < 2.1
    assert per_mac["m55"] < 0.41
    assert all(row.same_as_host for row in rows.values())
    most = 25_000 if name == "tcnn-500k" else 20_000
    assert all(row.ram < most for row in rows.values())


@pytest.mark.slow
@pytest.mark.usefixtures("same_flags")
@pytest.mark.parametrize("name", ["tcnn-120k", "lstm-110k", "nnse-72mel"])
def test_cost_of_pointwise_layers(name):
    from benchmarks import cost

    path = released(name, "int8")
    dense = [
        row for row in cost.measure_layers(path) if row.kernel == "eb_dense_s8"
    ]
    assert {row.board for row in dense} == set(BOARDS)
    limit = {"m4": 1.8, "m33": 1.8, "m55": 0.27}
    for row in dense:
        each = row.instructions / row.macs
        assert each < limit[row.board], f"{row.board} {row.shape}: {each:.2f}"
    per_board = sum(row.macs for row in dense if row.board == "m4")
    assert per_board > 100_000


@pytest.mark.slow
@pytest.mark.usefixtures("same_flags")
def test_dilation_costs_nothing(tmp_path):
    from deploy.c.generator.generate import generate

    folder = tmp_path / "c"
    generate(released("tcnn-120k", "int8"), folder, "net")
    done = subprocess.run(
        ["make", "-s", "profile-m4"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    calls = [line.split() for line in done.stdout.splitlines()]
    spent = [int(c[3]) for c in calls if c[0] == "eb_depthwise_s8"]
    # Dilations 1, 2, 4, 8, twice.
    assert len(spent) == 8
    assert max(spent) - min(spent) < 0.02 * max(spent)
