#!/usr/bin/env python3
"""Measure speed on this machine and print one table.

    make bench                                     everything
    python benchmarks/run.py --only training       one section

All figures of a table come from one run on one machine. Data are the
embedded corpus and mixtures of it, made first and not timed.
"""

import argparse
import importlib
import os
from pathlib import Path
import platform
import sys

# Sections in the order of the table: name -> module with ``run(folder)``.
SECTIONS = {
    "mixing": "mixing_speed",
    "training": "training",
    "scoring": "scoring_speed",
    "inference": "inference",
    "firmware": "firmware",
    "parity": "parity",
    "web": "web_speed",
}
#: These take hours, and run where they are named.
LONG = {"parity"}


def main(argv):
    """Run the chosen sections and print their rows as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=None)
    parser.add_argument("--cache_folder", type=Path, default=Path("cache"))
    arguments = parser.parse_args(argv)
    here = Path(__file__).parent
    sys.path[:0] = [str(here), str(here.parent)]
    rows = []
    for name in arguments.only or [s for s in SECTIONS if s not in LONG]:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        module = importlib.import_module(SECTIONS[name])
        rows += module.run(arguments.cache_folder)
    print(f"\n{_machine()}\n")
    print("| what | figure |\n|---|---:|")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


def _machine() -> str:
    """Return what this machine is, and whether others use it."""
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [x for x in info.read_text().splitlines() if "model name" in x]
        model = lines[0].partition(":")[2].strip() if lines else model
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return (
        f"{os.cpu_count()} cores of {model}, {platform.system()}, Python "
        f"{platform.python_version()}, torch {torch.__version__} with "
        f"{torch.get_num_threads()} threads; load average at the end {load}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
