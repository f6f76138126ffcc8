"""What the scripts share: errors as one message, arguments of models.

Nothing heavy is imported here.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
import dataclasses
import math
import signal
import sys

from edgebrain.errors import UserError

_SWITCH = {"true": True, "yes": True, "false": False, "no": False}


@contextmanager
def exit_on_user_error(stopped: str = "stopped") -> Iterator[None]:
    """Turn a UserError into a message and exit status 2, Ctrl-C into 130.

    Arguments
    ---------
    stopped : str
        What to say after Ctrl-C.
    """
    interrupted = []

    def interrupt(number, frame):
        interrupted.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except UserError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, ImportError) as error:
        # C extensions make an ImportError of a Ctrl-C while they are loaded.
        if isinstance(error, ImportError) and not interrupted:
            raise
        print(f"\n{stopped}", file=sys.stderr)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, before)


def find_problems(**looks: Callable[[], object]) -> dict[str, str]:
    """Return what is wrong with options.

    Arguments
    ---------
    **looks : callable
        By the option it looks at; raises UserError where that cannot be.

    Returns
    -------
    dict of str to str
        Option to the fault and its mend.
    """
    problems = {}
    for name, look in looks.items():
        try:
            look()
        except UserError as error:
            problems[name] = str(error)
    return problems


def refuse(problems: Mapping[str, str]) -> None:
    """Raise what :func:`find_problems` found, if anything.

    Raises
    ------
    UserError
    """
    if len(problems) == 1:
        raise UserError(*problems.values())
    if problems:
        raise UserError.collect("the options cannot be used", problems.values())


def check_number(name: str, value: float | None, least: float) -> None:
    """Refuse a number below ``least``, and NaN or infinity.

    None, an option that was left out, is taken.

    Raises
    ------
    UserError
    """
    if value is not None and not (math.isfinite(value) and value >= least):
        raise UserError(f"--{name} {value}: give a number from {least:g}")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the form to take, and settings of files without metadata."""
    group = parser.add_argument_group("which form of the model")
    group.add_argument(
        "--form",
        help="torch, stream, offline or patch (default: torch of a results "
        "folder; of a folder of ONNX files the first of stream, offline, "
        "patch that is there)",
    )
    group.add_argument(
        "--precision", help="float32, int16x8 or int8 (default: the first)"
    )
    add_signal_arguments(parser)


def add_signal_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the settings of files without metadata."""
    from edgebrain.signal.settings import SignalSettings

    group = parser.add_argument_group(
        "settings of an ONNX file that was not exported by this project"
    )
    for field in dataclasses.fields(SignalSettings):
        kind = {bool: _switch}.get(field.type, field.type)
        group.add_argument(f"--{field.name}", type=kind, metavar="VALUE")
    group.add_argument(
        "--context",
        type=int,
        nargs="+",
        metavar="FRAMES",
        help="of a file that takes a fixed number of frames: how many on "
        "both sides, or left and right, are context",
    )
    group.add_argument("--threads", type=int, metavar="N", help="default: 1")


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise argparse.ArgumentTypeError(f"True or False, not {text!r}")
    return _SWITCH[text.lower()]


def model_arguments(arguments: argparse.Namespace) -> dict:
    """Return what was given of :func:`add_model_arguments`.

    Fit for :func:`edgebrain.enhancement.load_enhancer`; after
    :func:`add_signal_arguments` alone for
    :func:`edgebrain.onnx.runner.load_runner`.
    """
    from edgebrain.signal.settings import SignalSettings

    names = [field.name for field in dataclasses.fields(SignalSettings)]
    names += ["form", "precision", "threads", "context"]
    given = {name: getattr(arguments, name, None) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    if "context" in given:
        sides = given["context"]
        given["context"] = sides[0] if len(sides) == 1 else tuple(sides)
    return given
