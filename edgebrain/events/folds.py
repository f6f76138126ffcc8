"""Train and test each fold of a data set, and score them as one set."""

import csv
from pathlib import Path
import subprocess
import sys

from edgebrain.errors import UserError
from edgebrain.events.listing import list_clips
from edgebrain.events.metrics import Predictions
from edgebrain.events.recipe import KEYS
from edgebrain.events.results import read_predictions, write_results
from edgebrain.events.synthetic import FOLDS
from edgebrain.training import keys
from edgebrain.training.config import parse_arguments, resolve
from ruamel.yaml import YAML


def run_folds(script: Path | str, argv: list[str]) -> None:
    """Train and test each fold by itself, then score all clips as one set.

    Each fold is a process of its own, so that what is interrupted goes on
    where it was. Writes ``folds/`` beside the results of the folds.

    Arguments
    ---------
    script : Path or str
        The train.py that is run.
    argv : list of str
        Its words, with ``--folds all`` or ``--folds 1,2``.

    Raises
    ------
    UserError
        There are no folds, or one failed.
    """
    place = argv.index("--folds")
    wanted = "".join(argv[place + 1 : place + 2])
    rest = argv[:place] + argv[place + 2 :]
    yaml, _, overrides = parse_arguments(rest, keys.KEYS | KEYS)
    folds = choose_folds(wanted, YAML().load(resolve(yaml, overrides)))
    places = [
        YAML().load(resolve(yaml, {**overrides, "fold": fold}))
        for fold in folds
    ]
    tested = [Path(place["test_folder"]) for place in places]
    outputs = [Path(place["output_folder"]) for place in places]
    if len(set(outputs)) < len(folds):
        raise UserError(
            f"{yaml}: output_folder must contain <fold>, or each fold would "
            "overwrite the one before"
        )
    for fold in folds:
        print(f"\nfold {fold}", flush=True)
        command = [sys.executable, str(script), *rest, "--fold", str(fold)]
        if subprocess.run(command).returncode:
            raise UserError(f"fold {fold} did not finish; see above")
    parts = [read_predictions(folder) for folder in tested]
    names = parts[0][1]
    together = Predictions.join(part for part, _, _ in parts)
    target = outputs[0].parent / "folds"
    table = write_results(
        target, together, names, parts[0][2], {"folds": folds}
    )
    accuracies = [
        part.scores.argmax(1) == part.target.argmax(1) for part, _, _ in parts
    ]
    with open(target / "folds.csv", "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["fold", "clips", "clip_accuracy"])
        for fold, right in zip(folds, accuracies, strict=True):
            writer.writerow([fold, len(right), f"{100 * right.mean():.2f}"])
    each = ", ".join(f"{100 * right.mean():.2f}" for right in accuracies)
    print(f"\nall folds: {each}\n{table}\n\n{target}")


def choose_folds(wanted: str, hparams) -> list[int]:
    """Return the folds that are asked for, of those that the data have.

    Arguments
    ---------
    wanted : str
        "all", or numbers such as "1,2".
    hparams : mapping
        Of a yaml: ``data_folder``, ``csv_file``. A folder that is not there
        yet is taken to have five folds, as ESC-50 has.

    Raises
    ------
    UserError
        None there, or not all of them.
    """
    folder, there = hparams["data_folder"], set(range(1, FOLDS + 1))
    if folder is not None and Path(folder).is_dir():
        clips = list_clips(folder, hparams.get("csv_file"))
        there = {clip.fold for clip in clips} - {None}
    folds = sorted(there) if wanted == "all" else wanted.split(",")
    try:
        folds = [int(word) for word in folds]
    except ValueError:
        raise UserError(
            f"--folds: all, or numbers such as 1,2, not {wanted!r}"
        ) from None
    if missing := sorted({*folds} - there):
        raise UserError(
            f"--folds: {folder} has no fold {missing[0]} (it has "
            f"{', '.join(map(str, sorted(there))) or 'none'})"
        )
    if not folds:
        raise UserError(
            f"--folds: {folder} has no folds: give its table a column fold, "
            "or leave --folds out, which splits by source"
        )
    return folds
