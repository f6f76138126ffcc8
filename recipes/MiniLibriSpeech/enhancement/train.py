#!/usr/bin/env python3
"""Train, select and test on Mini LibriSpeech mixed with noise, on the fly.

    python train.py train.yaml --data_folder /path/to/data

Running the same command again continues where it stopped; ``--test_only
True`` scores the best checkpoint again. See README.md.
"""

from pathlib import Path
import sys

from edgebrain.checks import switch
from edgebrain.command_line import exit_on_user_error
from edgebrain.enhancement.brain import EnhancementBrain
from edgebrain.enhancement.recipe import make_datasets
from edgebrain.training.experiment import GO_ON, begin
from edgebrain.training.keys import share, text

sys.path.append(str(Path(__file__).resolve().parents[1]))
from mini_librispeech_prepare import prepare_mini_librispeech

#: Keys of the yaml that say what data to take and where to get it.
DATA_KEYS = {
    **dict.fromkeys(["parts", "mirrors"]),
    **dict.fromkeys(["noise_folder", "rir_folder"], text),
    **dict.fromkeys(["num_train", "num_valid", "num_test"], share),
    **dict.fromkeys(["download", "check_archives"], switch),
    **dict.fromkeys(["skip_bad", "skip_prep"], switch),
}


def prepare(hparams):
    """Fetch what is missing and write the manifests."""
    return prepare_mini_librispeech(
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
