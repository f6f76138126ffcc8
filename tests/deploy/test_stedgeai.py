"""The whole command, with a stand-in for ST's tool and without any."""

import json
import os
from pathlib import Path
import subprocess
import sys

from edgebrain.errors import UserError
import pytest

from deploy import stedgeai

ROOT = Path(__file__).parents[2]
TOOL = Path(__file__).with_name("stand_in_stedgeai.py")


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Return a function that runs the script with the stand-in."""
    program = tmp_path / "stedgeai"
    # -I -S: it needs no packages, and starts five times as fast.
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {TOOL} "$@"\n')
    program.chmod(0o755)

    def run(models, *words, mode="", name="stream", target="stm32n6"):
        monkeypatch.setenv("STAND_IN", mode)
        folder = tmp_path / "p"
        arguments = [str(models[name]), "--target", target]
        arguments += ["--output_folder", str(folder)]
        arguments += ["--stedgeai", str(program), *words]
        return stedgeai.main(arguments), folder

    run.program = program
    return run


def run_script(folder, program, mode=""):
    """Run run.sh of a package."""
    more = {"STEDGEAI": str(program), "STAND_IN": mode}
    return subprocess.run(
        ["sh", str(folder / "run.sh")],
        env={**os.environ, **more},
        capture_output=True,
        text=True,
    )


def test_runs_all_and_reads_the_figures(models, tool, capsys):
    status, folder = tool(models, "--board", "serial:921600")
    assert status == 0
    figures = json.loads((folder / "tool" / "figures.json").read_text())
    assert figures["ram_bytes"] == 102_400 + 1028 + 1028
    assert figures["flash_bytes"] == 1_665_904
    assert figures["macc"] == 65_200_000
    assert (figures["hardware_nodes"], figures["software_nodes"]) == (2, 1)
    assert figures["milliseconds"] == 7.2
    text = capsys.readouterr().out
    assert "ST Edge AI Core v4.0.0" in text and "7.2 ms" in text
    assert "1,000 of 458,752 bytes" in text


@pytest.mark.parametrize("board", [(), ("--board", "serial:921600")])
@pytest.mark.parametrize("target", ["stm32n6", "stm32h7", "stm32u5", "stm32"])
def test_runs_the_commands_of_each_target(models, tool, target, board):
    status, folder = tool(models, *board, target=target)
    assert status == 0
    figures = json.loads((folder / "tool" / "figures.json").read_text())
    assert figures["flash_bytes"] == 1_665_904
    facts = json.loads((folder / "package.json").read_text())
    for name in ("analyze", "generate"):
        words = facts["commands"][name].split()
        assert words[words.index("--target") + 1] == target
        assert ("--st-neural-art" in words) == (target == "stm32n6")
    done = run_script(folder, tool.program)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "mode, reason",
    [
        ("tool_error", "TOOL ERROR"),
        ("internal_error", "INTERNAL ERROR"),
        ("not_implemented", "NOT IMPLEMENTED"),
        ("e103", "E103("),
        ("silent", "wrote no network_c_info.json or network_report.json"),
        ("no_code", "wrote no network.c or stai_network.c"),
        ("no_version", "gave no version"),
        ("bad_version", "gave no version (exit code 1)"),
    ],
)
def test_failures_are_seen_whatever_the_exit_code(
    models, tool, capsys, mode, reason
):
    status, folder = tool(models, mode=mode)
    assert status == 3
    text = capsys.readouterr().out
    assert reason in text and "the package stays" in text
    assert (folder / "model.onnx").is_file()
    assert not (folder / "tool" / "figures.json").exists()


def test_a_damaged_report_is_a_failure_of_the_tool(models, tool, capsys):
    status, folder = tool(models, mode="damaged")
    assert status == 3
    text = capsys.readouterr().out
    assert "network_c_info.json: cannot be read" in text
    assert f"the package stays: {folder}" in text
    assert not (folder / "tool" / "figures.json").exists()


def test_a_report_of_another_shape_says_less(models, tool):
    status, folder = tool(models, mode="strange")
    assert status == 0
    figures = json.loads((folder / "tool" / "figures.json").read_text())
    assert figures["hardware_nodes"] is figures["pools"] is None
    assert figures["macc"] == 65_200_000


def test_a_bad_exit_code_alone_is_no_failure(models, tool):
    assert tool(models, mode="exit_1")[0] == 0


def test_the_script_of_the_package_judges_alike(models, tool):
    _, folder = tool(models, "--no_run")
    done = run_script(folder, tool.program)
    assert done.returncode == 0, done.stderr
    for mode, message in {
        "tool_error": "analyze failed",
        "no_code": "generate wrote none",
        "empty_code": "generate wrote none",
        "no_version": "version gave no version (exit code 0)",
        "bad_version": "version gave no version (exit code 1)",
    }.items():
        done = run_script(folder, tool.program, mode)
        assert done.returncode == 1 and message in done.stderr
    done = run_script(folder, folder / "nowhere")
    assert done.returncode == 1 and "gave no version" in done.stderr


def test_without_the_tool_it_says_so(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = tmp_path / "p"
    words = [str(models["stream"]), "--target", "stm32n6"]
    assert stedgeai.main([*words, "--output_folder", str(folder)]) == 0
    assert "not on the PATH" in capsys.readouterr().out
    with pytest.raises(UserError, match="no such program"):
        stedgeai.main([*words, "--stedgeai", "nowhere"])
    with pytest.raises(UserError, match="--cloud and --no_run contradict"):
        stedgeai.main([*words, "--cloud", "--no_run"])


def test_command_without_torch_prints_json(models, tmp_path):
    code = (
        "import sys, runpy\n"
        "sys.argv = sys.argv[1:]\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end:\n    status = end.code\n"
        "bad = {'torch', 'speechbrain'} & set(sys.modules)\n"
        "assert not bad, bad\n"
        "sys.exit(status)\n"
    )
    words = [ROOT / "deploy/stedgeai.py", models["lstm"], "--json"]
    words += ["--target", "stm32n6", "--no_run", "--output_folder"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words), str(tmp_path / "p")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["check"]["result"] == "warn"
    assert result["package"]["calls"] == 20
