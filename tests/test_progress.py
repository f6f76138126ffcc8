"""Progress where nobody sees a bar."""

from pathlib import Path
import re
import threading
import time

from edgebrain import progress
from edgebrain.progress import Progress, working
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.05)


def test_without_a_terminal_there_is_a_line_now_and_then(often, capsys):
    for _ in Progress(range(10), desc="counting"):
        time.sleep(0.03)
    lines = capsys.readouterr().err.splitlines()
    assert 2 < len(lines) < 10
    shares = [int(re.match(r"counting: (\d+) %, ", x)[1]) for x in lines]
    assert shares == sorted(shares) and shares[0] < 50 < shares[-1] < 100


def test_a_step_that_cannot_be_counted_shows_its_time(often, capsys):
    with working("one long step"):
        time.sleep(0.2)
    assert "one long step: 00:00 gone\n" in capsys.readouterr().err


def test_short_work_leaves_no_line_and_no_thread(capsys):
    before = threading.active_count()
    for _ in Progress(range(3), desc="counting"):
        pass
    with working("one short step"):
        pass
    for _ in Progress(range(3)):
        break
    Progress(total=3)  # dropped
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(0.1)
    assert threading.active_count() <= before
    assert not capsys.readouterr().err


def test_on_a_terminal_there_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for _ in Progress(range(3), desc="counting"):
        pass
    text = capsys.readouterr().err
    assert "counting: 100%|" in text and "\r" in text


def test_nothing_else_draws_bars():
    """One way to show progress, for all that takes long."""
    paths = [*ROOT.glob("*.py")]
    for folder in ("edgebrain", "deploy", "recipes", "benchmarks"):
        paths += ROOT.glob(f"{folder}/**/*.py")
    users = [
        path.relative_to(ROOT).as_posix()
        for path in paths
        if re.search(r"^\s*(from|import) tqdm", path.read_text(), re.MULTILINE)
    ]
    assert users == ["edgebrain/progress.py"]
