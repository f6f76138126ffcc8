#!/usr/bin/env python3
"""Run training, quantization, evaluation, benchmark and deployment in a row.

    python chain.py tqeb chain.yaml

CHAIN is one of tqeb, tqe, eqe, qb, eqeb, qd: t trains, q exports and
quantizes, e evaluates (before q the float model, after it the quantized
one), b benchmarks for a target of ST Edge AI Core (the tool where it is, else
what can be told from the file), d deploys. CONFIG names the model and gives
each step the options of its script; chain.yaml shows them. A step whose
result is there and still belongs to its input is skipped.
"""

import argparse
from functools import lru_cache
import importlib.util
from pathlib import Path
import subprocess
import sys

from edgebrain.chain.config import CHAINS, NAMES, read_config
from edgebrain.chain.stamps import digests, is_current
from edgebrain.chain.steps import Step, make_layout, plan
from edgebrain.command_line import exit_on_user_error
from edgebrain.errors import UserError
from edgebrain.files import write_json

ROOT = Path(__file__).resolve().parent


def parse(argv):
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("chain", choices=CHAINS, metavar="CHAIN")
    add("config", type=Path, metavar="CONFIG")
    add("--force", action="store_true", help="run every step again")
    add("--dry_run", action="store_true", help="show the commands alone")
    return parser.parse_args(argv)


def main(argv):
    """Run with the words of the command line; return the exit status."""
    arguments = parse(argv)
    config = read_config(arguments.config, arguments.chain)
    layout = make_layout(config)
    steps = plan(arguments.chain, config, layout)
    check_words(steps)
    stamps = layout.folder / "chain"
    for number, step in enumerate(steps, 1):
        head = f"[{number}/{len(steps)}] {NAMES[step.letter]}"
        if arguments.dry_run:
            lines = [" ".join(command) for command in step.commands]
            print("\n  ".join([head, *lines]))
            continue
        stamp = stamps / f"{step.key}.json"
        if not arguments.force and is_current(step, stamp):
            print(f"{head}: current, skipped ({_names(step.outputs)})")
            continue
        print(head, flush=True)
        status = run(step)
        if status:
            print(f"{head} stopped with status {status}", file=sys.stderr)
            return status
        missing = [str(p) for p in step.outputs if not p.exists()]
        if missing:
            raise UserError(f"{head}: wrote no {', '.join(missing)}")
        write_json(stamp, digests(step))
    return 0


def check_words(steps: list[Step]) -> None:
    """Let each script look at its words before anything long starts.

    A script prints what is wrong and exits with status 2.
    """
    for step in steps:
        for script, *rest in step.commands:
            path = ROOT / script
            if not path.is_file():
                raise UserError(f"{script}: is not there")
            if step.letter == "t":
                continue  # needs torch, and is the first step anyway
            module = _module(path)
            if hasattr(module, "parse"):
                module.parse(rest)


@lru_cache
def _module(path: Path):
    spec = importlib.util.spec_from_file_location(f"chain_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(step: Step) -> int:
    """Run the commands of a step; return the first status that is not 0."""
    for script, *rest in step.commands:
        print(f"  {' '.join([script, *rest])}", flush=True)
        command = [sys.executable, str(ROOT / script), *rest]
        status = subprocess.run(command, check=False).returncode
        if status:
            return status
    return 0


def _names(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))


if __name__ == "__main__":
    with exit_on_user_error("stopped; the same command goes on from here"):
        sys.exit(main(sys.argv[1:]))
