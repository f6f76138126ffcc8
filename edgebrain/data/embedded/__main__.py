"""Make the embedded corpus: ``python -m edgebrain.data.embedded``."""

import argparse

from edgebrain.command_line import exit_on_user_error
from edgebrain.data.embedded.corpus import contents, make_embedded_corpus


def main(arguments=None):
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m edgebrain.data.embedded",
        description="Make the embedded corpus of speech, noise and room "
        "responses, unless it is there, and print what it holds.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--output_folder", required=True, help="where the corpus folder goes")
    add("--seed", type=int, default=1234)
    add("--sample_rate", type=int, default=16000, help="Hz")
    add("--n_jobs", type=int, default=-1, help="processes; -1: one a core")
    options = parser.parse_args(arguments)
    corpus = make_embedded_corpus(*vars(options).values())
    print(f"{corpus}\n\n{contents(corpus)}")


if __name__ == "__main__":
    with exit_on_user_error():
        main()
