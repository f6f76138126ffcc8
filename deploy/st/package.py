"""Write the package that STM32CubeIDE and ST Edge AI Core work from."""

from dataclasses import dataclass
from itertools import count
import json
from pathlib import Path
import re
import shutil

from edgebrain.files import sha256, whole_folder
from edgebrain.onnx.graph import Graph
import numpy as np

from deploy.st import commands, neural_art
from deploy.st.application_header import Application, Unfit
from deploy.st.findings import Report
from deploy.st.readme import readme
from deploy.st.targets import Target
from deploy.st.vectors import Clip, make_vectors

MARKER = "package.json"


@dataclass(frozen=True)
class Package:
    """A package that was written.

    ``calls`` are rows of vectors, of the clips named in ``audio``. The tool's
    results of the run before were ``set_aside``.
    """

    folder: Path
    steps: list
    application: Application | Unfit
    calls: int
    audio: list[str]
    set_aside: str | None = None


def write_package(
    folder: str | Path,
    graph: Graph,
    runner,
    target: Target,
    report: Report,
    clips: list[Clip],
    count: int = 20,
    board: str | None = None,
) -> Package:
    """Write a package, whole or not at all.

    The folder may hold an older one: its files are replaced, others stay, and
    results of the tool are set aside.
    """
    vectors, audio = make_vectors(runner, clips, count)
    inputs = [f"vectors/{_file('in_' + name)}" for name in graph.inputs]
    outputs = [f"vectors/{_file('out_' + name)}" for name in graph.outputs]
    todo = commands.steps(
        target,
        inputs,
        outputs,
        board,
        int8_input=isinstance(report.application, Application),
    )
    calls = len(next(iter(vectors.values())))
    folder = Path(folder)
    with whole_folder(folder, MARKER) as new:
        old = _set_aside(folder)
        package = Package(folder, todo, report.application, calls, audio, old)
        shutil.copyfile(graph.path, new / commands.MODEL)
        (new / "vectors").mkdir()
        for name, array in vectors.items():
            np.save(new / "vectors" / _file(name), array, allow_pickle=False)
        texts = neural_art.files(target)
        if isinstance(report.application, Application):
            for name, text in report.application.files().items():
                texts[f"audio_application/{name}"] = text
        texts["run.sh"] = commands.run_script(todo)
        texts["check.txt"] = report.text() + "\n"
        texts["README.md"] = readme(package, runner.metadata, target, report)
        texts[MARKER] = _facts(package, graph, target, report, runner)
        for name, text in texts.items():
            path = new / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (new / "run.sh").chmod(0o755)
    return package


def _set_aside(folder: Path) -> str | None:
    """Rename the results of the run before, so that runs never mix."""
    results = folder / commands.OUTPUT
    if not results.is_dir():
        return None
    names = (f"{commands.OUTPUT}_{number}" for number in count(1))
    name = next(n for n in names if not (folder / n).exists())
    results.rename(folder / name)
    return name


def _facts(package, graph: Graph, target: Target, report: Report, runner):
    facts = {
        "model_sha256": sha256(graph.path),
        "checkpoint_sha256": runner.metadata.checkpoint_sha256,
        "form": runner.form,
        "precision": runner.metadata.precision,
        "target": target.name,
        "signal": runner.metadata.signal.to_dict(),
        "states": list(runner.metadata.states),
        "calls": package.calls,
        "audio": package.audio,
        "commands": {s.name: commands.text(s) for s in package.steps},
        "check": report.to_dict(),
    }
    return json.dumps(facts, indent=2) + "\n"


def _file(name: str) -> str:
    """Return a file name; tensors of others may have any characters."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name) + ".npy"
