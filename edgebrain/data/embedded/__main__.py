"""Make the embedded corpus: ``python -m edgebrain.data.embedded``."""

import argparse
import sys

from edgebrain.data.embedded import contents, make_embedded_corpus
from edgebrain.errors import UserError


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m edgebrain.data.embedded",
        description="Make the embedded corpus of speech, noise and room "
        "responses, unless it is there, and print what it holds.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--output_folder", required=True, help="where the corpus folder goes"
    )
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--sample_rate", type=int, default=16000, help="Hz")
    parser.add_argument(
        "--n_jobs", type=int, default=-1, help="processes; -1 is one a core"
    )
    args = parser.parse_args(arguments)
    try:
        corpus = make_embedded_corpus(
            args.output_folder, args.seed, args.sample_rate, args.n_jobs
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{corpus}\n\n{contents(corpus)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
