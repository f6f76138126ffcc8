#!/usr/bin/env python3
"""Train, select and test on the Valentini corpus, or on pairs of your own.

    python train.py train.yaml --data_folder /path/to/data

Running the same command again continues where it stopped; ``--test_only
True`` scores the best checkpoint again. See README.md.
"""

from pathlib import Path
import sys

from edgebrain.checks import Number, switch
from edgebrain.command_line import exit_on_user_error
from edgebrain.enhancement.brain import EnhancementBrain
from edgebrain.enhancement.recipe import make_datasets
from edgebrain.training.experiment import GO_ON, begin
from edgebrain.training.keys import share

sys.path.append(str(Path(__file__).resolve().parents[1]))
from valentini_prepare import prepare_valentini

#: Keys of the yaml that say what to take of the corpus.
DATA_KEYS = {
    "training_set": Number(whole=True, least=28),
    **dict.fromkeys(["train_folders", "valid_folders", "test_folders"]),
    **dict.fromkeys(["valid_from"]),
    **dict.fromkeys(["test_from", "num_train", "num_valid", "num_test"], share),
    **dict.fromkeys(["skip_bad", "skip_prep"], switch),
}


def prepare(hparams):
    """Check the corpus and write its manifests."""
    return prepare_valentini(
        hparams["data_folder"],
        Path(hparams["output_folder"]) / "manifests",
        hparams["sample_rate"],
        hparams["cache_folder"],
        hparams["seed"],
        **{key: hparams[key] for key in DATA_KEYS if key in hparams},
    )


def main(argv):
    """Run the recipe with the words of the command line."""
    hparams, run_opts = begin(argv, EnhancementBrain, DATA_KEYS)
    data = make_datasets(hparams, prepare)
    brain = EnhancementBrain.build(hparams, run_opts)
    brain.fit_and_test(data)


if __name__ == "__main__":
    with exit_on_user_error(GO_ON):
        main(sys.argv[1:])
