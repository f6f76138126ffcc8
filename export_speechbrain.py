#!/usr/bin/env python3
"""Export a trained model as a folder that SpeechBrain alone can load.

    python export_speechbrain.py results/tcnn/1234

Its user types, without this project being there:

    from speechbrain.inference.enhancement import SpectralMaskEnhancement
    enhancer = SpectralMaskEnhancement.from_hparams(
        source="results/tcnn/1234/export/speechbrain",
        hparams_file="inference.yaml")
    enhancer.enhance_file("noisy.wav", "enhanced.wav")

The folder can be moved, renamed or uploaded. It is loaded with SpeechBrain
and compared with the checkpoint before it appears. Its README.md says what to
do where torchaudio does not import beside a CPU build of torch.
"""

import argparse
from pathlib import Path
import sys

from edgebrain.command_line import exit_on_user_error


def parse(argv):
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("results", metavar="RESULTS", help="results/<name>/<seed>")
    add(
        "--output_folder",
        type=Path,
        metavar="E",
        help="default: RESULTS/export/speechbrain",
    )
    add(
        "--checkpoint",
        metavar="CKPT",
        help="name or folder of a checkpoint (default: the best)",
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace an export that was made of another checkpoint",
    )
    return parser.parse_args(argv)


def main(argv):
    """Run with the words of the command line."""
    arguments = parse(argv)
    # Slow to import: after the command line is known to be right.
    from edgebrain.enhancement.speechbrain_export import export_speechbrain
    from edgebrain.training.results import load_model

    loaded = load_model(arguments.results, arguments.checkpoint)
    print(f"checkpoint          {loaded.info.line()}")
    folder = arguments.output_folder
    if folder is None:
        folder = Path(arguments.results) / "export" / "speechbrain"
    exported = export_speechbrain(loaded, folder, arguments.overwrite)
    print(f"network             {exported.size:,} bytes")
    print(
        f"largest difference  {exported.difference:.2g} from PyTorch in a "
        "sample, loaded with SpeechBrain"
    )
    print(f"folder              {folder}")


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
