#!/usr/bin/env python3
"""Score a model, or several forms and models, on pairs of recordings.

    python evaluate.py MODEL --noisy_folder N --clean_folder C
    python evaluate.py --compare A B C --noisy_folder N --clean_folder C

MODEL is a results folder (results/<name>/<seed>), an ONNX file of any form, a
models/<name> folder, the shared library of deploy/c_engine.py (lib<name>.so)
or the folder of deploy/nnse_tables.py. Every clip is enhanced whole: a patch
model as a board runs it, a stream model frame by frame. Files are paired by
relative name; make_pairs.py writes the mixtures of a recipe as such folders.
The output folder gets metrics.json, per_clip.csv and table.txt, and with
--compare or --report report.html, one file with charts and players.
"""

import argparse
from pathlib import Path
import sys

from edgebrain.command_line import (
    add_model_arguments,
    check_number,
    exit_on_user_error,
    find_problems,
    model_arguments,
    refuse,
)
from edgebrain.enhancement import load_enhancer
from edgebrain.enhancement.evaluation import (
    common_rate,
    evaluate,
    find_pairs,
    model_names,
)
from edgebrain.enhancement.metrics import METRICS, check_metrics
from edgebrain.errors import UserError
from edgebrain.report import tables
from tqdm import tqdm

DEFAULT = ["pesq", "stoi", "estoi", "si_snr", "snr", "mse"]
DEFAULT += ["csig", "cbak", "covl"]


def parse(argv):
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", nargs="?", metavar="MODEL")
    parser.add_argument("--noisy_folder", required=True)
    parser.add_argument("--clean_folder", required=True)
    parser.add_argument(
        "--output_folder", help="default: results/evaluation/<name>"
    )
    parser.add_argument(
        "--compare",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="further models: one table of all, and report.html",
    )
    parser.add_argument(
        "--names",
        nargs="+",
        metavar="NAME",
        help="what to call the models, in order (default: from the paths)",
    )
    parser.add_argument(
        "--report", action="store_true", help="report.html of one model too"
    )
    parser.add_argument(
        "--report_clips",
        type=int,
        default=6,
        metavar="N",
        help="clips with players in report.html (default: 6)",
    )
    parser.add_argument(
        "--save_enhanced",
        action="store_true",
        help="write the enhanced clips into OUTPUT_FOLDER/enhanced",
    )
    parser.add_argument(
        "--gain_db",
        type=float,
        nargs="+",
        default=[0.0],
        metavar="DB",
        help="input levels relative to the files, such as -20 -10 0 10",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=DEFAULT,
        metavar="NAME",
        help=f"of: {' '.join(METRICS)} (default: all)",
    )
    parser.add_argument(
        "--n_jobs", type=int, help="processes that score (default: all cores)"
    )
    add_model_arguments(parser)
    arguments = parser.parse_intermixed_args(argv)
    paths = [p for p in (arguments.model, *arguments.compare) if p]
    if not paths:
        parser.error("give MODEL, or several after --compare")
    if arguments.names and len(arguments.names) != len(paths):
        parser.error(f"{len(paths)} models but {len(arguments.names)} --names")
    arguments.paths = paths
    return arguments


def check(arguments):
    """Return what is wrong with options, by name; needs no model."""
    a = arguments
    return find_problems(
        noisy_folder=lambda: find_pairs(a.noisy_folder, a.clean_folder),
        metrics=lambda: check_metrics(a.metrics),
        n_jobs=lambda: check_number("n_jobs", a.n_jobs, 1),
        threads=lambda: check_number("threads", a.threads, 1),
        report_clips=lambda: check_number("report_clips", a.report_clips, 0),
        gain_db=lambda: [
            check_number("gain_db", abs(gain), 0) for gain in a.gain_db
        ],
        names=lambda: check_names(a.names or []),
        compare=lambda: check_paths(a.compare),
    )


def check_names(names):
    """Refuse names that are not different."""
    if len({*names, "noisy", "clean"}) < len(names) + 2:
        raise UserError(
            f"--names {' '.join(names)}: must differ, also from noisy and clean"
        )


def check_paths(paths):
    """Refuse models that are not there."""
    gone = [path for path in paths if not Path(path).exists()]
    if gone:
        raise UserError(f"--compare {' '.join(gone)}: not there")


def main(argv):
    """Run with the words of the command line."""
    arguments = parse(argv)
    refuse(check(arguments))
    metrics = check_metrics(arguments.metrics)
    enhancers = load_models(arguments)
    pairs = find_pairs(arguments.noisy_folder, arguments.clean_folder)
    rate = common_rate(enhancers)
    for enhancer in enhancers.values():
        print(enhancer.describe())
    others = {p.noisy.sample_rate for p in pairs} - {rate}
    if others:
        print(
            f"resampling from {', '.join(map(str, sorted(others)))} to {rate} "
            "Hz; scores shift a little with the resampler"
        )
    folder = arguments.output_folder
    if folder is None:
        name = "compare" if arguments.compare else next(iter(enhancers))
        if not arguments.compare:
            name = model_names(arguments.paths)[0].replace("/", "_")
        folder = Path("results") / "evaluation" / name
    folder = Path(folder)
    with tqdm(total=len(pairs), unit="clip", disable=None) as bar:
        result = evaluate(
            enhancers,
            pairs,
            metrics,
            arguments.gain_db,
            arguments.n_jobs,
            folder / "enhanced" if arguments.save_enhanced else None,
            bar.update,
        )
    table = write_results(folder, result, enhancers, pairs, arguments)
    if arguments.compare or arguments.report:
        from edgebrain.report.html import write_report

        write_report(
            folder / "report.html",
            result,
            {name: e.facts() for name, e in enhancers.items()},
            clip_reader(enhancers, pairs, result),
            arguments.report_clips,
        )
    print(f"\n{table}\n\nResults are in {folder}")


def load_models(arguments):
    """Return the models by name; several names must differ."""
    names = arguments.names or model_names(arguments.paths)
    if len(arguments.paths) == 1 and not arguments.names:
        names = ["enhanced"]
    check_names(names)
    given = model_arguments(arguments)
    return {
        name: load_enhancer(path, **given)
        for name, path in zip(names, arguments.paths, strict=True)
    }


def write_results(folder, result, enhancers, pairs, arguments):
    """Write metrics.json, per_clip.csv and table.txt; return the table."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = result.all_rows()
    files = {
        pair.id: {
            "noisy_file": str(pair.noisy.path),
            "clean_file": str(pair.clean.path),
        }
        for pair in pairs
    }
    tables.write_per_clip(folder / "per_clip.csv", rows, files)
    levels = {
        f"{gain:g}": tables.metrics_summary(at_level)
        for gain, at_level in result.levels.items()
    }
    tables.write_json(
        folder / "metrics.json",
        {
            "models": {name: e.facts() for name, e in enhancers.items()},
            "noisy_folder": arguments.noisy_folder,
            "clean_folder": arguments.clean_folder,
            "gain_db": result.gain_db,
            **tables.metrics_summary(result.rows),
            **({"levels": levels} if levels else {}),
        },
    )
    table = tables.metrics_table(result.rows, result.sample_rate)
    if levels:
        by_level = tables.level_table(result.levels, result.sample_rate)
        table += f"\n\nby input level\n{by_level}"
    (folder / "table.txt").write_text(table + "\n", encoding="utf-8")
    return table


def clip_reader(enhancers, pairs, result):
    """Return a function from a clip's id to its waveforms by name."""
    by_id = {pair.id: pair for pair in pairs}
    factor = 10 ** (result.gain_db / 20)

    def read(clip_id):
        noisy, clean = by_id[clip_id].read(result.sample_rate)
        noisy, clean = noisy * factor, clean * factor
        forms = {name: e.enhance(noisy) for name, e in enhancers.items()}
        return {"noisy": noisy, **forms, "clean": clean}

    return read


if __name__ == "__main__":
    with exit_on_user_error():
        main(sys.argv[1:])
