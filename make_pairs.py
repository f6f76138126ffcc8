#!/usr/bin/env python3
"""Write the mixtures of a recipe out as pairs of clean and noisy wavs.

    python make_pairs.py train.yaml --split test --output_folder pairs
        [--data_folder D] [--key value ...]

makes pairs/clean_testset_wav, pairs/noisy_testset_wav and
pairs/mixed_testset.csv, which says what was mixed into each file. They are
the mixtures that train.py uses with the same yaml, seed and data. For
``--split train`` they are those of one epoch; ``--crop_seconds null`` gives
whole utterances instead of crops.
"""

import sys

from edgebrain.command_line import exit_on_user_error, script_parser
from edgebrain.enhancement.brain import EnhancementBrain
from edgebrain.enhancement.recipe import make_datasets
from edgebrain.enhancement.write_pairs import SPLITS, write_pairs
from edgebrain.training.config import load_hparams, parse_arguments


def main(argv):
    """Run with the words of the command line."""
    parser = script_parser(__doc__)
    parser.add_argument("hparams_file", help="yaml of the recipe")
    parser.add_argument("--split", choices=sorted(SPLITS), default="test")
    parser.add_argument("--output_folder", required=True)
    parser.add_argument(
        "--epoch", type=int, default=1, help="of --split train (default: 1)"
    )
    known, rest = parser.parse_known_args(argv)
    hparams_file, _, overrides = parse_arguments(
        [known.hparams_file, "--output_folder", known.output_folder, *rest],
        EnhancementBrain.keys,
    )
    hparams = load_hparams(hparams_file, overrides, EnhancementBrain.keys)
    dataset = getattr(make_datasets(hparams), known.split)
    dataset.set_epoch(known.epoch)
    table = write_pairs(
        dataset, known.output_folder, known.split, hparams["sample_rate"]
    )
    print(f"{len(dataset)} pairs; what was mixed into each: {table}")


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
