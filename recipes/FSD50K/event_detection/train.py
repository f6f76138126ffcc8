#!/usr/bin/env python3
"""Train, select and test on FSD50K: several sounds a clip, or one.

    python train.py train.yaml --data_folder /path/to/FSD50K

Running the same command again continues where it stopped; ``--test_only
True`` scores the best checkpoint again. See README.md.
"""

from pathlib import Path
import sys

from edgebrain.checks import switch
from edgebrain.command_line import exit_on_user_error
from edgebrain.events.brain import EventBrain
from edgebrain.events.recipe import make_datasets
from edgebrain.training.experiment import GO_ON, begin

sys.path.append(str(Path(__file__).resolve().parents[1]))
from fsd50k_prepare import prepare_fsd50k

#: Keys of the yaml that say what to take of the corpus.
DATA_KEYS = {
    "csv_folder": None,
    "ontology": None,
    "only_keep_monolabel": switch,
}


class FSD50KBrain(EventBrain):
    """Lists its clips by the tables of the corpus."""

    @staticmethod
    def find_clips(hparams):
        """Return the clips of FSD50K."""
        given = {key: hparams[key] for key in DATA_KEYS if key in hparams}
        return prepare_fsd50k(hparams["data_folder"], **given)


def main(argv):
    """Run the recipe with the words of the command line."""
    hparams, run_opts = begin(argv, FSD50KBrain, DATA_KEYS)
    data = make_datasets(hparams)
    brain = FSD50KBrain.build(hparams, run_opts)
    brain.fit_and_test(data)


if __name__ == "__main__":
    with exit_on_user_error(GO_ON):
        main(sys.argv[1:])
