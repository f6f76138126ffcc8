#!/usr/bin/env python3
"""Export a trained model as a folder that SpeechBrain alone can load.

    python export_speechbrain.py results/tcnn/1234

The folder's README.md says how SpeechBrain loads it, with foreign_class and
without this project. The folder can be moved, renamed or uploaded; it is
loaded with SpeechBrain and compared with the checkpoint before it appears.
An export that was made before is replaced, files of yours are not.
"""

from pathlib import Path
import sys

from edgebrain.command_line import exit_on_user_error, script_parser


def parse(argv):
    """Return the arguments of the command line."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("results", metavar="RESULTS", help="results/<name>/<seed>")
    add("--output_folder", help="default: RESULTS/export/speechbrain")
    add("--checkpoint", help="name or folder of one (default: the best)")
    return parser.parse_args(argv)


def main(argv):
    """Run with the words of the command line."""
    arguments = parse(argv)
    # Slow to import: after the command line is known to be right.
    from edgebrain.enhancement.speechbrain_export import export_speechbrain
    from edgebrain.training.results import load_model

    loaded = load_model(arguments.results, arguments.checkpoint)
    print(f"checkpoint          {loaded.info.line()}")
    folder = Path(arguments.results) / "export" / "speechbrain"
    folder = arguments.output_folder or folder
    difference = export_speechbrain(loaded, folder)
    print(f"largest difference  {difference:.2g} of a sample, from PyTorch")
    print(f"folder              {folder}")


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
