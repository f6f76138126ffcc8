#!/usr/bin/env python3
"""Train, select and test a speech enhancement model.

    python train.py train.yaml [--data_folder D] [--key value ...]

Without a data folder it makes the embedded corpus. Running the same command
again continues where it stopped; ``--test_only True`` scores the best
checkpoint again. What lies where is printed at the end.
"""

import sys

from edgebrain.command_line import exit_on_user_error
from edgebrain.enhancement.brain import EnhancementBrain
from edgebrain.enhancement.recipe import make_datasets
from edgebrain.training.experiment import GO_ON, begin


def main(argv):
    """Run the recipe with the words of the command line."""
    hparams, run_opts = begin(argv, EnhancementBrain)
    data = make_datasets(hparams)
    brain = EnhancementBrain.build(hparams, run_opts)
    brain.fit_and_test(data)


if __name__ == "__main__":
    with exit_on_user_error(GO_ON):
        main(sys.argv[1:])
