#!/usr/bin/env python3
"""Train, select and test on the Valentini corpus, or on pairs of your own.

    python train.py train.yaml --data_folder /path/to/data

Running the same command again continues where it stopped; ``--test_only
True`` scores the best checkpoint again. See README.md.
"""

from pathlib import Path
import sys

from edgebrain.command_line import exit_on_user_error
from edgebrain.enhancement.brain import EnhancementBrain
from edgebrain.training.config import load_hparams, parse_arguments
from edgebrain.training.experiment import (
    GO_ON,
    YAML_KEYS,
    begin,
    make_datasets,
)
import speechbrain as sb

sys.path.append(str(Path(__file__).resolve().parents[1]))
from valentini_prepare import prepare_valentini

#: Keys of the yaml that say what to take of the corpus.
DATA_KEYS = frozenset(
    "training_set train_folders valid_folders test_folders valid_from "
    "test_from num_train num_valid num_test skip_bad skip_prep".split()
)


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
    hparams_file, run_opts, overrides = parse_arguments(argv)
    sb.utils.distributed.ddp_init_group(run_opts)
    hparams = load_hparams(hparams_file, overrides, YAML_KEYS | DATA_KEYS)
    begin(hparams_file, hparams, overrides, run_opts)
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=None if run_opts.test_only else hparams_file,
        overrides=overrides,
    )
    data = make_datasets(hparams, prepare)
    brain = EnhancementBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    brain.fit(
        hparams["epoch_counter"],
        data.train,
        data.valid,
        train_loader_kwargs=data.train_loader,
        valid_loader_kwargs=data.eval_loader,
    )
    brain.evaluate(data.test, test_loader_kwargs=data.eval_loader)


if __name__ == "__main__":
    with exit_on_user_error(GO_ON):
        main(sys.argv[1:])
