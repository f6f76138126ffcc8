"""What a chain is told: its sections, and the kind of each value."""

import math
from pathlib import Path

from edgebrain.errors import UserError, nearest
import yaml

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
OURS = {"output_folder", "save_folder", "output", "forms", "overwrite", "form"}
#: Options that no chain can have, and why.
REFUSED = {
    "help": "shows the options and does nothing else",
    "check_only": "writes nothing, and the chain needs what is written",
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
#: Options that take several values.
LISTS = {
    "audio",
    "compare",
    "context",
    "extra_options",
    "gain_db",
    "metrics",
    "names",
    "nodes_to_exclude",
    "op_types_to_quantize",
}
DEPLOYERS = ("stedgeai", "c_engine", "nnse_tables")
FORMS = ("stream", "patch", "offline")


def read_config(path: Path, chain: str) -> dict:
    """Return the configuration, whole for a chain.

    Raises
    ------
    UserError
        Listing everything that is missing, unknown or of a wrong kind.
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
    model = config.get("model")
    if not isinstance(model, str) or not model:
        problems.append("model: name a results folder or an ONNX file")
    needed = needed_sections(chain, config)
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
                if options.get(key) is None
            ]
        for key, value in options.items():
            problem = _problem(section, key, value)
            if problem:
                problems.append(f"{section}.{key}: {problem}")
    if not problems:
        problems = _unknown_names(config, needed)
    if problems:
        raise UserError.collect(str(path), problems)
    return config


def needed_sections(chain: str, config: dict) -> list[str]:
    """Return the sections that a chain uses, in the order of its steps."""
    sections = []
    for letter in dict.fromkeys(chain):
        if letter == "q" and not str(config.get("model")).endswith(".onnx"):
            sections.append("export")
        sections.append(NAMES[letter])
    return sections


def _unknown_names(config: dict, needed: list[str]) -> list[str]:
    problems = []
    form = config["export"].get("form") or FORMS[0]
    if form not in FORMS:
        problems.append(f"export.form: {form}: one of {', '.join(FORMS)}")
    script = config["deploy"].get("script", DEPLOYERS[0])
    if "deploy" in needed and script not in DEPLOYERS:
        problems.append(
            f"deploy.script: {script}: one of {', '.join(DEPLOYERS)}"
        )
    return problems


def _problem(section: str, key, value) -> str | None:
    """Return what is wrong with an option, whatever its script says."""
    if not isinstance(key, str):
        return "is no name of an option"
    if key in OURS and (section, key) != ("export", "form"):
        return "the chain gives it itself, leave it out"
    if (section, key) == ("evaluate", "precision"):
        return (
            "the chain knows it: before q it scores the float model, after "
            "it the quantized one; leave it out"
        )
    if key in REFUSED and section != "train":
        return f"{REFUSED[key]}; leave it out"
    if value is None:
        return None
    if section == "train":
        named = key != "yaml" or isinstance(value, str)
        return None if named and value != "" else "name a file"
    if key in SECTIONS[section]:
        if not isinstance(value, str) or not value:
            return f"{value!r} is no name"
    if key in FLAGS:
        return None if isinstance(value, bool) else "write true or false"
    if isinstance(value, list):
        if key not in LISTS:
            return f"takes one value, not a list: {key}: {value[:1]!s:.40}"
        faults = [_fault(entry) for entry in value]
        return next((fault for fault in faults if fault), None)
    return _fault(value)


def _fault(value) -> str | None:
    """Return why something is no value of an option."""
    if not isinstance(value, (str, int, float)):
        return f"{value!r} is neither a text nor a number"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no finite number"
    if isinstance(value, str) and (not value or value.startswith("--")):
        return f"{value!r} is no value"
    return None
