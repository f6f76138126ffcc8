#!/usr/bin/env python3
"""Run training, quantization, evaluation, benchmark and deployment in a row.

    python chain.py tqeb chain.yaml

CHAIN is one of tqeb, tqe, eqe, qb, eqeb, qd: t trains, q exports and
quantizes, e evaluates (before q the float model, after it the quantized
one), b benchmarks for a target of ST Edge AI Core (the tool where it is, else
what can be told from the file), d deploys. CONFIG names the model and gives
each step the options of its script; chain.yaml shows them. A step whose
result is there and still belongs to its input is skipped. What is wrong with
any option is said before the first step.
"""

import argparse
from functools import lru_cache
import importlib.util
from pathlib import Path
import subprocess
import sys

from edgebrain.chain import checks
from edgebrain.chain.config import CHAINS, NAMES, read_config
from edgebrain.chain.stamps import (
    digests,
    foreign_files,
    is_current,
    made_files,
    read_stamp,
)
from edgebrain.chain.steps import Layout, Step, make_layout, own_options, plan
from edgebrain.chain.steps import words as make_words
from edgebrain.chain.words import option_problems
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
    problems = find_problems(config, arguments, layout, steps)
    if problems:
        lines = [
            f"{key}: {text}".replace("\n", "\n    ")
            for key, text in problems.items()
        ]
        raise UserError.collect(str(arguments.config), lines)
    for number, step in enumerate(steps, 1):
        head = f"[{number}/{len(steps)}] {NAMES[step.letter]}"
        if arguments.dry_run:
            lines = [" ".join(command) for command in step.commands]
            print("\n  ".join([head, *lines]))
            continue
        stamp = layout.stamp(step)
        if not arguments.force and is_current(step, stamp):
            print(f"{head}: current, skipped ({_names(step.outputs)})")
            # One of an earlier version becomes one of this.
            write_json(stamp, digests(step, read_stamp(stamp)))
            continue
        print(head, flush=True)
        status = run(step, stamp)
        if status:
            print(
                f"{head} stopped with status {status} (output_folder, where "
                f"it names one, follows from `model` of {arguments.config}: "
                f"{config['model']})",
                file=sys.stderr,
            )
            return status
        missing = [str(p) for p in step.outputs if not p.exists()]
        if missing:
            raise UserError(f"{head}: wrote no {', '.join(missing)}")
        write_json(stamp, digests(step, read_stamp(stamp)))
    return 0


def find_problems(config, arguments, layout: Layout, steps: list[Step]):
    """Return everything that is wrong and can be told before a step runs.

    Returns
    -------
    dict of str to str
        "section.key" to the fault and its mend.
    """
    from deploy.st.targets import get_target

    chain = arguments.chain
    found = [checks.path_problems(config, chain)]
    found.append(checks.cross_problems(config, chain, get_target))
    seen = set()
    for step in steps:
        for script, *rest in step.commands:
            path = ROOT / script
            if not path.is_file():
                raise UserError(f"{script}: is not there")
            if step.letter == "t":
                continue  # needs torch, and is the first step anyway
            section = NAMES[step.letter]
            if script == "export_onnx.py":
                section = "export"
            if section in seen:
                continue
            seen.add(section)
            options = own_options(config, section)
            head = rest[: len(rest) - len(make_words(options))]
            made = [
                key
                for key, value in options.items()
                if checks.is_made(config, key, value)
            ]
            options = {k: v for k, v in options.items() if k not in made}
            found.append(option_problems(_module(path), section, head, options))
    found.append(checks.result_problems(steps, layout, arguments.force))
    problems = {}
    for some in found:
        problems |= {k: v for k, v in some.items() if k not in problems}
    return problems


@lru_cache
def _module(path: Path):
    spec = importlib.util.spec_from_file_location(f"chain_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(step: Step, stamp: Path) -> int:
    """Run the commands of a step; return the first status that is not 0."""
    foreign = foreign_files(step, stamp)
    if foreign:
        raise UserError(checks.foreign_problem(foreign))
    there = any(path.exists() for path in step.outputs)
    for script, *rest in step.commands:
        if not there:
            # What appears there meanwhile is somebody else's.
            rest = [word for word in rest if word != "--overwrite"]
        print(f"  {' '.join([script, *rest])}", flush=True)
        command = [sys.executable, str(ROOT / script), *rest]
        status = subprocess.run(command, check=False).returncode
        if step.letter == "q":
            files = made_files(step, read_stamp(stamp))
            if files:
                write_json(stamp, {"files": files})
        if status:
            return status
    return 0


def _names(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))


if __name__ == "__main__":
    with exit_on_user_error("stopped; the same command goes on from here"):
        sys.exit(main(sys.argv[1:]))
