#!/usr/bin/env python3
r"""Turn a quantized stream into C99 for any microcontroller.

    python deploy/c_engine.py export/stream_int8.onnx --output_folder firmware

MODEL is an int8 or int16x8 ONNX file of the stream form, as export_onnx.py
and quantize.py write it. The folder gets a header and a source with the
weights, the runtime, a Makefile and examples; deploy/c/README.md says how
they are used. Needs onnx and numpy.
"""

from pathlib import Path
import shlex
import sys

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgebrain.command_line import (  # noqa: E402
    exit_on_user_error,
    read_options,
    script_parser,
)
from edgebrain.progress import working  # noqa: E402


def parse(argv):
    """Return the arguments of the command line."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL")
    add("--output_folder", type=Path, required=True, metavar="FOLDER")
    add("--name", help="prefix of the C names (default: the file's name)")
    return read_options(parser, argv, check)


def check(arguments):
    """Refuse a prefix that would not compile."""
    from deploy.c.generator.generate import check_name

    if arguments.name is not None:
        check_name(arguments.name)


def main(argv):
    """Run with the words of the command line."""
    arguments = parse(argv)
    from deploy.c.generator.c_text import harmless
    from deploy.c.generator.generate import generate

    with working("making the C code"):
        emitter = generate(
            arguments.model,
            arguments.output_folder,
            arguments.name,
        )
    name = emitter.name
    card = emitter.program.metadata
    print(
        f"{arguments.output_folder}: {name}.h, {name}.c, runtime/, examples/\n"
        f"  {harmless(card.model_class.rpartition('.')[2])}, {card.precision}, "
        f"{emitter.summary()}\n"
        f"next: make -C {shlex.quote(str(arguments.output_folder))}"
    )


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
