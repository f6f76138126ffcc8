"""The README of a package: what is there, and the commands in order."""

from deploy.st import commands
from deploy.st.application_header import Application, plain
from deploy.st.findings import printable
from deploy.st.vectors import SYNTHETIC

#: Names of recordings that are shown; package.json has all.
_NAMES = 4


def readme(package, metadata, target, report) -> str:
    """Return README.md of a package."""
    name = plain(metadata.model_class.rpartition(".")[2]) or "network"
    parts = [
        f"# {name} for {target.name}: {target.description}",
        "",
        "Written by deploy/stedgeai.py, which has never been run against the "
        "real ST Edge AI Core: commands and formats are from its documents "
        "and from what others report. Judge by what the tool says.",
        "",
        _files(package, metadata, target),
        "",
        "## What the check found",
        "",
        "```",
        report.text(),
        "```",
        "",
        "## Commands, in order",
        "",
        "Run in this folder; `sh run.sh` runs all and judges each "
        "(`STEDGEAI=/path/to/stedgeai sh run.sh` where it is not on the "
        "PATH).",
        "",
    ]
    for number, step in enumerate(package.steps, 1):
        parts += [
            f"{number}. {step.name}: {step.purpose}",
            "   ```",
            f"   {commands.text(step)}",
            "   ```",
        ]
    parts += ["", _on_board(package, metadata, target)]
    return "\n".join(parts) + "\n"


def _files(package, metadata, target) -> str:
    computed = "what onnxruntime computed for them"
    if metadata.precision != "float32":
        computed += (
            " with its session option `session.qdqisint8allowed=1`; with its "
            "default options the outputs of signed int8 models differ"
        )
    rows = [
        f"| {commands.MODEL} | the network |",
        f"| vectors/in_*.npy | {package.calls} calls of "
        f"{source_of(package.audio)}, one a row, an array an input |",
        f"| vectors/out_*.npy | {computed} |",
        "| run.sh | the commands below |",
        "| check.txt, package.json | what the check found; all facts |",
    ]
    if target.tool.get("neural_art"):
        rows.append(
            f"| {commands.NEURAL_ART}, *.mpool | profile and memory pools of "
            "the Neural-ART compiler; without the profile nearly every node "
            "runs on the processor |"
        )
    if isinstance(package.application, Application):
        rows.append(
            "| audio_application/ | header and tables for ST's audio "
            "application |"
        )
    return "\n".join(["| file | what it is |", "|---|---|", *rows])


def source_of(names: list[str]) -> str:
    """Return what the vectors are of."""
    if names == [SYNTHETIC]:
        return f"{SYNTHETIC} (give recordings by --audio)"
    more = len(names) - _NAMES
    text = ", ".join(map(code, names[:_NAMES]))
    return text + (f" and {more} more (package.json)" if more > 0 else "")


def code(name: str) -> str:
    """Return a name of somebody's as Markdown shows it, in tables too."""
    plain = printable(name).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"


def _on_board(package, metadata, target) -> str:
    signal = metadata.signal
    lines = ["## On the board", ""]
    if metadata.form == "stream":
        names = ", ".join(
            f"{code(s['input'])} <- {code(s['output'])}"
            for s in metadata.states
        )
        lines.append(
            "Each call takes the next frame and the states. Zero the states "
            "at the start; after a call copy each output state to its input: "
            f"{names or 'there are none'}. "
            f"An output comes {metadata.lookahead_frames or 0} frames late. In "
            "vectors/ each row holds the states of that moment, so that rows "
            "can be compared one by one. That `validate` takes one file an "
            "input, in the graph's order, has not been tried."
        )
    if isinstance(package.application, Application):
        lines.append(
            f"{package.application.guide}\n\n"
            "1. Copy the files of audio_application/ over those of the "
            "application (Dpu/Inc, Dpu/Src).\n"
            "2. Copy the generated network*.c, network*.h and stai_network.* "
            "over those of the application.\n"
            "3. Build in STM32CubeIDE"
            + _programming(target)
            + ".\n\nKeep lines of the microphone of your version of the "
            "application where they differ."
        )
    else:
        lines.append(f"\nST's audio application: {package.application}")
    lines.append(
        f"\nThe network takes features of frames of {signal.win_length} "
        f"samples ({signal.window} window, periodic) in an FFT of "
        f"{signal.n_fft}, a frame every {signal.hop_length}, at "
        f"{signal.sample_rate} Hz, samples in -1 to 1" + _in_and_out(metadata)
    )
    return "\n".join(lines)


def _in_and_out(metadata) -> str:
    if metadata.task == "enhancement":
        return (
            f": |X| ** {metadata.signal.power:g}; and gives a real mask for "
            "the complex spectrum."
        )
    settings = ", ".join(
        f"{printable(str(key))} {printable(str(value))}"
        for key, value in metadata.features.items()
    )
    classes = ", ".join(map(code, metadata.class_names))
    return f" ({settings}); and gives a value a class: {classes}."


def _programming(target) -> str:
    pools = [p for p in target.memory_pool if p.get("constants_preferred")]
    if not pools:
        return " and program the board"
    return (
        ", sign the binary, and program the application at 0x70100000 and "
        f"the weights (*.raw) at {pools[0]['address']}"
    )
