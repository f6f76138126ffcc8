#!/usr/bin/env python3
"""Check an ONNX model for ST Edge AI Core, package it, and run the tool.

    python deploy/stedgeai.py export/stream_int8.onnx --target stm32n6
    python deploy/stedgeai.py export/patch_int8.onnx --target stm32n6 \
        --audio recordings --stedgeai ~/ST/STEdgeAI/4.0/Utilities/linux/stedgeai
    python deploy/stedgeai.py export/stream_int8.onnx --target stm32n6 --cloud

Checks what can be told from the file; writes a folder with the model, input
and expected output of real audio, profiles, headers and the exact commands;
and, where stedgeai is on the PATH or given, runs them and prints memory,
operations and time. With --cloud ST's developer cloud does so instead, and
measures on a board of its farm: the model is uploaded, and deleted again; the
environment holds its token, STM32AI_TOKEN. Neither the real tool nor the real
cloud has been run against this script: it is built from their documents.

Exit status: 0 all well (warnings included), 1 the check failed and nothing
was written, 2 wrong use, 3 the tool or the cloud failed.
"""

import dataclasses
import json
import os
from pathlib import Path
import shlex
import sys
import tempfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgebrain.checks import Number  # noqa: E402
from edgebrain.command_line import (  # noqa: E402
    add_signal_arguments,
    exit_on_user_error,
    model_arguments,
    read_options,
    script_parser,
)
from edgebrain.errors import UserError  # noqa: E402


def parse(argv):
    """Return the arguments of the command line."""
    parser = script_parser(__doc__)
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL")
    add("--target", required=True, help="stm32n6, stm32u5, stm32h7, stm32")
    add("--targets_file", type=Path, metavar="TOML", help="targets of your own")
    add(
        "--output_folder",
        type=Path,
        metavar="D",
        help="default: beside MODEL, named after it and the target",
    )
    add("--check_only", action="store_true", help="write nothing")
    add("--json", action="store_true", help="print the result as JSON")
    add(
        "--audio",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="recordings, or folders of them, for the vectors (default: a "
        "synthetic voice)",
    )
    add(
        "--vectors",
        type=Number(whole=True, least=1),
        default=20,
        metavar="N",
        help="calls: 20",
    )
    add = parser.add_argument_group("the tool").add_argument
    add("--stedgeai", metavar="PROGRAM", help="default: from the PATH")
    add("--no_run", action="store_true", help="do not run it")
    add(
        "--board",
        metavar="PORT",
        help="validate on a board, as serial:921600 (default: on the host)",
    )
    add = parser.add_argument_group(
        "ST's developer cloud, instead of the tool"
    ).add_argument
    add("--cloud", action="store_true", help="upload the model and run there")
    add(
        "--cloud_board",
        metavar="NAME",
        help="board to measure on, or none (default: that of the target)",
    )
    add("--cloud_version", metavar="V", help="of the tool; default: the latest")
    add("--cloud_url", metavar="URL", help="default: ST's")
    add = parser.add_argument_group(
        "ST's audio application (stm32n6, patch form)"
    ).add_argument
    add(
        "--silence_threshold_db",
        type=Number(least=-1000, most=0),
        default=-50.0,
        metavar="DB",
        help="enhancement: output below it is set to zero (default: -50)",
    )
    add(
        "--unknown_below",
        type=Number(least=0, most=1),
        metavar="P",
        help="events: unknown where no probability is above it (default: as "
        "chosen in training, else 0)",
    )
    add_signal_arguments(parser)
    return read_options(parser, argv, check)


def main(argv):
    """Run with the words of the command line; return the exit status."""
    arguments = parse(argv)
    from edgebrain.files import check_folder
    from edgebrain.onnx.graph import Graph

    from deploy.st import checker
    from deploy.st.package import MARKER
    from deploy.st.targets import get_target
    from deploy.st.tool import find_tool, run_steps

    target = get_target(arguments.target, arguments.targets_file)
    cloud = make_cloud(arguments, target)
    program = None
    if not (cloud or arguments.no_run or arguments.check_only):
        program = find_tool(arguments.stedgeai)
    model = arguments.model
    folder = arguments.output_folder
    if folder is None:
        folder = model.with_name(f"{model.stem}_{target.name}")
    if not arguments.check_only:
        check_folder(folder, MARKER)
    graph = Graph.read(model)
    report = checker.check(
        graph,
        target,
        silence_db=arguments.silence_threshold_db,
        unknown_below=arguments.unknown_below,
    )
    result = {"check": report.to_dict()}
    # With --json standard output holds nothing else.
    say = (lambda line: None) if arguments.json else print
    say(report.text())
    status = 0
    if report.level == "fail":
        status = 1
        say("\nnothing was written: mend what fails, then run this again")
    elif not arguments.check_only:
        if cloud is not None:
            say(f"\n{cloud.connect()}")
        package = hand_off(arguments, graph, target, report, folder, say)
        result["package"] = {
            "folder": str(folder),
            "calls": package.calls,
            "set_aside": package.set_aside,
        }
        todo = package.steps
        if cloud is not None:
            result["cloud"] = cloud.facts()
            steps = cloud.run(folder, model.stem, todo, say)
            status, more = tell(steps, folder, say)
            result |= more
        elif program is not None:
            status, more = tell(run_steps(program, folder, todo), folder, say)
            result |= more
        else:
            say(
                "\nstedgeai was not run"
                + ("" if arguments.no_run else ": it is not on the PATH")
                + f". Where it is: sh {shlex.quote(str(folder / 'run.sh'))}"
            )
    if arguments.json:
        print(json.dumps(result, indent=2))
    return status


def check(arguments):
    """Refuse what needs no model to be told."""
    from deploy.st.targets import get_target
    from deploy.st.tool import find_tool
    from deploy.st.vectors import find_files

    target = get_target(arguments.target, arguments.targets_file)
    find_files(arguments.audio)
    if not arguments.no_run:
        find_tool(arguments.stedgeai)
    make_cloud(arguments, target)


def make_cloud(arguments, target):
    """Return the developer cloud, None without --cloud."""
    names = ("cloud_board", "cloud_version", "cloud_url")
    if not arguments.cloud:
        given = [f"--{n}" for n in names if getattr(arguments, n) is not None]
        if given:
            raise UserError(f"{', '.join(given)}: goes with --cloud alone")
        return None
    others = ("stedgeai", "board", "no_run", "check_only")
    against = [f"--{name}" for name in others if getattr(arguments, name)]
    if against:
        raise UserError(
            f"--cloud and {', '.join(against)} contradict each other: the "
            "cloud runs its own tool, on a board of its own (--cloud_board)"
        )
    try:
        from deploy.st.cloud import Cloud
    except ModuleNotFoundError as error:
        raise UserError(
            f"--cloud needs {error.name}: pip install {error.name}"
        ) from None
    given = [getattr(arguments, name) for name in names]
    return Cloud(target, *given, os.environ)


def hand_off(arguments, graph, target, report, folder, say):
    """Write the package; return what was written."""
    from edgebrain.onnx.runner import load_runner

    from deploy.st.application import adapted
    from deploy.st.package import write_package
    from deploy.st.vectors import read_clips

    with tempfile.TemporaryDirectory() as scratch:
        graph = adapted(graph, report.application, Path(scratch))
        runner = load_runner(graph.path, **model_arguments(arguments))
        rate = runner.metadata.signal.sample_rate
        clips = read_clips(arguments.audio, rate, arguments.vectors)
        package = write_package(
            folder,
            graph,
            runner,
            target,
            report,
            clips,
            arguments.vectors,
            arguments.board,
        )
    say(f"\npackage: {folder} ({package.calls} calls in vectors/)")
    if package.set_aside:
        say(f"results of the run before are now in {package.set_aside}/")
    return package


def tell(results, folder, say):
    """Say what became of the steps; return the status and the figures."""
    from deploy.st.figures import read_figures

    for result in results:
        word = "done" if result.ok else "FAILED"
        say(f"{result.name:<9} {word}  {result.reason}".rstrip())
    steps = [
        {"name": r.name, "ok": r.ok, "reason": r.reason, "log": str(r.log)}
        for r in results
    ]
    if not results[-1].ok:
        say(f"see {results[-1].log}; the package stays: {folder}")
        return 3, {"tool": steps}
    try:
        figures = read_figures(folder)
    except UserError as error:
        say(f"\n{error}\nthe package stays: {folder}")
        return 3, {"tool": steps, "tool_error": str(error)}
    facts = dataclasses.asdict(figures)
    text = json.dumps(facts, indent=2) + "\n"
    (folder / "tool" / "figures.json").write_text(text, encoding="utf-8")
    say(f"\n{figures.text()}")
    return 0, {"tool": steps, "figures": facts}


if __name__ == "__main__":
    with exit_on_user_error():
        sys.exit(main(sys.argv[1:]))
