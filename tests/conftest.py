"""Shared by all tests."""

import os
import sys

# Two worker processes a machine: more threads each only take turns.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_runtest_setup(item):
    """Let hypothesis look at SpeechBrain's lazy modules.

    It asks every loaded module for ``__file__``; a lazy module whose package
    is not installed answers with ImportError.
    """
    module = sys.modules.get("speechbrain.utils.importutils")
    if module is not None:
        module.LazyModule.__file__ = None
