#!/usr/bin/env python3
"""Run training, quantization, evaluation, benchmark and deployment in a row.

    python chain.py tqeb chain.yaml

CHAIN is one of tqeb, tqe, eqe, qb, eqeb, qd: t trains, q exports and
quantizes, e evaluates (before q the float model, after it the quantized
one), b benchmarks for a target of ST Edge AI Core (the tool where it is, else
what can be told from the file), d deploys. CONFIG names the model and gives
each step the options of its script; chain.yaml shows them. A step whose
result is there and still belongs to its input is skipped.
"""

import argparse
from dataclasses import dataclass
from functools import lru_cache
import hashlib
import importlib.util
import json
from pathlib import Path
import subprocess
import sys

from edgebrain.command_line import exit_on_user_error
from edgebrain.errors import UserError, nearest
from edgebrain.files import write_json
from edgebrain.stamps import digest
import yaml

ROOT = Path(__file__).resolve().parent
CHAINS = ("tqeb", "tqe", "eqe", "qb", "eqeb", "qd")
NAMES = {
    "t": "train",
    "e": "evaluate",
    "q": "quantize",
    "b": "benchmark",
    "d": "deploy",
}
#: Sections of the configuration and the keys that each must have.
SECTIONS = {
    "train": ("yaml",),
    "export": (),
    "quantize": ("calibration_folder",),
    "evaluate": ("noisy_folder", "clean_folder"),
    "benchmark": ("target",),
    "deploy": ("script",),
}
#: Options of the scripts that the chain gives itself.
OURS = {"output_folder", "output", "forms", "overwrite", "form"}
#: Options that name what must be there.
READ = {
    "yaml",
    "data_folder",
    "calibration_folder",
    "noisy_folder",
    "clean_folder",
    "targets_file",
}
#: Options that are given without a value.
FLAGS = {
    "check_only",
    "cloud",
    "json",
    "no_run",
    "reduce_range",
    "report",
    "save_enhanced",
}
DEPLOYERS = ("stedgeai", "c_engine", "nnse_tables")
FORMS = ("stream", "patch", "offline")


@dataclass(frozen=True)
class Step:
    """One step of a chain.

    Attributes
    ----------
    letter : str
    key : str
        Name of its stamp.
    commands : list of list of str
        Script and words.
    inputs : list of Path
        What the result belongs to, besides the words.
    outputs : list of Path
    """

    letter: str
    key: str
    commands: list[list[str]]
    inputs: list[Path]
    outputs: list[Path]


@dataclass(frozen=True)
class Layout:
    """Where the steps find and leave things.

    Attributes
    ----------
    model : Path
        Results folder, or an ONNX file in float32.
    folder : Path
        The results folder; of an ONNX file a folder beside it.
    source : Path
        The float ONNX file that is quantized.
    quantized : Path
    """

    model: Path
    folder: Path
    source: Path
    quantized: Path


def parse(argv):
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("chain", choices=CHAINS, metavar="CHAIN")
    add("config", type=Path, metavar="CONFIG")
    add("--force", action="store_true", help="run every step again")
    add("--dry_run", action="store_true", help="show the commands alone")
    return parser.parse_args(argv)


def main(argv):
    """Run with the words of the command line; return the exit status."""
    arguments = parse(argv)
    config = read_config(arguments.config, arguments.chain)
    layout = make_layout(config)
    steps = plan(arguments.chain, config, layout)
    check_words(steps)
    stamps = layout.folder / "chain"
    for number, step in enumerate(steps, 1):
        head = f"[{number}/{len(steps)}] {NAMES[step.letter]}"
        if arguments.dry_run:
            lines = [" ".join(command) for command in step.commands]
            print("\n  ".join([head, *lines]))
            continue
        stamp = stamps / f"{step.key}.json"
        if not arguments.force and is_current(step, stamp):
            print(f"{head}: current, skipped ({_names(step.outputs)})")
            continue
        print(head, flush=True)
        status = run(step)
        if status:
            print(f"{head} stopped with status {status}", file=sys.stderr)
            return status
        missing = [str(p) for p in step.outputs if not p.exists()]
        if missing:
            raise UserError(f"{head}: wrote no {', '.join(missing)}")
        write_json(stamp, digests(step))
    return 0


def read_config(path: Path, chain: str) -> dict:
    """Return the configuration, whole for a chain.

    Raises
    ------
    UserError
        Listing everything that is missing or unknown.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: must hold sections; see chain.yaml")
    known = ["model", *SECTIONS]
    problems = []
    for key in config:
        if key not in known:
            close = nearest(str(key), known)
            hint = f": did you mean {close[0]}?" if close else ""
            problems.append(f"unknown section {key}{hint}")
    if not isinstance(config.get("model"), str):
        problems.append("model: name a results folder or an ONNX file")
    needed = {NAMES[letter] for letter in chain}
    for section, keys in SECTIONS.items():
        options = config.setdefault(section, {})
        if options is None:
            options = config[section] = {}
        if not isinstance(options, dict):
            problems.append(f"{section}: must hold options of its script")
            continue
        if section in needed:
            problems += [
                f"{section}.{key} is missing"
                for key in keys
                if key not in options
            ]
        problems += [
            f"{section}.{key}: the chain gives it itself, leave it out"
            for key in options
            if key in OURS and (section, key) != ("export", "form")
        ]
    if not problems:
        problems = _missing_files(config, chain)
    if problems:
        raise UserError.collect(str(path), problems)
    return config


def _missing_files(config: dict, chain: str) -> list[str]:
    problems = []
    for letter in dict.fromkeys(chain):
        section = NAMES[letter]
        for key, value in config[section].items():
            if key in READ:
                if value is not None and not Path(str(value)).exists():
                    problems.append(f"{section}.{key}: {value}: not there")
    model = Path(config["model"])
    if model.suffix == ".onnx" and "t" in chain:
        problems.append(
            "model: a chain with training needs a results folder, as "
            "results/<name>/<seed>"
        )
    if "t" not in chain and not model.exists():
        problems.append(f"model: {model}: not there; train it with {CHAINS[0]}")
    form = config["export"].get("form", FORMS[0])
    if form not in FORMS:
        problems.append(f"export.form: {form}: one of {', '.join(FORMS)}")
    script = config["deploy"].get("script", DEPLOYERS[0])
    if script not in DEPLOYERS:
        problems.append(
            f"deploy.script: {script}: one of {', '.join(DEPLOYERS)}"
        )
    return problems


def make_layout(config: dict) -> Layout:
    """Return where things are."""
    model = Path(config["model"])
    precision = config["quantize"].get("precision", "int8")
    form = config["export"].get("form", FORMS[0])
    if model.suffix == ".onnx":
        folder, source = model.with_name(f"{model.stem}_chain"), model
        quantized = folder / f"{model.stem}_{precision}.onnx"
    else:
        folder, source = model, model / "export" / f"{form}.onnx"
        quantized = source.with_name(f"{form}_{precision}.onnx")
    return Layout(model, folder, source, quantized)


def plan(chain: str, config: dict, layout: Layout) -> list[Step]:
    """Return the steps of a chain, in order."""
    make = {
        "t": _train,
        "q": _quantize,
        "e": _evaluate,
        "b": _benchmark,
        "d": _deploy,
    }
    return [
        make[letter](config, layout, "q" in chain[:position])
        for position, letter in enumerate(chain)
    ]


def _train(config: dict, layout: Layout, quantized: bool) -> Step:
    options = {**config["train"]}
    recipe = options.pop("yaml")
    data = options.get("data_folder")
    return Step(
        "t",
        "train",
        [
            [
                "train.py",
                recipe,
                *("--output_folder", str(layout.model)),
                *words(options),
            ]
        ],
        [Path(recipe), *([Path(data)] if data else [])],
        [layout.model / "save"],
    )


def _quantize(config: dict, layout: Layout, quantized: bool) -> Step:
    commands, inputs = [], [layout.model]
    if layout.model.suffix != ".onnx":
        options = {**config["export"]}
        form = options.pop("form", FORMS[0])
        target = ["--output_folder", str(layout.source.parent)]
        head = ["export_onnx.py", str(layout.model), "--forms", form]
        commands.append([*head, "--overwrite", *target, *words(options)])
        inputs = [layout.model / "save"]
    options = config["quantize"]
    commands.append(
        [
            "quantize.py",
            str(layout.source),
            "--overwrite",
            *("--output", str(layout.quantized)),
            *words(options),
        ]
    )
    inputs.append(Path(options["calibration_folder"]))
    outputs = [layout.quantized]
    if len(commands) > 1:
        outputs.append(layout.source)
    return Step("q", "quantize", commands, inputs, outputs)


def _evaluate(config: dict, layout: Layout, quantized: bool) -> Step:
    options = config["evaluate"]
    model = layout.quantized if quantized else layout.model
    name = layout.quantized.stem if quantized else "float32"
    output = layout.folder / f"test_{name}"
    target = ["--output_folder", str(output)]
    weights = model if model.suffix == ".onnx" else model / "save"
    folders = [Path(options[key]) for key in SECTIONS["evaluate"]]
    return Step(
        "e",
        f"evaluate_{name}",
        [["evaluate.py", str(model), *target, *words(options)]],
        [weights, *folders],
        [output / "metrics.json"],
    )


def _benchmark(config: dict, layout: Layout, quantized: bool) -> Step:
    options = config["benchmark"]
    output = layout.folder / f"benchmark_{options['target']}"
    target = ["--output_folder", str(output)]
    script = str(Path("deploy", "stedgeai.py"))
    return Step(
        "b",
        "benchmark",
        [[script, str(layout.quantized), *target, *words(options)]],
        [layout.quantized],
        [output / "package.json"],
    )


def _deploy(config: dict, layout: Layout, quantized: bool) -> Step:
    options = {**config["deploy"]}
    name = options.pop("script")
    output = layout.folder / f"deploy_{name}"
    # The tables of NNSE are quantized on their own, from the float stream.
    model = layout.source if name == "nnse_tables" else layout.quantized
    target = ["--output_folder", str(output)]
    script = str(Path("deploy", f"{name}.py"))
    return Step(
        "d",
        f"deploy_{name}",
        [[script, str(model), *target, *words(options)]],
        [model],
        [output],
    )


def words(options: dict) -> list[str]:
    """Return options as words of a command line.

    Arguments
    ---------
    options : dict
        A list gives several words; None leaves the option out.
    """
    made = []
    for key, value in options.items():
        if value is None or (key in FLAGS and value is False):
            continue
        made.append(f"--{key}")
        if key in FLAGS and value is True:
            continue
        values = value if isinstance(value, list) else [value]
        made += [str(v) for v in values]
    return made


def check_words(steps: list[Step]) -> None:
    """Let each script look at its words before anything long starts.

    A script prints what is wrong and exits with status 2.
    """
    for step in steps:
        for script, *rest in step.commands:
            path = ROOT / script
            if not path.is_file():
                raise UserError(f"{script}: is not there")
            if step.letter == "t":
                continue  # needs torch, and is the first step anyway
            module = _module(path)
            if hasattr(module, "parse"):
                module.parse(rest)


@lru_cache
def _module(path: Path):
    spec = importlib.util.spec_from_file_location(f"chain_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(step: Step) -> int:
    """Run the commands of a step; return the first status that is not 0."""
    for script, *rest in step.commands:
        print(f"  {' '.join([script, *rest])}", flush=True)
        command = [sys.executable, str(ROOT / script), *rest]
        status = subprocess.run(command, check=False).returncode
        if status:
            return status
    return 0


def is_current(step: Step, stamp: Path) -> bool:
    """Tell whether a step's result is there and belongs to its input."""
    if not all(path.exists() for path in step.outputs):
        return False
    try:
        known = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return known == digests(step)


def digests(step: Step) -> dict[str, str]:
    """Return what the result of a step belongs to, and what it is."""
    command = json.dumps(step.commands)
    return {
        "command": hashlib.sha256(command.encode()).hexdigest(),
        "inputs": digest(step.inputs),
        "outputs": digest(step.outputs),
    }


def _names(paths: list[Path]) -> str:
    return ", ".join(map(str, paths))


if __name__ == "__main__":
    with exit_on_user_error("stopped; the same command goes on from here"):
        sys.exit(main(sys.argv[1:]))
