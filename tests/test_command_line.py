"""How scripts end."""

import signal
import subprocess
import sys

from edgebrain.command_line import exit_on_user_error
from edgebrain.errors import UserError
import pytest


def test_errors_of_a_user_are_one_message(capsys):
    with pytest.raises(SystemExit) as left, exit_on_user_error():
        raise UserError("x.wav: silent: take another")
    assert left.value.code == 2
    assert capsys.readouterr().err == "\nerror: x.wav: silent: take another\n"


def test_ctrl_c_that_an_import_swallows_is_no_missing_package(capsys):
    """As numpy does, which then says that it is badly installed."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as left, exit_on_user_error():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("badly installed") from None
    assert left.value.code == 130
    assert capsys.readouterr().err == "\nstopped\n"
    assert signal.getsignal(signal.SIGINT) is before


def test_a_missing_package_stays_an_error():
    with pytest.raises(ImportError, match="x"), exit_on_user_error():
        raise ImportError("x")


def test_ctrl_c_while_a_package_is_imported_ends_in_one_line(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    )
    code = (
        "from edgebrain.command_line import exit_on_user_error\n"
        f"import sys\nsys.path.append({str(tmp_path)!r})\n"
        "with exit_on_user_error():\n    import slow\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (130, "\nstopped\n")
