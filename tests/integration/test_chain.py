import argparse
import dataclasses
import importlib.util
import json
from pathlib import Path
import shutil

from edgebrain.chain.config import FLAGS, LISTS, OURS, read_config
from edgebrain.chain.stamps import digests, is_current
from edgebrain.chain.steps import Step, make_layout, plan
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
    config, onnx_folder, tmp_path, capfd
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

    # A result that is gone.
    shutil.rmtree(package.parent)
    assert run("qb", **changed) == (["benchmark"], ["quantize"])


def test_a_result_changed_by_hand_is_not_current(tmp_path):
    source, result = tmp_path / "in", tmp_path / "out"
    source.write_text("a")
    result.write_text("b")
    step = Step("q", "quantize", [["x.py"]], [source], [result])
    stamp = tmp_path / "stamp.json"
    assert not is_current(step, stamp)
    stamp.write_text(json.dumps(digests(step)))
    assert is_current(step, stamp)
    other = dataclasses.replace(step, commands=[["x.py", "--y"]])
    assert not is_current(other, stamp)
    result.write_text("c")
    assert not is_current(step, stamp)
    result.unlink()
    assert not is_current(step, stamp)


def test_float_is_scored_before_and_int8_after_quantization(config, results):
    sections = read_config(config(), "eqeb")
    steps = plan("eqeb", sections, make_layout(sections))
    models = [Path(s.commands[-1][1]) for s in steps]
    int8 = results / "export" / "stream_int8.onnx"
    source = results / "export" / "stream.onnx"
    assert models == [results, source, int8, int8]
    assert len({s.key for s in steps}) == 4
    outputs = [s.outputs[0].relative_to(results) for s in steps]
    assert outputs[0] == Path("test_float32/metrics.json")
    assert outputs[2] == Path("test_stream_int8/metrics.json")


@pytest.mark.slow
@pytest.mark.integration
def test_training_goes_on_with_its_best_model(
    config, corpus, small_yaml, tmp_path, capfd
):
    recipe = small_yaml()
    train = {
        "yaml": str(recipe),
        "data_folder": str(corpus),
        "number_of_epochs": 1,
        "cache_folder": str(tmp_path / "cache"),
    }
    path = config(model=str(tmp_path / "new"), train=train)
    assert chain.main(["tqe", str(path)]) == 0
    assert done(capfd.readouterr().out)[0] == ["train", "quantize", "evaluate"]
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
    assert "quantize stopped with status 2" in streams.err
    assert "benchmark" not in streams.out
    assert not (results / "chain").exists()


def test_everything_wrong_is_said_before_anything_runs(config, tmp_path):
    path = config(
        evaluation={},
        quantize={"calibration_folder": None, "output": "x"},
        benchmark={"target": None},
    )
    text = path.read_text().replace("  target: null\n", "")
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        chain.main(["tqeb", str(path)])
    for part in (
        "unknown section evaluation: did you mean evaluate?",
        "quantize.output: the chain gives it itself",
        "benchmark.target is missing",
        "train.yaml is missing",
    ):
        assert part in str(caught.value)
    path = config(model="nowhere", quantize={"calibration_folder": "gone"})
    with pytest.raises(UserError, match=r"(?s)gone: not there.*nowhere"):
        chain.main(["qb", str(path)])
    path.write_text("model: [")
    with pytest.raises(UserError, match="cannot be read"):
        chain.main(["qb", str(path)])


def test_a_wrong_option_of_a_later_step_stops_before_the_first(
    config, results, capsys
):
    path = config(benchmark={"speed": 3})
    wanted = r"chain.yaml: benchmark.speed: no such option"
    with pytest.raises(UserError, match=wanted):
        chain.main(["qb", str(path)])
    assert "usage" not in capsys.readouterr().err
    assert not (results / "export").exists()


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
def test_flags_and_lists_are_those_of_the_scripts(name, monkeypatch):
    seen = {}
    usual = argparse.ArgumentParser.parse_args

    def note(parser, *rest, **more):
        seen.update({a.dest: a.nargs for a in parser._actions})
        return usual(parser, *rest, **more)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", note)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_intermixed_args", note)
    needed = ["--noisy_folder", "N", "--clean_folder", "C"]
    needed = {"evaluate": needed, "quantize": ["--calibration_folder", "N"]}
    needed["deploy/stedgeai"] = ["--target", "stm32"]
    load(name).parse(["model", *needed.get(name, [])])
    flags = {k for k, nargs in seen.items() if nargs == 0} - {"help"}
    lists = {k for k, nargs in seen.items() if nargs == "+"}
    assert flags - OURS <= FLAGS and lists - OURS <= LISTS
    assert not (set(seen) - flags) & FLAGS
    # The recording of export_onnx.py is one.
    assert not (set(seen) - lists) & LISTS - {"audio"}


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
