#!/usr/bin/env python3
"""Score a model, or several forms and models, on the same recordings.

    python evaluate.py MODEL --noisy_folder N --clean_folder C
    python evaluate.py --compare A B C --noisy_folder N --clean_folder C

MODEL is a results folder (results/<name>/<seed>), an ONNX file of any form, a
models/<name> folder, the shared library of deploy/c_engine.py (lib<name>.so)
or the folder of deploy/nnse_tables.py; it knows its task. Every clip is run
whole: a patch model as a board runs it, a stream model frame by frame. For
enhancement files are paired by relative name; make_pairs.py writes the
mixtures of a recipe as such folders. The output folder gets metrics.json,
per_clip.csv and table.txt, and with --compare or --report report.html, one
file with charts and players.
"""

from pathlib import Path
import sys

from edgebrain import tasks
from edgebrain.checks import Name, Number
from edgebrain.command_line import (
    add_model_arguments,
    exit_on_user_error,
    model_arguments,
    read_options,
    script_parser,
)
from edgebrain.errors import UserError
from edgebrain.trained_models import model_names, task_of


def parse(argv):
    """Return the arguments of the command line."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("model", nargs="?", metavar="MODEL")
    add("--output_folder", help="default: results/evaluation/<name>")
    add(
        "--compare",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="further models: one table of all, and report.html",
    )
    add(
        "--names",
        nargs="+",
        metavar="NAME",
        help="what to call the models, in order (default: from the paths)",
    )
    add("--report", action="store_true", help="report.html of one model too")
    add(
        "--report_clips",
        type=Number(whole=True, least=0),
        default=6,
        metavar="N",
        help="clips with players in report.html (default: 6)",
    )
    names = [n for t in tasks.MODULES for n in tasks.find(t).metrics]
    add(
        "--metrics",
        nargs="+",
        type=Name("metric", names),
        metavar="NAME",
        help=f"of: {' '.join(names)} (default: all of the task)",
    )
    add(
        "--n_jobs",
        type=Number(whole=True, least=1),
        help="processes that score (default: all cores)",
    )
    for name in tasks.MODULES:
        tasks.find(name).add_arguments(parser)
    add_model_arguments(parser)
    return read_options(parser, argv, check)


def check(arguments):
    """Refuse what can be told before a model runs; add paths and task.

    With --check_options a model may still have to be made: then its task, and
    what that asks for, is not known.
    """
    paths = [p for p in (arguments.model, *arguments.compare) if p]
    if not paths:
        raise UserError("give MODEL, or several after --compare")
    names = arguments.names or []
    if names and len(names) != len(paths):
        raise UserError(f"{len(paths)} models but {len(names)} --names")
    arguments.paths = paths
    arguments.report |= bool(arguments.compare)
    gone = [path for path in paths if not Path(path).exists()]
    if gone and arguments.check_options:
        return
    if gone:
        raise UserError(f"{' '.join(gone)}: does not exist")
    kinds = sorted({task_of(path) for path in paths})
    if len(kinds) > 1:
        raise UserError(f"models of {' and '.join(kinds)}: give one kind")
    arguments.task = tasks.find(kinds[0])
    check_names(names, arguments.task)
    arguments.task.check(arguments)


def check_names(names, task):
    """Refuse names that are not different."""
    taken = {task.baseline, "clean"}
    if len({*names, *taken}) < len(names) + len(taken):
        raise UserError(
            f"--names {' '.join(names)}: must differ, also from "
            f"{' and '.join(sorted(taken))}"
        )


def main(argv):
    """Run with the words of the command line."""
    arguments = parse(argv)
    task = arguments.task
    models = load_models(arguments, task)
    for model in models.values():
        print(model.describe())
    folder = arguments.output_folder
    if folder is None:
        name = "compare" if arguments.compare else next(iter(models))
        if not arguments.compare:
            name = model_names(arguments.paths)[0].replace("/", "_")
        folder = Path("results") / "evaluation" / name
    table = task.evaluate(models, arguments, Path(folder))
    print(f"\n{table}\n\nResults are in {folder}")


def load_models(arguments, task):
    """Return the models by name; several names must differ."""
    names = arguments.names or model_names(arguments.paths)
    if len(arguments.paths) == 1 and not arguments.names:
        names = ["enhanced" if task.name == tasks.DEFAULT else "network"]
    check_names(names, task)
    given = model_arguments(arguments)
    return {
        name: task.load(path, **given)
        for name, path in zip(names, arguments.paths, strict=True)
    }


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
