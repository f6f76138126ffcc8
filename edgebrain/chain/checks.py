"""What is wrong with a configuration, found before the first step.

Each function returns a dict of "section.key" to the fault and its mend.
"""

from collections.abc import Callable
import dataclasses
from pathlib import Path
import re

from edgebrain.chain.config import CHAINS, FORMS, needed_sections
from edgebrain.chain.stamps import foreign_files, is_current
from edgebrain.chain.steps import READ, Layout, Step
from edgebrain.errors import UserError
from edgebrain.onnx import metadata
from edgebrain.onnx.runner import REQUIRED_SETTINGS
from edgebrain.signal import SignalSettings

_FOLDERS = {
    "calibration_folder",
    "clean_folder",
    "data_folder",
    "init_from",
    "learned_ranges",
    "noisy_folder",
}
_FILES = {"targets_file", "yaml"}
#: These may be made by the chain itself, in the folder of the model.
_MADE = {"compare", "learned_ranges"}
_SETTINGS = [field.name for field in dataclasses.fields(SignalSettings)]
_CLASS = re.compile(r"^model:\s*!new:([\w.]+)", re.MULTILINE)
#: Operator set that 16-bit activations need.
_OPSET_16 = 21


def path_problems(config: dict, chain: str) -> dict[str, str]:
    """Look at every path that is named."""
    problems = {}
    for section in needed_sections(chain, config):
        for key in READ:
            value = config[section].get(key)
            for entry in value if isinstance(value, list) else [value]:
                if entry is None or is_made(config, key, entry):
                    continue
                problem = _path_problem(key, Path(str(entry)))
                if problem:
                    problems[f"{section}.{key}"] = f"{entry}: {problem}"
    model = Path(config["model"])
    problem = None
    if "t" in chain:
        if model.suffix == ".onnx" or model.is_file():
            problem = (
                "a chain with training needs a results folder, as "
                "results/<name>/<seed>"
            )
    elif not model.exists():
        problem = f"{model}: not there; train it with {CHAINS[0]}"
    elif model.is_file() != (model.suffix == ".onnx"):
        problem = f"{model}: is neither a results folder nor an ONNX file"
    return problems | ({"model": problem} if problem else {})


def is_made(config: dict, key: str, value) -> bool:
    """Tell whether an option names what the chain may make itself."""
    folder = Path(config["model"]).resolve()
    values = value if isinstance(value, list) else [value]
    return key in _MADE and any(
        Path(str(entry)).resolve().is_relative_to(folder) for entry in values
    )


def _path_problem(key: str, path: Path) -> str | None:
    if not path.exists():
        return "not there"
    if key in _FOLDERS and not path.is_dir():
        return "is a file; name a folder"
    if key in _FILES and not path.is_file():
        return "is a folder; name a file"
    return None


def result_problems(
    steps: list[Step], layout: Layout, force: bool
) -> dict[str, str]:
    """Look at what lies where the steps will write."""
    problems, where = {}, layout.folder / "chain"
    if where.exists() and not where.is_dir():
        problems["model"] = f"{where}: is a file, and stamps go there: move it"
        return problems
    for step in steps:
        stamp = layout.stamp(step)
        if stamp.is_dir():
            problems["model"] = f"{stamp}: is a folder, move or delete it"
        for path in step.outputs:
            folder = path if path == step.package else path.parent
            if folder.is_file():
                problems["model"] = f"{folder}: is a file, move or delete it"
        if problems or (not force and is_current(step, stamp)):
            continue
        foreign = foreign_files(step, stamp)
        if foreign:
            problems["model"] = foreign_problem(foreign)
    return problems


def foreign_problem(paths: list[Path]) -> str:
    """Say that files are not the chain's own."""
    return (
        f"{', '.join(map(str, paths))}: there already, and not as this chain "
        "made it: move or delete it"
    )


def cross_problems(
    config: dict, chain: str, get_target: Callable
) -> dict[str, str]:
    """Look at what contradicts each other.

    Arguments
    ---------
    config : dict
    chain : str
    get_target : callable
        Name and file of targets to a target; raises UserError.
    """
    try:
        card = _card(config)
    except UserError as error:
        return {"model": str(error)}
    problems = _setting_problems(config, chain, card)
    form, form_key = config["export"].get("form") or FORMS[0], "export.form"
    if Path(config["model"]).suffix == ".onnx":
        form, form_key = (card.form if card else None), "model"
        if card and card.precision != "float32":
            problems["model"] = (
                f"is quantized already ({card.precision}); give the float32 "
                "file"
            )
    for section in needed_sections(chain, config):
        if section not in ("benchmark", "deploy"):
            continue
        options = config[section]
        script = options.get("script", "stedgeai")
        if script != "stedgeai":
            if form not in ("stream", None):
                problems[form_key] = f"{form}: {script} takes the stream form"
            if script == "nnse_tables":
                problems |= _class_problem(config, chain, card)
            continue
        if form == "offline":
            problems[form_key] = (
                f"offline: {section} needs fixed shapes: stream or patch"
            )
        for key in ("frames_per_patch", "lookahead_frames"):
            if form == "stream" and options.get(key) is not None:
                problems[f"{section}.{key}"] = (
                    "is for the patch form, and the form is stream: leave it "
                    "out, or take export.form: patch"
                )
        precision = config["quantize"].get("precision")
        if precision == "int16x8" and options.get("target"):
            try:
                target = get_target(
                    options["target"], options.get("targets_file")
                )
            except UserError:
                continue  # its script says it
            if target.max_opset < _OPSET_16:
                problems["quantize.precision"] = (
                    f"int16x8: not for {section}.target {target.name}, which "
                    "takes 8-bit activations alone: int8"
                )
    return problems


def _card(config: dict):
    path = Path(config["model"])
    if path.suffix == ".onnx" and path.is_file():
        return metadata.read(path)
    return None


def _setting_problems(config: dict, chain: str, card) -> dict[str, str]:
    """Look at settings of the signal, for files without metadata alone."""
    path = Path(config["model"])
    if path.suffix != ".onnx":
        return {
            f"{section}.{key}": "a results folder knows it: leave it out"
            for section in needed_sections(chain, config)
            for key in (*_SETTINGS, "context")
            if section not in ("train", "export")
            and config[section].get(key) is not None
        }
    if card is not None or not path.is_file():
        return {}
    readers = ["quantize", *(["evaluate"] if chain[0] == "e" else [])]
    return {
        f"{section}.{key}": "is missing: the model has no metadata"
        for section in readers
        for key in REQUIRED_SETTINGS
        if config[section].get(key) is None
    }


def _class_problem(config: dict, chain: str, card) -> dict[str, str]:
    """Say that a network is no NNSE, where that can be told."""
    found, where = "", config["model"]
    if card is not None:
        found = card.model_class
    else:
        files = [Path(where) / "hyperparams.yaml"]
        if "t" in chain:
            files.insert(0, Path(str(config["train"]["yaml"])))
        for file in files:
            if file.is_file():
                where = file
                text = file.read_text(encoding="utf-8", errors="replace")
                match = _CLASS.search(text)
                found = match[1] if match else ""
                break
    name = found.rpartition(".")[2]
    if name in ("", "NNSE"):
        return {}
    return {
        "deploy.script": f"nnse_tables: takes NNSE networks, {where} has a "
        f"{name}: c_engine runs any"
    }
