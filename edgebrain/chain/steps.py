"""The steps of a chain: what each runs, reads and leaves."""

from dataclasses import dataclass
from pathlib import Path

from edgebrain.chain.config import FORMS, SECTIONS

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
