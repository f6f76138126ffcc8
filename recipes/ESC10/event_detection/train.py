#!/usr/bin/env python3
"""Train, select and test a network that hears which sound a clip holds.

    python train.py train.yaml [--data_folder D] [--key value ...]
    python train.py train.yaml --data_folder D --folds all

Without a data folder it makes a small set of synthesised sounds. Running the
same command again continues where it stopped; ``--test_only True`` scores
the best checkpoint again. See README.md.
"""

from pathlib import Path
import sys

from edgebrain.checks import switch
from edgebrain.command_line import exit_on_user_error
from edgebrain.events.brain import EventBrain
from edgebrain.events.folds import run_folds
from edgebrain.events.recipe import make_datasets
from edgebrain.training.experiment import GO_ON, begin

sys.path.append(str(Path(__file__).resolve().parents[1]))
from esc50_prepare import fetch_esc50

#: Keys of the yaml that say how the corpus is had.
DATA_KEYS = {"download": switch}


class ESC50Brain(EventBrain):
    """Downloads the corpus if asked to."""

    @classmethod
    def setup(cls, hparams):
        """Fetch what is missing, then go on as any other Brain."""
        if hparams.get("download"):
            fetch_esc50(hparams["data_folder"])
        return super().setup(hparams)


def main(argv):
    """Run the recipe with the words of the command line."""
    if "--folds" in argv:
        run_folds(__file__, argv)
        return
    hparams, run_opts = begin(argv, ESC50Brain, DATA_KEYS)
    data = make_datasets(hparams)
    brain = ESC50Brain.build(hparams, run_opts)
    brain.fit_and_test(data)


if __name__ == "__main__":
    with exit_on_user_error(GO_ON):
        main(sys.argv[1:])
