import os
import signal
import threading
import time

from edgebrain import files
from edgebrain.data.ingest import _in_threads
import pytest


@pytest.fixture
def interrupts():
    """Let Ctrl-C raise, whatever started the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_stopped_in_the_middle_it_leaves_no_half_file(tmp_path, interrupts):
    """At Ctrl-C threads end their file, and begin no other."""
    before = threading.active_count()

    def write(number):
        if number == 20:
            os.kill(os.getpid(), signal.SIGINT)
        with files.replacing(tmp_path / f"{number}.wav") as temporary:
            temporary.write_text("half")
            time.sleep(0.02)

    with pytest.raises(KeyboardInterrupt):
        list(_in_threads(write, range(400), 4))
    there = sorted(path.name for path in tmp_path.iterdir())
    assert 4 < len(there) < 400
    assert not [name for name in there if name.startswith(".")]
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
