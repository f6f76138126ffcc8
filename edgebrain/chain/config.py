"""What a chain is told: its sections, and what is wrong with them."""

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
DEPLOYERS = ("stedgeai", "c_engine", "nnse_tables")
FORMS = ("stream", "patch", "offline")


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
