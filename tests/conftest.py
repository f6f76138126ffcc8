"""Shared by all tests."""

import os

# Two worker processes a machine: more threads each only take turns.
os.environ.setdefault("OMP_NUM_THREADS", "1")
