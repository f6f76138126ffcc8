"""What the scripts share: errors as one message, arguments of models.

Nothing heavy is imported here.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
import dataclasses
import io
import signal
import sys

from edgebrain import interrupts  # noqa: F401 (before anything large)
from edgebrain.checks import Number, switch
from edgebrain.errors import UserError

_SIGNAL = {bool: switch, int: Number(whole=True), float: Number()}


@contextmanager
def exit_on_user_error(stopped: str = "stopped") -> Iterator[None]:
    """Turn errors into a line: a UserError with exit status 2, the system's 1.

    Ctrl-C and SIGTERM end with 130, after what is open is put away.
    """
    interrupted = []
    if isinstance(sys.stdout, io.TextIOWrapper):
        # In a file or a pipe too a line is there when it is written.
        sys.stdout.reconfigure(line_buffering=True)

    def interrupt(number, frame):
        """Note the signal and raise, whatever library is at work."""
        interrupted.append(number)
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    except UserError as error:
        print(f"\nerror: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(f"\nerror: {place}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except (KeyboardInterrupt, ImportError) as error:
        # C extensions make an ImportError of a Ctrl-C while they are loaded.
        if isinstance(error, ImportError) and not interrupted:
            raise
        print(f"\n{stopped}", file=sys.stderr)
        sys.exit(130)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def script_parser(text: str) -> argparse.ArgumentParser:
    """Return a parser with the text of a script as its help."""
    return argparse.ArgumentParser(
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def read_options(
    parser: argparse.ArgumentParser,
    argv: Sequence[str],
    check: Callable[[argparse.Namespace], object] | None = None,
) -> argparse.Namespace:
    """Parse a command line, and stop there if it asks for no more.

    Arguments
    ---------
    parser : argparse.ArgumentParser
        Gets ``--check_options``, with which a script stops before any work.
    check : callable, optional
        Raises UserError for what the parser cannot tell.
    """
    parser.add_argument(
        "--check_options", action="store_true", help="do this and no more"
    )
    arguments = parser.parse_intermixed_args(argv)
    if check is not None:
        check(arguments)
    if arguments.check_options:
        parser.exit()
    return arguments


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
        rule = _SIGNAL.get(field.type, field.type)
        group.add_argument(f"--{field.name}", type=rule, metavar="VALUE")
    group.add_argument(
        "--context",
        type=Number(whole=True, least=0),
        nargs="+",
        metavar="FRAMES",
        help="of a file that takes a fixed number of frames: how many on "
        "both sides, or left and right, are context",
    )
    group.add_argument(
        "--threads",
        type=Number(whole=True, least=1),
        metavar="N",
        help="default: 1",
    )


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
