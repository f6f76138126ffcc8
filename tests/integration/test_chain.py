"""chain.py: what it runs, skips, does again, and refuses."""

import argparse
import importlib.util
import json
import os
from pathlib import Path
import shutil
import sys

from edgebrain.command_line import exit_on_user_error
from edgebrain.data import audio
from edgebrain.errors import UserError
from edgebrain.signal.probe import speech_like
import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[2]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


chain = load("chain")
_scripts = {}


def run_here(step, *more):
    """Run a step's script in this process: seconds of imports less."""
    script, *words = [*step.command, *more]
    if script not in _scripts:
        _scripts[script] = load(script.removesuffix(".py"))
    try:
        with exit_on_user_error():
            return _scripts[script].main([str(word) for word in words]) or 0
    except SystemExit as left:
        return left.code or 0


@pytest.fixture(autouse=True)
def steps_run_here(monkeypatch):
    """Run steps in this process; return how they run by themselves."""
    whole = chain.Step.run
    monkeypatch.setattr(chain.Step, "run", run_here)
    return whole


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Return a folder of noisy/ and clean/."""
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    clean = speech_like(1.5, 16000)
    for number in range(3):
        noise = (0.03 * rng.normal(size=len(clean))).astype(np.float32)
        name = f"{number}.wav"
        audio.write(folder / "noisy" / name, clean + noise, 16000)
        audio.write(folder / "clean" / name, clean, 16000)
    return folder


@pytest.fixture
def results(causal_folder, tmp_path):
    """Return a results folder of one's own."""
    return Path(shutil.copytree(causal_folder, tmp_path / "model"))


@pytest.fixture
def config(recordings, results, tmp_path):
    """Return a function that writes a configuration."""

    def write(**changes):
        noisy = str(recordings / "noisy")
        sections = {
            "model": str(results),
            "export": {"form": "stream"},
            "quantize": {
                "calibration_folder": noisy,
                "num_quantization_samples": 3,
                "clip_seconds": 1.0,
            },
            "evaluate": {
                "noisy_folder": noisy,
                "clean_folder": str(recordings / "clean"),
                "metrics": ["si_snr"],
                "n_jobs": 1,
            },
            "benchmark": {"target": "stm32n6", "no_run": True},
            "deploy": {
                "script": "stedgeai",
                "target": "stm32h7",
                "no_run": True,
                "vectors": 2,
            },
        }
        for name, change in changes.items():
            if isinstance(change, dict) and name in sections:
                change = {**sections[name], **change}
            sections[name] = change
        path = tmp_path / "chain.yaml"
        path.write_text(yaml.safe_dump(sections))
        return path

    return write


def done(text):
    """Return the names of the steps that ran, of those that did not."""
    heads = [line for line in text.splitlines() if line.startswith("[")]
    skipped = [h.split()[1].rstrip(":") for h in heads if "skipped" in h]
    return [h.split()[1] for h in heads if "skipped" not in h], skipped


@pytest.mark.slow
@pytest.mark.integration
def test_steps_are_skipped_while_current_and_redone_when_not(
    config, onnx_folder, tmp_path, capfd, monkeypatch, steps_run_here
):
    model = tmp_path / "patch.onnx"
    shutil.copy(onnx_folder / "patch.onnx", model)
    folder = tmp_path / "patch_chain"

    def run(name, **changes):
        path = config(model=str(model), **changes)
        assert chain.main([name, str(path)]) == 0
        return done(capfd.readouterr().out)

    order = ["quantize", "benchmark"]
    assert run("qb") == (order, [])
    package = folder / "benchmark_stm32n6" / "package.json"
    assert json.loads(package.read_text())["precision"] == "int8"
    assert run("qb") == ([], order)
    # Part of the same work, and a step that is new.
    assert run("qd") == (["deploy"], ["quantize"])
    vectors = folder / "deploy_stedgeai" / "vectors"
    assert (vectors / "in_magnitude.npy").is_file()

    # Another option, and what hangs on its result.
    changed = {"quantize": {"random_seed": 7, "per_channel": False}}
    assert run("qb", **changed) == (order, [])

    # A result that is gone, by a process of its own.
    shutil.rmtree(package.parent)
    monkeypatch.setattr(chain.Step, "run", steps_run_here)
    assert run("qb", **changed) == (["benchmark"], ["quantize"])


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Return a finished step of two inputs, with its stamp."""
    monkeypatch.chdir(tmp_path)
    for name in ("noisy/a.wav", "model/save/weights", "out/x.c"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    one = chain.Step(
        "deploy",
        ["x.py", "--y"],
        [Path("noisy"), Path("model/save")],
        Path("out"),
        Path("stamp.json"),
    )
    one.stamp.write_text(json.dumps(one.state()))
    assert one.state() == one.known()
    return one


def write(path, text):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda step: write("noisy/b.wav", "new"),
        lambda step: os.utime("noisy/a.wav", ns=(6, 6)),
        lambda step: write("model/save/weights", "other"),
        lambda step: Path("model/save/weights").rename("model/save/w"),
        lambda step: write("out/x.c", "edited by hand"),
        lambda step: Path("out/x.c").unlink(),
        lambda step: shutil.rmtree("out"),
        lambda step: step.command.append("--z"),
        lambda step: step.stamp.unlink(),
        lambda step: step.stamp.write_text("{"),
        lambda step: step.stamp.write_text("[]"),
    ],
)
def test_what_makes_a_result_stale(step, change):
    change(step)
    assert step.state() != step.known()


def test_what_makes_no_result_stale(step):
    os.utime("model/save/weights", ns=(6, 6))
    write("noisy/.hidden", "x")
    write("model/save/__pycache__/m.pyc", "x")
    assert step.state() == step.known()
    # Working in a folder whose tool says what it wrote.
    write("out/written.json", json.dumps({"files": {"x.c": ""}}))
    step.stamp.write_text(json.dumps(step.state()))
    write("out/build/x.o", "object")
    assert step.state() == step.known()
    write("out/x.c", "edited")
    assert step.state() != step.known()


def test_of_a_results_folder_the_checkpoints_count(step):
    step.inputs[1] = Path("model")
    step.stamp.write_text(json.dumps(step.state()))
    write("model/test_offline/table.txt", "new")
    assert step.state() == step.known()
    write("model/save/weights", "other")
    assert step.state() != step.known()


def planned(letters, config):
    return chain.plan(letters, chain.read_config(config, letters))


def test_the_tool_and_named_files_are_inputs(config, tmp_path, monkeypatch):
    tool, mine = tmp_path / "bin" / "stedgeai", tmp_path / "mine.toml"
    write(tool, "#!/bin/sh")
    write(mine, "")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent))
    options = {"targets_file": str(mine), "no_run": False}
    last = planned("qb", config(benchmark=options))[-1]
    assert {tool, mine} < set(last.inputs)
    options["no_run"] = True
    assert tool not in planned("qb", config(benchmark=options))[-1].inputs


def test_float_is_scored_before_and_int8_after_quantization(config, results):
    steps = planned("eqeb", config())
    sections = ["evaluate", "export", "quantize", "evaluate", "benchmark"]
    assert [step.section for step in steps] == sections
    models = [Path(s.command[1]) for s in steps]
    int8 = results / "export" / "stream_int8.onnx"
    source = results / "export" / "stream.onnx"
    assert models == [results, results, source, int8, int8]
    assert len({s.stamp for s in steps}) == 5
    outputs = [s.output.relative_to(results) for s in steps]
    assert outputs[0] == Path("test_float32/metrics.json")
    assert outputs[3] == Path("test_stream_int8/metrics.json")


@pytest.mark.slow
@pytest.mark.integration
def test_training_goes_on_with_its_best_model(
    config, corpus, small_yaml, tmp_path, capfd, monkeypatch
):
    recipe = small_yaml()
    train = {
        "yaml": str(recipe),
        "data_folder": str(corpus),
        "number_of_epochs": 1,
        "cache_folder": str(tmp_path / "cache"),
    }
    path = config(model=str(tmp_path / "new"), train=train)
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    assert chain.main(["tqe", str(path)]) == 0
    assert done(capfd.readouterr().out)[0] == [
        "train",
        "export",
        "quantize",
        "evaluate",
    ]
    scores = tmp_path / "new" / "test_stream_int8" / "metrics.json"
    facts = json.loads(scores.read_text())["models"]["enhanced"]
    assert (facts["form"], facts["precision"]) == ("stream", "int8")
    assert chain.main(["tqe", str(path)]) == 0
    assert done(capfd.readouterr().out)[0] == []


def test_a_step_that_fails_stops_the_chain(config, results, capfd):
    (results / "save").rename(results / "elsewhere")
    (results / "save").mkdir()
    assert chain.main(["qb", str(config())]) == 2
    streams = capfd.readouterr()
    assert "export stopped with status 2" in streams.err
    assert "quantize" not in streams.out
    assert not (results / "chain").exists()


def test_files_of_others_are_not_written_over(config, results, capfd):
    words = ["qd", str(config())]
    assert chain.main(words) == 0
    int8 = results / "export" / "stream_int8.onnx"
    made = int8.read_bytes()
    # Others' weights under that name, with a stamp that knows another file.
    other = results / "export" / "other.onnx"
    shutil.copy(ROOT / "models" / "tcnn-120k" / "stream_int8.onnx", int8)
    theirs = int8.read_bytes()
    capfd.readouterr()
    assert chain.main([*words, "--force"]) == 2
    assert "--overwrite" in capfd.readouterr().err
    assert int8.read_bytes() == theirs
    int8.rename(other)
    assert chain.main(words) == 0
    assert int8.read_bytes() == made


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluation": {}}, "did you mean evaluate"),
        ({"quantize": {"output": "x"}}, "quantize.output: the chain gives it"),
        ({"benchmark": {"target": None}}, "benchmark.target is missing"),
        ({"benchmark": {"target": 5}}, "benchmark.target is missing"),
        ({"deploy": {"script": "c_engin"}}, "did you mean c_engine"),
        ({"model": "nowhere"}, "nowhere: not there"),
        ({"model": ["a"]}, "must name a results folder"),
        ({"export": [1]}, "export must hold options"),
    ],
)
def test_a_wrong_configuration_is_named(config, changes, message):
    with pytest.raises(UserError, match=message):
        chain.main(["qb", str(config(**changes))])


def test_a_file_that_is_no_yaml_is_named(config):
    path = config()
    path.write_text("model: [")
    with pytest.raises(UserError, match="cannot be read"):
        chain.main(["qb", str(path)])
    path = config(train={"yaml": "train.yaml"}, model="x.onnx")
    with pytest.raises(UserError, match="training makes a folder"):
        chain.main(["tqeb", str(path)])


@pytest.mark.parametrize(
    ("section", "options", "message"),
    [
        ("quantize", {"calibration_folder": "gone"}, "gone"),
        ("quantize", {"calibration_folder": None}, "are required"),
        ("quantize", {"precision": "int4"}, "did you mean int8"),
        ("quantize", {"num_quantization_samples": 0}, "number from 1"),
        ("quantize", {"clip_seconds": float("nan")}, "number from 0.1"),
        ("export", {"opset": 99}, "99"),
        ("benchmark", {"speed": 3}, "unrecognized arguments: --speed 3"),
        ("benchmark", {"target": "stm32x6"}, "did you mean stm32n6"),
        ("benchmark", {"audio": ["gone"]}, "gone"),
        ("benchmark", {"cloud_board": "B"}, "goes with --cloud alone"),
    ],
)
def test_a_wrong_option_stops_before_the_first_step(
    config, results, capfd, section, options, message
):
    with pytest.raises(UserError, match=f"{section}: options that cannot"):
        chain.main(["qb", str(config(**{section: options}))])
    streams = capfd.readouterr()
    assert message in streams.err
    assert not (results / "export").exists()


def test_all_sections_with_wrong_options_are_named(config, capfd):
    path = config(
        quantize={"precision": "int4"},
        evaluate={"metrics": ["psq"]},
        benchmark={"vectors": 0},
    )
    with pytest.raises(UserError, match="evaluate, quantize, benchmark: opt"):
        chain.main(["eqeb", str(path)])
    assert "did you mean pesq" in capfd.readouterr().err


def test_dry_run_shows_the_commands_alone(config, results, capsys):
    assert chain.main(["qd", str(config()), "--dry_run"]) == 0
    text = capsys.readouterr().out
    assert "export_onnx.py" in text and "--target stm32h7" in text
    assert sorted(p.name for p in results.iterdir()) == [
        "hyperparams.yaml",
        "save",
    ]


@pytest.mark.parametrize(
    "name", ["export_onnx", "quantize", "evaluate", "deploy/stedgeai"]
)
def test_flags_are_those_of_the_scripts(name, monkeypatch, recordings):
    seen = {}
    usual = argparse.ArgumentParser.parse_intermixed_args

    def note(parser, *rest, **more):
        seen.update({a.dest: a.nargs for a in parser._actions})
        return usual(parser, *rest, **more)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_intermixed_args", note)
    noisy, clean = (str(recordings / name) for name in ("noisy", "clean"))
    needed = ["--noisy_folder", noisy, "--clean_folder", clean]
    needed = {"evaluate": needed, "quantize": ["--calibration_folder", noisy]}
    needed["deploy/stedgeai"] = ["--target", "stm32"]
    model = str(ROOT / "models" / "tcnn-120k" / "stream.onnx")
    load(name).parse([model, *needed.get(name, [])])
    flags = {k for k, nargs in seen.items() if nargs == 0} - {"help"}
    flags -= {"check_options"}
    assert flags - chain.OURS <= chain.FLAGS
    assert not (set(seen) - flags) & chain.FLAGS


def test_the_example_configuration_is_understood(tmp_path, monkeypatch):
    text = (ROOT / "chain.yaml").read_text()
    sections = yaml.safe_load(text)
    monkeypatch.chdir(tmp_path)
    for section, key in (
        ("quantize", "calibration_folder"),
        ("evaluate", "noisy_folder"),
        ("evaluate", "clean_folder"),
    ):
        folder = Path(sections[section][key])
        audio.write(folder / "a.wav", speech_like(0.1, 16000), 16000)
    shutil.copy(ROOT / "train.yaml", tmp_path)
    (tmp_path / "chain.yaml").write_text(text)
    for name in ("tqeb", "tqe"):
        assert chain.main([name, "chain.yaml", "--dry_run"]) == 0
