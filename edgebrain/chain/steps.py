"""The steps of a chain: what each runs, reads and leaves."""

from dataclasses import dataclass
import json
from pathlib import Path
import shutil

from edgebrain.chain.config import FLAGS, FORMS, SECTIONS

#: Options that name something that is read.
READ = (
    "audio",
    "calibration_folder",
    "clean_folder",
    "compare",
    "data_folder",
    "init_from",
    "learned_ranges",
    "noisy_folder",
    "targets_file",
    "yaml",
)
#: Where no tool is run.
NO_TOOL = "none"


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
    package : Path or None
        Folder of a deployer, where others may work too: of what lies there
        the deployer's own files are the result.
    tool : str
        Program that the result belongs to.
    """

    letter: str
    key: str
    commands: list[list[str]]
    inputs: list[Path]
    outputs: list[Path]
    package: Path | None = None
    tool: str = NO_TOOL


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

    def stamp(self, step: Step) -> Path:
        """Return the file that says what a step's result belongs to."""
        return self.folder / "chain" / f"{step.key}.json"


def make_layout(config: dict) -> Layout:
    """Return where things are."""
    model = Path(config["model"])
    precision = config["quantize"].get("precision") or "int8"
    form = config["export"].get("form") or FORMS[0]
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


def own_options(config: dict, section: str) -> dict:
    """Return the options of a section that go to its script as they are."""
    taken = {"train": "yaml", "export": "form", "deploy": "script"}
    return {
        key: value
        for key, value in config[section].items()
        if key != taken.get(section)
    }


def paths_read(options: dict, known: tuple[str, ...] = ()) -> list[Path]:
    """Return the paths that options name, but those of ``known``.

    Of a results folder it is the weights.
    """
    paths = []
    for key in READ:
        if key in known or options.get(key) is None:
            continue
        value = options[key]
        for entry in value if isinstance(value, list) else [value]:
            path = Path(str(entry))
            paths.append(path / "save" if (path / "save").is_dir() else path)
    return paths


def _train(config: dict, layout: Layout, quantized: bool) -> Step:
    options = own_options(config, "train")
    recipe = config["train"]["yaml"]
    # What is no plain value is read there as yaml, which JSON is.
    texts = {
        key: json.dumps(value) if isinstance(value, (list, dict)) else value
        for key, value in options.items()
    }
    target = ["--output_folder", str(layout.model)]
    data = options.get("data_folder")
    first = [Path(recipe), *([Path(data)] if data else [])]
    return Step(
        "t",
        "train",
        [["train.py", recipe, *target, *words(texts)]],
        [*first, *paths_read(options, ("data_folder",))],
        [layout.model / "save"],
    )


def _quantize(config: dict, layout: Layout, quantized: bool) -> Step:
    commands, inputs = [], [layout.model]
    outputs, options = [layout.quantized], config["quantize"]
    more = paths_read(options, ("calibration_folder",))
    if layout.model.suffix != ".onnx":
        export = own_options(config, "export")
        form = config["export"].get("form") or FORMS[0]
        target = ["--output_folder", str(layout.source.parent)]
        head = ["export_onnx.py", str(layout.model), "--forms", form]
        commands.append([*head, "--overwrite", *target, *words(export)])
        inputs = [layout.model / "save"]
        more += paths_read(export)
        outputs.append(layout.source)
    if options.get("static_sequence_length") is not None:
        stem = layout.quantized.stem
        outputs.append(layout.quantized.with_name(f"{stem}_static.onnx"))
    commands.append(
        [
            "quantize.py",
            str(layout.source),
            "--overwrite",
            *("--output", str(layout.quantized)),
            *words(options),
        ]
    )
    folder = Path(options["calibration_folder"])
    return Step("q", "quantize", commands, [*inputs, folder, *more], outputs)


def _evaluate(config: dict, layout: Layout, quantized: bool) -> Step:
    options = config["evaluate"]
    model = layout.quantized if quantized else layout.model
    name = layout.quantized.stem if quantized else "float32"
    output = layout.folder / f"test_{name}"
    target = ["--output_folder", str(output)]
    weights = model if model.suffix == ".onnx" else model / "save"
    pair = SECTIONS["evaluate"]
    folders = [Path(options[key]) for key in pair]
    return Step(
        "e",
        f"evaluate_{name}",
        [["evaluate.py", str(model), *target, *words(options)]],
        [weights, *folders, *paths_read(options, pair)],
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
        [layout.quantized, *paths_read(options)],
        [output / "package.json"],
        output,
        find_program(options),
    )


def _deploy(config: dict, layout: Layout, quantized: bool) -> Step:
    options = own_options(config, "deploy")
    name = config["deploy"]["script"]
    output = layout.folder / f"deploy_{name}"
    # The tables of NNSE are quantized on their own, from the float stream.
    model = layout.source if name == "nnse_tables" else layout.quantized
    target = ["--output_folder", str(output)]
    script = str(Path("deploy", f"{name}.py"))
    return Step(
        "d",
        f"deploy_{name}",
        [[script, str(model), *target, *words(options)]],
        [model, *paths_read(options)],
        [output],
        output,
        find_program(options) if name == "stedgeai" else NO_TOOL,
    )


def find_program(options: dict) -> str:
    """Return path, size and time of the stedgeai that would be run."""
    if options.get("no_run") or options.get("cloud"):
        return NO_TOOL
    found = shutil.which(str(options.get("stedgeai") or "stedgeai"))
    if found is None:
        return NO_TOOL
    path = Path(found).resolve()
    facts = path.stat()
    return f"{path} {facts.st_size} {facts.st_mtime_ns}"


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
