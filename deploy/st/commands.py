"""The commands of ST Edge AI Core for a package, in order."""

from dataclasses import dataclass
import shlex

from deploy.st.targets import Target

NEURAL_ART = "user_neuralart.json"
MODEL = "model.onnx"
OUTPUT = "tool"


@dataclass(frozen=True)
class Step:
    """One command, run in the package's folder.

    Of each group of artefacts at least one file must be there afterwards,
    anywhere below ``tool/<name>``: the exit code says little.
    """

    name: str
    words: tuple[str, ...]
    artefacts: tuple[tuple[str, ...], ...]
    purpose: str


_INFO = ("network_c_info.json", "network_report.json")


def steps(
    target: Target,
    inputs: list[str],
    outputs: list[str],
    board: str | None = None,
    int8_input: bool = False,
) -> list[Step]:
    """Return version, analyze, generate and validate.

    ``inputs`` and ``outputs`` are files of vectors in the graph's order;
    ``board`` is that of ``-d``, as ``serial:921600``, None: on the host;
    ``int8_input``: the firmware gives levels instead of floats.
    """
    tool = target.tool
    art = (
        ("--st-neural-art", f"default@{NEURAL_ART}")
        if tool.get("neural_art")
        else ()
    )
    options = tuple(tool.get("options", ()))
    common = ("-m", MODEL, "--target", tool["name"])
    vectors = ("--valinput", *inputs, "--valoutput", *outputs)
    if board is None:
        # On the host there is the generic target only, whatever the board.
        where = ("-m", MODEL, "--target", "stm32", "--mode", "host")
    else:
        where = (*common, "--mode", "target", "-d", board, "-b", "1")
    return [
        Step("version", ("--version",), (), "which tool it is"),
        Step(
            "analyze",
            ("analyze", *common, *art, *options, *_folders("analyze")),
            (_INFO,),
            "memory, operations, what runs where",
        ),
        Step(
            "generate",
            (
                *("generate", *common, *art, *options, "--c-api", "st-ai"),
                *("--input-data-type", "int8" if int8_input else "float32"),
                *("--output-data-type", "float32"),
                *("--inputs-ch-position", "chfirst"),
                *("--outputs-ch-position", "chfirst"),
                *_folders("generate"),
            ),
            (("network.c", "stai_network.c"), _INFO),
            "the C files for the firmware",
        ),
        Step(
            "validate",
            ("validate", *where, *vectors, "--save-csv", *_folders("validate")),
            (("*",),),
            "computes the same as the expected outputs",
        ),
    ]


def _folders(name: str) -> tuple[str, ...]:
    place = f"{OUTPUT}/{name}"
    return "-o", place, "--workspace", f"{place}/workspace"


def run_script(todo: list[Step]) -> str:
    """Return run.sh: the commands, each judged by its files and messages."""
    lines = [
        "#!/bin/sh",
        "# Runs ST Edge AI Core on this package. STEDGEAI names the program.",
        # A "*" stands for any file, not for those of this folder.
        "set -uf",
        'cd "$(dirname "$0")" || exit 1',
        'STEDGEAI="${STEDGEAI:-stedgeai}"',
        f"mkdir -p {OUTPUT} || exit 1",
        "",
        "# Exit codes are unreliable: messages and files decide.",
        "judge() {",
        "    code=$?; name=$1; shift",
        "    if grep -q -e 'TOOL ERROR' -e 'INTERNAL ERROR' \\",
        f"        -e 'NOT IMPLEMENTED' -e 'E103(' \"{OUTPUT}/$name.log\"; then",
        f'        echo "$name failed: see {OUTPUT}/$name.log" >&2; exit 1',
        "    fi",
        '    if [ $# -eq 0 ] && { [ "$code" -ne 0 ] ||',
        f"        ! grep -q '[^[:space:]]' \"{OUTPUT}/$name.log\"; }}; then",
        '        echo "$name gave no version (exit code $code)" >&2; exit 1',
        "    fi",
        '    for group in "$@"; do',
        "        found=",
        "        for file in $group; do",
        f'            if [ -n "$(find "{OUTPUT}/$name" -name "$file" '
        '-type f -size +0c)" ]; then found=1; fi',
        "        done",
        '        if [ -z "$found" ]; then',
        '            echo "$name wrote none of: $group" >&2; exit 1',
        "        fi",
        "    done",
        '    echo "$name: done"',
        "}",
        "",
    ]
    for step in todo:
        words = shlex.join(step.words)
        groups = " ".join(f"'{' '.join(group)}'" for group in step.artefacts)
        lines += [
            f"# {step.purpose}",
            f'rm -rf "{OUTPUT}/{step.name}"; mkdir -p "{OUTPUT}/{step.name}"',
            f'"$STEDGEAI" {words} > "{OUTPUT}/{step.name}.log" 2>&1',
            f"judge {step.name} {groups}".rstrip(),
            "",
        ]
    return "\n".join(lines)


def text(step: Step) -> str:
    """Return a command as a person types it."""
    return shlex.join(["stedgeai", *step.words])
