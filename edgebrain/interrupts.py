"""Ctrl-C while a script still imports what it needs.

Some libraries take a KeyboardInterrupt for a part that is missing, and say
so. Until ``edgebrain.command_line.exit_on_user_error`` takes over, a script
just ends. To be imported before anything large.
"""

import os
from pathlib import Path
import signal
import sys


def _leave(*_) -> None:
    print("\nstopped", file=sys.stderr)
    os._exit(130)


if Path(sys.argv[0]).suffix == ".py" and "pytest" not in sys.modules:
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
