#!/usr/bin/env python3
"""Run training, quantization, evaluation, benchmark and deployment in a row.

    python chain.py tqeb chain.yaml

CHAIN is one of tqeb, tqe, eqe, qb, eqeb, qd: t trains, q exports and
quantizes, e evaluates (before q the float model, after it the quantized
one), b benchmarks for a target of ST Edge AI Core (the tool where it is, else
what can be told from the file), d deploys. CONFIG names the model and gives
each step the options of its script; chain.yaml shows them. Each script looks
at its options before the first step runs. A step whose result is there and
still belongs to its input is skipped.
"""

from dataclasses import dataclass
import hashlib
import json
from pathlib import Path
import shutil
import subprocess
import sys

from edgebrain.command_line import exit_on_user_error, script_parser
from edgebrain.data.audio import AUDIO_SUFFIXES
from edgebrain.errors import UserError, unknown_name
from edgebrain.files import RECORD, sha256, write_json
import yaml

ROOT = Path(__file__).resolve().parent
CHAINS = ("tqeb", "tqe", "eqe", "qb", "eqeb", "qd")
SECTIONS = ("train", "export", "quantize", "evaluate", "benchmark", "deploy")
#: What the chain must know, and what no script is given as an option.
NEEDED = {"train": "yaml", "deploy": "script", "benchmark": "target"}
TAKEN = {"train": "yaml", "deploy": "script", "export": "form"}
SCRIPTS = {
    "train": "train.py",
    "export": "export_onnx.py",
    "quantize": "quantize.py",
    "evaluate": "evaluate.py",
    "benchmark": "deploy/stedgeai.py",
}
DEPLOYERS = ("stedgeai", "c_engine", "nnse_tables")
#: Options of the scripts that the chain gives itself.
OURS = {"output_folder", "save_folder", "output", "forms", "overwrite"}
#: Options of the scripts that take no value.
FLAGS = set(
    "check_only cloud json no_run one_stream reduce_range report "
    "save_enhanced".split()
)


@dataclass(frozen=True)
class Step:
    """One command: its words, what its result belongs to, and where that is.

    ``command`` begins with the script, relative to this file; ``output`` is
    the file or folder by which a result is known; ``stamp`` says what the
    result there belongs to.
    """

    section: str
    command: list[str]
    inputs: list[Path]
    output: Path
    stamp: Path

    def state(self):
        """Return what the result belongs to and what it is; None: no result."""
        if not self.output.exists():
            return None
        return {
            "command": self.command,
            "inputs": digest(self.inputs),
            "output": digest([self.output]),
        }

    def known(self):
        """Return the stamp, empty where there is none."""
        try:
            known = json.loads(self.stamp.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def run(self, *more):
        """Run the command with further words; return its exit status."""
        script, *rest = self.command
        command = [sys.executable, str(ROOT / script), *rest, *more]
        return subprocess.run(command, check=False).returncode


def digest(paths):
    """Return a hash of files and folders; one that is not there is empty.

    Of recordings it takes name, size and time of change, of everything else
    name and content; of a folder with a record of what a tool wrote, those
    files alone. Hidden files and compiled Python do not count.
    """
    total = hashlib.sha256()
    for number, path in enumerate(paths):
        if (path / "save").is_dir():  # of a results folder, the checkpoints
            path = path / "save"
        files = [path] if path.is_file() else sorted(path.rglob("*"))
        for file in _written(path) or files:
            name = file.relative_to(path)
            hidden = any(part.startswith(".") for part in name.parts)
            if not file.is_file() or hidden or file.suffix == ".pyc":
                continue
            if file.suffix.lower() in AUDIO_SUFFIXES:
                facts = file.stat()
                state = f"{facts.st_size} {facts.st_mtime_ns}"
            else:
                state = sha256(file)
            text = f"{number} {name} {state}\0"
            total.update(text.encode(errors="surrogateescape"))
    return total.hexdigest()


def _written(folder):
    """Return the files that a tool says it wrote into a folder, if any."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return [folder / name for name in sorted(record["files"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def read_config(path, chain):
    """Return the configuration, with every section; refuse a wrong one."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    if not isinstance(config, dict) or not isinstance(config.get("model"), str):
        raise UserError(
            f"{path}: model must name a results folder or an ONNX file; "
            "chain.yaml shows the sections"
        )
    for name in config:
        if name not in ("model", *SECTIONS):
            raise unknown_name(f"section of {path}", name, SECTIONS)
    for section in SECTIONS:
        options = config[section] = config.get(section) or {}
        if not isinstance(options, dict):
            raise UserError(f"{path}: {section} must hold options")
        for key in OURS & options.keys():
            raise UserError(f"{path}: {section}.{key}: the chain gives it")
    for section, key in NEEDED.items():
        value = config[section].get(key)
        if section[0] in chain and not isinstance(value, str):
            raise UserError(f"{path}: {section}.{key} is missing")
    script = config["deploy"].get("script", DEPLOYERS[0])
    if script not in DEPLOYERS:
        raise unknown_name("deploy.script", script, DEPLOYERS)
    model = Path(config["model"])
    if "t" in chain and model.suffix == ".onnx":
        raise UserError(f"{model}: training makes a folder, results/name/seed")
    if "t" not in chain and not model.exists():
        raise UserError(f"model: {model}: not there; train it with {CHAINS[0]}")
    return config


def words(section, options):
    """Return options as words: a list gives several, None gives none."""
    made = []
    for key, value in sorted(options.items(), key=str):
        flag = key in FLAGS and section != "train"
        if value is None or (flag and value is False):
            continue
        made.append(f"--{key}")
        if section == "train" and isinstance(value, (list, dict)):
            made.append(json.dumps(value))  # which train.py reads as yaml
        elif not (flag and value is True):
            made += map(str, value if isinstance(value, list) else [value])
    return made


def paths_of(options):
    """Return what options may name; most of it is not there."""
    paths = []
    for key, value in options.items():
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, str) and entry and key != "cache_folder":
                paths.append(Path(entry))
    return paths


def plan(chain, config):
    """Return the steps of a chain, in order."""
    model, steps = Path(config["model"]), []
    form = config["export"].get("form") or "stream"
    precision = config["quantize"].get("precision") or "int8"
    folder, source = model, model / "export" / f"{form}.onnx"
    quantized = source.with_name(f"{form}_{precision}.onnx")
    if model.suffix == ".onnx":
        folder, source = model.with_name(f"{model.stem}_chain"), model
        quantized = folder / f"{model.stem}_{precision}.onnx"

    def add(section, given, target, output):
        """Add the step of a section: from a path, with words, to a path."""
        options = dict(config[section])
        script = SCRIPTS.get(section, f"deploy/{options.get('script')}.py")
        options.pop(TAKEN.get(section), None)
        inputs = [given, *paths_of(options)]
        if "stedgeai" in script and not options.get("no_run"):
            tool = shutil.which(str(options.get("stedgeai") or "stedgeai"))
            inputs += [Path(tool)] if tool else []
        name = "-".join(output.relative_to(folder).with_suffix("").parts)
        command = [script, str(given), *map(str, target)]
        command += words(section, options)
        stamp = folder / "chain" / f"{name}.json"
        steps.append(Step(section, command, inputs, output, stamp))

    for position, letter in enumerate(chain):
        if letter == "t":
            recipe = Path(config["train"]["yaml"])
            add("train", recipe, ["--output_folder", model], model / "save")
        elif letter == "q":
            if source != model:
                target = ["--forms", form, "--output_folder", source.parent]
                add("export", model, target, source)
            add("quantize", source, ["--output", quantized], quantized)
        elif letter == "e":
            after_q = "q" in chain[:position]
            output = folder / f"test_{quantized.stem if after_q else 'float32'}"
            target = ["--output_folder", output]
            given = quantized if after_q else model
            add("evaluate", given, target, output / "metrics.json")
        elif letter == "b":
            output = folder / f"benchmark_{config['benchmark']['target']}"
            add("benchmark", quantized, ["--output_folder", output], output)
        else:
            script = config["deploy"]["script"]
            output = folder / f"deploy_{script}"
            # The tables of NNSE are quantized on their own.
            given = source if script == "nnse_tables" else quantized
            add("deploy", given, ["--output_folder", output], output)
    return steps


def parse(argv):
    """Return the arguments of the command line."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("chain", choices=CHAINS, metavar="CHAIN")
    add("config", type=Path, metavar="CONFIG")
    add("--force", action="store_true", help="run every step again")
    add("--dry_run", action="store_true", help="show the commands alone")
    return parser.parse_args(argv)


def main(argv):
    """Run with the words of the command line; return the exit status."""
    arguments = parse(argv)
    steps = plan(
        arguments.chain, read_config(arguments.config, arguments.chain)
    )
    # train.py is the first step, and says at once what is wrong.
    looks = {s.section: s for s in steps if s.section != "train"}
    refused = [n for n, step in looks.items() if step.run("--check_options")]
    if refused:
        raise UserError(
            f"{arguments.config}: {', '.join(refused)}: options that cannot be "
            "used, see above; nothing was run"
        )
    for number, step in enumerate(steps, 1):
        head = f"[{number}/{len(steps)}] {step.section}"
        if arguments.dry_run:
            print(f"{head}\n  {' '.join(step.command)}")
            continue
        state, known = step.state(), step.known()
        if state and state == known and not arguments.force:
            print(f"{head}: current, skipped ({step.output})")
            continue
        print(f"{head}\n  {' '.join(step.command)}", flush=True)
        # What is not as the chain made it is somebody else's.
        own = state is not None and state["output"] == known.get("output")
        files = step.section in ("export", "quantize")
        status = step.run(*(["--overwrite"] if own and files else []))
        if status:
            print(f"{head} stopped with status {status}", file=sys.stderr)
            return status
        state = step.state()
        if state is None:
            raise UserError(f"{head}: wrote no {step.output}")
        write_json(step.stamp, state)
    return 0


if __name__ == "__main__":
    with exit_on_user_error("stopped; the same command goes on from here"):
        sys.exit(main(sys.argv[1:]))
