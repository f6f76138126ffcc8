#!/usr/bin/env python3
r"""Make a web page in which visitors try the C code of models.

    python deploy/web.py models/tcnn-120k models/lstm-110k --output_folder page
    python -m http.server --directory page --bind 127.0.0.1

MODEL is an ONNX file that c_engine.py takes, of an enhancer or of a detector,
or a models/<name> folder. The folder gets the page, for each model its code
as WebAssembly, and synthesised examples; any static server can serve it.
Needs clang and its linker (Debian: clang lld).
"""

from pathlib import Path
import sys

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgebrain.command_line import (  # noqa: E402
    exit_on_user_error,
    script_parser,
)
from edgebrain.progress import working  # noqa: E402


def parse(argv):
    """Return the arguments of the command line."""
    parser = script_parser(__doc__)
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL")
    parser.add_argument(
        "--output_folder", type=Path, required=True, metavar="FOLDER"
    )
    return parser.parse_args(argv)


def main(argv):
    """Run with the words of the command line."""
    arguments = parse(argv)
    from deploy.web.build import build, name_models

    folder = arguments.output_folder
    with working("making the page"):
        entries = build(name_models(arguments.models), folder)
    for entry in entries:
        plain, vectors = (size / 1000 for size in entry["bytes"])
        print(
            f"{entry['name']}: {entry['network']}, {entry['precision']}, "
            f"{plain:.0f} kB, with vectors {vectors:.0f} kB"
        )
    print(
        f"{folder}: index.html, models/, examples/\n"
        f"next: python -m http.server --directory {folder} --bind 127.0.0.1"
    )


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
