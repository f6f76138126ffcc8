"""How far long work is: a bar on a terminal, elsewhere a line now and then."""

import sys
import threading
import weakref

from tqdm import tqdm

#: Seconds between two lines where there is no terminal.
LINE_SECONDS = 10.0
#: Seconds between two looks at a bar.
BAR_SECONDS = 1.0
_SHARE = "{desc}: {percentage:.0f} %, {elapsed} gone, {remaining} left{postfix}"
_TIME = "{desc}: {elapsed} gone"


class Progress(tqdm):
    """A tqdm bar; without a terminal a line each :data:`LINE_SECONDS`.

    A thread of its own writes the line, so that it comes while a step takes
    long as well. Work that is done before leaves none.

    Arguments
    ---------
    *args, **kwargs
        As of tqdm; ``desc`` says what is done.
    """

    def __init__(self, *args, **kwargs):
        self._over = threading.Event()
        self._lines = not sys.stderr.isatty()
        if self._lines:
            # An update is looked at each time, and shown by the thread alone.
            kwargs |= {"leave": False, "delay": 1e-9, "miniters": 1}
        super().__init__(*args, **kwargs)
        if self.disable:
            return
        if self._lines:
            self.bar_format = _SHARE if self.total else _TIME
        seconds = LINE_SECONDS if self._lines else BAR_SECONDS
        # Known weakly: a bar that is dropped is closed, and ends the thread.
        words = (weakref.ref(self), self._over, seconds)
        threading.Thread(target=_tick, args=words, daemon=True).start()

    def tick(self) -> None:
        """Show how far it is now."""
        if self._lines:
            self.fp.write(f"{self}\n")
            self.fp.flush()
        else:
            self.refresh()

    def display(self, msg=None, pos=None):
        """Draw the bar, where there is a terminal."""
        return False if self._lines else super().display(msg, pos)

    def close(self):
        """End the bar and its thread."""
        self._over.set()
        super().close()


def _tick(reference, over, seconds) -> None:
    while not over.wait(seconds):
        if (progress := reference()) is None:
            return
        progress.tick()
        del progress


def working(label: str) -> Progress:
    """Return a context that shows how long a step takes.

    Arguments
    ---------
    label : str
        What is done, as in "exporting the patch form".
    """
    return Progress(desc=label, leave=False, bar_format=_TIME)
