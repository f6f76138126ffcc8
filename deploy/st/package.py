"""Write the package that STM32CubeIDE and ST Edge AI Core work from."""

from dataclasses import dataclass
import json
import os
from pathlib import Path
import re
import shutil

from edgebrain.stamps import sha256
import numpy as np

from deploy.folders import whole_folder
from deploy.st import audio_application, commands, neural_art
from deploy.st.audio_application import AudioApplication
from deploy.st.findings import Report
from deploy.st.graph import Graph
from deploy.st.readme import readme
from deploy.st.targets import Target
from deploy.st.vectors import Clip, make_vectors

MARKER = "package.json"


@dataclass(frozen=True)
class Package:
    """A package that was written.

    Attributes
    ----------
    folder : Path
    steps : list of deploy.st.commands.Step
    application : AudioApplication or None
    no_header : str
        Why there is no header for the audio application.
    calls : int
        Rows of the vectors.
    audio : list of str
        Names of the clips that the vectors are of.
    set_aside : str or None
        Where the tool's results of an older package are now.
    """

    folder: Path
    steps: list
    application: AudioApplication | None
    no_header: str
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
    frames_per_patch: int | None = None,
    lookahead_frames: int | None = None,
    silence_db: float = -50.0,
    other_steps: tuple[str, ...] = (),
) -> Package:
    """Write a package, whole or not at all.

    Arguments
    ---------
    folder : str or Path
        May hold an older package: its files are replaced, others stay, and
        results of another model, profile or command are set aside.
    graph : Graph
    runner : edgebrain.onnx.runner.Runner
        Of the same file.
    target : Target
    report : Report
        Of the check, which is part of the package.
    clips : list of deploy.st.vectors.Clip
    count : int
        Calls of the vectors.
    board : str, optional
        As :func:`deploy.st.commands.steps`.
    frames_per_patch, lookahead_frames, silence_db
        As :func:`deploy.st.audio_application.plan`.
    other_steps : tuple of str
        Steps that the run to come does not do: with results of one of them
        those of an older run are set aside too.

    Returns
    -------
    Package

    Raises
    ------
    UserError
        When the folder holds something else or edited files, the clips are
        too short, or
        the numbers do not fit the model.
    """
    application, no_header = None, "it is for the STM32N6"
    if target.tool.get("neural_art"):
        application, no_header = audio_application.plan(
            runner.metadata,
            runner.frames if runner.form == "patch" else None,
            frames_per_patch,
            lookahead_frames,
            silence_db,
        )
    vectors, audio = make_vectors(runner, clips, count)
    inputs = [f"vectors/{_file('in_' + name)}" for name in graph.inputs]
    outputs = [f"vectors/{_file('out_' + name)}" for name in graph.outputs]
    todo = commands.steps(target, inputs, outputs, board)
    calls = len(next(iter(vectors.values())))
    folder, profile = Path(folder), neural_art.files(target)
    old = _old_results(folder, graph, todo, profile, other_steps)
    package = Package(folder, todo, application, no_header, calls, audio, old)
    aside = {commands.OUTPUT: old} if old else {}
    with whole_folder(folder, MARKER, aside) as new:
        shutil.copyfile(graph.path, new / commands.MODEL)
        (new / "vectors").mkdir()
        for name, array in vectors.items():
            np.save(new / "vectors" / _file(name), array, allow_pickle=False)
        texts = dict(profile)
        if application is not None:
            texts["audio_application/ai_model_config.h"] = (
                audio_application.header(application, runner.metadata)
            )
            texts["audio_application/user_win.c"] = (
                audio_application.window_source(runner.metadata)
            )
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


def early_names(target: Target) -> list[str]:
    """Return the files of any package for a target."""
    names = [commands.MODEL, "run.sh", "check.txt", "README.md", MARKER]
    return [*names, *neural_art.files(target)]


def _old_results(
    folder: Path, graph: Graph, todo, profile, other_steps
) -> str | None:
    """Return a new name for the tool's results of another package.

    Arguments
    ---------
    folder : Path
    graph : Graph
    todo : list of deploy.st.commands.Step
    profile : dict of str to str
        Files that the commands read, beside the model.
    other_steps : tuple of str
        As of :func:`write_package`.

    Returns
    -------
    str or None
        None where there are none, or those of the same package.
    """
    if not os.path.lexists(folder / commands.OUTPUT):
        return None
    try:
        facts = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        same = (
            facts["commands"] == {s.name: commands.text(s) for s in todo}
            and sha256(folder / commands.MODEL) == sha256(graph.path)
            and all(
                (folder / name).read_text(encoding="utf-8") == text
                for name, text in profile.items()
            )
        )
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    tool = folder / commands.OUTPUT
    if same and not any((tool / name).exists() for name in other_steps):
        return None
    old = name = f"{commands.OUTPUT}_old"
    number = 1
    while os.path.lexists(folder / name):
        number += 1
        name = f"{old}_{number}"
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
