"""What a chain refuses, always before its first step."""

import importlib.util
import json
from pathlib import Path
import shutil

from edgebrain.chain.stamps import digests
from edgebrain.chain.steps import make_layout, plan
from edgebrain.data import audio
from edgebrain.errors import UserError
from edgebrain.signal.probe import speech_like
import onnx
import pytest
import yaml

ROOT = Path(__file__).parents[2]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


chain = load("chain")


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Return a function that writes the configuration of a new model.

    It lies in the working folder, beside folders that are right (noisy,
    clean), ``empty`` and ``file.txt``. No step may start.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("STM32AI_TOKEN", "STM32AI_USERNAME", "STM32AI_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(chain, "run", lambda *_: pytest.fail("a step started"))
    shutil.copy(ROOT / "train.yaml", tmp_path)
    for name in ("noisy", "clean"):
        audio.write(Path(name, "a.wav"), speech_like(0.2, 16000), 16000)
    Path("empty").mkdir()
    Path("file.txt").write_text("x")

    def write(**changes):
        sections = {
            "model": "results/new",
            "train": {"yaml": "train.yaml"},
            "export": {"form": "stream"},
            "quantize": {"calibration_folder": "noisy"},
            "evaluate": {"noisy_folder": "noisy", "clean_folder": "clean"},
            "benchmark": {"target": "stm32n6"},
            "deploy": {"script": "stedgeai", "target": "stm32h7"},
        }
        for key, value in changes.items():
            section, dot, option = key.partition("__")
            if dot:
                sections[section][option] = value
            else:
                sections[section] = value
        Path("my.yaml").write_text(yaml.safe_dump(sections))
        return sections

    return write


def refusal(name="tqeb"):
    """Return the message with which a chain stops before its first step."""
    with pytest.raises(UserError) as caught:
        chain.main([name, "my.yaml"])
    assert not Path("results").exists()
    return str(caught.value)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("quantize.calibration_folder", "empty", "holds no audio file"),
        ("quantize.calibration_folder", "file.txt", "name a folder"),
        ("quantize.calibration_folder", None, "is missing"),
        ("quantize.precision", "int4", "did you mean int8"),
        ("quantize.precision", "int16x8", "not for benchmark.target stm32n6"),
        ("quantize.precision", ["int8"], "takes one value, not a list"),
        ("quantize.calibration_method", "Foo", "Entropy"),
        ("quantize.num_quantization_samples", 0, "at least 1"),
        ("quantize.num_quantization_samples", "x", "invalid int value"),
        ("quantize.clip_seconds", float("nan"), "no finite number"),
        ("quantize.clip_seconds", -1.0, "must be above 0"),
        ("quantize.op_types_to_quantize", ["Foo"], "unknown operator"),
        ("quantize.learned_ranges", "gone", "not there"),
        ("quantize.help", True, "does nothing else"),
        ("quantize.n_fft", 512, "leave it out"),
        ("quantize.output", "x.onnx", "the chain gives it itself"),
        ("evaluate.metrics", ["psq"], "did you mean pesq"),
        ("evaluate.metrics", {"a": 1}, "neither a text nor a number"),
        ("evaluate.noisy_folder", "file.txt", "name a folder"),
        ("evaluate.noisy_folder", "empty", "has no partner"),
        ("evaluate.noisy_folder", 5, "is no name"),
        ("evaluate.precision", "float32", "leave it out"),
        ("evaluate.n_jobs", 0, "from 1"),
        ("evaluate.report", "yes", "true or false"),
        ("benchmark.target", "stm32x6", "did you mean stm32n6"),
        ("benchmark.audio", ["gone"], "not there"),
        ("benchmark.audio", "empty", "holds no audio file"),
        ("benchmark.targets_file", "empty", "name a file"),
        ("benchmark.stedgeai", "/gone", "no such program"),
        ("benchmark.cloud", True, "STM32AI_TOKEN"),
        ("benchmark.check_only", True, "writes nothing"),
        ("benchmark.frames_per_patch", 20, "is for the patch form"),
        ("benchmark.speed", 3, "no such option"),
        ("export.form", "offline", "benchmark needs fixed shapes"),
        ("export.opset", 99, "13 to 20"),
        ("train.init_from", "gone", "not there"),
        ("train.yaml", "empty", "name a file"),
    ],
)
def test_a_bad_value_is_named_before_training(write, key, value, message):
    write(**{key.replace(".", "__"): value})
    text = refusal()
    # Without its file a target is unknown too.
    several = key.endswith("targets_file")
    head = "my.yaml (2 problems):\n  - " if several else "my.yaml: "
    assert text.startswith(head + key) and message in text


@pytest.mark.parametrize(
    "options, key, message",
    [
        ({"vectors": 0}, "vectors", "from 1"),
        ({"lookahead_frames": 2}, "lookahead_frames", "the patch form"),
        ({"target": "x"}, "target", "unknown target"),
        ({"script": "nnse_tables"}, "net_id", "is missing"),
        (
            {"script": "nnse_tables", "net_id": 0, "net_name": "3x"},
            "net_name",
            "not a C identifier",
        ),
        (
            {"script": "nnse_tables", "net_id": 0, "net_name": "se"},
            "script",
            "results/new/hyperparams.yaml has a STFTTCNN",
        ),
        ({"script": "c_engine", "name": "int"}, "name", "no prefix"),
        ({"script": ["c_engine"]}, "script", "is no name"),
    ],
)
def test_a_bad_value_of_deploy_is_named_before_export(
    write, monkeypatch, options, key, message
):
    if "target" not in options and "script" not in options:
        options = {"target": "stm32h7", **options}
    write(deploy={"script": "stedgeai", **options})
    Path("results/new/save").mkdir(parents=True)
    text = "model: !new:edgebrain.enhancement.networks.STFTTCNN\n"
    Path("results/new/hyperparams.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        chain.main(["qd", "my.yaml"])
    assert f"  - deploy.{key}: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("form", ["patch", "offline"])
def test_the_engines_take_streams(write, form):
    write(export={"form": form}, deploy={"script": "c_engine"})
    assert f"export.form: {form}: c_engine takes the stream" in refusal("qd")


def test_cloud_board_without_cloud(write):
    write(benchmark__cloud_board="B")
    assert "benchmark.cloud_board: goes with --cloud alone" in refusal()
    write(benchmark__cloud=True, benchmark__no_run=True)
    assert "benchmark.cloud: --cloud and --no_run contradict" in refusal()


def test_a_model_that_cannot_be_taken(write, onnx_folder):
    write(model="noisy/a.wav")
    assert "model: noisy/a.wav: is neither" in refusal("qb")
    Path("broken.onnx").write_text("x")
    write(model="broken.onnx")
    assert "model: broken.onnx" in refusal("qb")
    write(model=str(onnx_folder / "offline.onnx"))
    assert "model: offline: benchmark needs fixed shapes" in refusal("qb")
    plain = onnx.load(onnx_folder / "patch.onnx")
    del plain.metadata_props[:]
    onnx.save(plain, "plain.onnx")
    write(model="plain.onnx")
    assert "quantize.n_fft: is missing: the model has no" in refusal("qb")


def test_all_problems_come_in_one_message(write):
    write(
        quantize__precision="int4",
        quantize__num_quantization_samples=0,
        evaluate__metrics="psq",
        benchmark__audio="gone",
        benchmark__speed=1,
    )
    text = refusal()
    assert text.startswith("my.yaml (5 problems):")
    for key in ("quantize.precision", "evaluate.metrics", "benchmark.speed"):
        assert f"  - {key}: " in text


def folder_with_stamp(sections, name="qb"):
    """Make files as a chain leaves them; return step, stamp and export."""
    layout = make_layout(sections)
    (layout.model / "save").mkdir(parents=True)
    step = plan(name, sections, layout)[0]
    for path in step.outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    return step, layout.stamp(step)


def ask(words=()):
    """Return why a chain does not begin, None where it does."""
    try:
        chain.main(["qb", "my.yaml", *words, "--dry_run"])
    except UserError as error:
        return str(error)
    return None


def test_files_of_others_are_not_written_over(write):
    sections = write()
    step, stamp = folder_with_stamp(sections)
    for words in ((), ("--force",)):
        text = ask(words)
        assert "model: " in text and "stream.onnx" in text
        assert "move or delete it" in text
    stamp.parent.mkdir()
    stamp.write_text(json.dumps(digests(step)))
    assert ask() is None and ask(["--force"]) is None

    # The chain's own, although the step is not current any more.
    write(quantize__random_seed=7)
    assert ask() is None
    step.outputs[0].write_text("by hand")
    text = ask()
    assert "stream_int8.onnx" in text and "export/stream.onnx" not in text

    # Another precision does not make the first one foreign.
    step.outputs[0].write_text(step.outputs[0].name)
    other = plan(
        "qb",
        new := write(
            quantize__precision="int16x8", benchmark__target="stm32u5"
        ),
        make_layout(new),
    )[0]
    other.outputs[0].write_text("int16x8")
    known = json.loads(stamp.read_text())
    stamp.write_text(json.dumps(digests(other, known)))
    write()
    assert ask() is None


def test_a_folder_where_a_stamp_goes(write):
    write()
    Path("results/new/save").mkdir(parents=True)
    Path("results/new/chain/benchmark.json").mkdir(parents=True)
    assert "benchmark.json: is a folder" in ask()


def test_overwrite_is_for_what_is_there(write, monkeypatch):
    sections = write()
    ran = []

    def note(command, **_):
        ran.append(command)
        return type("Done", (), {"returncode": 0})

    run = load("chain").run
    monkeypatch.setattr("subprocess.run", note)
    layout = make_layout(sections)
    step = plan("qb", sections, layout)[0]
    run(step, layout.stamp(step))
    assert len(ran) == 2 and not any("--overwrite" in words for words in ran)
    step, stamp = folder_with_stamp(sections)
    with pytest.raises(UserError, match="move or delete"):
        run(step, stamp)
    stamp.parent.mkdir()
    stamp.write_text(json.dumps(digests(step)))
    run(step, stamp)
    assert all("--overwrite" in words for words in ran[2:]) and len(ran) == 4


def test_a_step_that_stops_names_the_key_model(write, monkeypatch, capsys):
    write()
    monkeypatch.setattr(chain, "run", lambda *_: 2)
    assert chain.main(["tqeb", "my.yaml"]) == 2
    text = capsys.readouterr().err
    assert "output_folder" in text and "`model` of my.yaml" in text
