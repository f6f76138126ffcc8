"""Train the toy task: the whole recipe of a task that no room knows."""

import sys

from edgebrain.command_line import exit_on_user_error
from edgebrain.data.batching import train_loader_kwargs
from edgebrain.training.experiment import GO_ON, begin
from toy import ToyBrain, dataset


def main(argv):
    """Run the recipe with the words of the command line."""
    hparams, run_opts = begin(argv, ToyBrain)
    train = dataset("train", 64, hparams)
    brain = ToyBrain.build(hparams, run_opts)
    brain.fit(
        hparams["epoch_counter"],
        train,
        dataset("valid", 16, hparams),
        train_loader_kwargs=train_loader_kwargs(
            train, "pad", hparams["batch_size"], hparams["seed"]
        ),
        valid_loader_kwargs={"batch_size": 4},
    )
    test = dataset("test", 16, hparams)
    brain.evaluate(test, test_loader_kwargs={"batch_size": 4})


if __name__ == "__main__":
    with exit_on_user_error(GO_ON):
        main(sys.argv[1:])
