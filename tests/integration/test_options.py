"""Every option of every script with values that it cannot have.

The options are read from the argument parsers and from the yamls, so that a
new one is swept too. A wrong value ends in a message, exit status 2 or 1 and
nothing made; no exception of another kind.
"""

import argparse
import importlib.util
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

from edgebrain.command_line import exit_on_user_error
from edgebrain.errors import UserError
from edgebrain.training.keys import RULES, RUN_OPTIONS
import pytest
from ruamel.yaml import YAML

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "tcnn-120k" / "stream_int8.onnx"
WORDS = ("", "fast", "-1", "0.5", "nan", "[1, 2]", "{a: 1}")
RECIPES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.glob("**/train.py")
    if {"recipes", "train.py"} & set(path.relative_to(ROOT).parts[:1])
)
SCRIPTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.py"), *ROOT.glob("deploy/*.py")]
    if re.search("argparse|script_parser", path.read_text(encoding="utf-8"))
)


def load(script):
    path = ROOT / script
    name = f"swept_{script.replace('/', '_').removesuffix('.py')}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Accepted(BaseException):
    """All checks were passed."""


def ends(main, words, capsys):
    """Return (status, message) of a script; status None: accepted."""
    capsys.readouterr()
    handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises((SystemExit, Accepted)) as left:
            with exit_on_user_error():
                main([str(word) for word in words])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    text = capsys.readouterr().err
    if isinstance(left.value, Accepted):
        return None, text
    return left.value.code, text


# -- recipes ----------------------------------------------------------------


def accepted(*_, **__):
    raise Accepted


@pytest.fixture(params=RECIPES)
def recipe(request, monkeypatch, tmp_path):
    """Return main, yaml, its keys and a folder; nothing is prepared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    module = load(request.param)
    for name in vars(module):
        if name.startswith(("make_datasets", "prepare")):
            monkeypatch.setattr(module, name, accepted)
    yaml = (ROOT / request.param).parent / "train.yaml"
    if not yaml.is_file():
        yaml = next(yaml.parent.glob("*.yaml"))
    keys = YAML().load(yaml.read_text(encoding="utf-8")).keys()
    return module.main, yaml, keys, tmp_path


def refuses(rule, word, is_yaml):
    """Tell whether a rule refuses a word; it may raise nothing else."""
    try:
        value = YAML(typ="safe").load(word) if is_yaml else word
        rule(value)
    except UserError:
        return True
    return False


@pytest.mark.slow
def test_every_key_and_run_option_of_a_recipe(recipe, capsys):
    main, yaml, keys, folder = recipe
    rules = {key: RUN_OPTIONS.get(key, RULES.get(key)) for key in keys}
    rules = {k: rule for k, rule in (RUN_OPTIONS | rules).items() if rule}
    in_yaml = keys | RULES.keys()  # also those that this yaml does not list
    for key, rule in rules.items():
        wrong = [word for word in WORDS if refuses(rule, word, key in in_yaml)]
        for word in wrong[:1]:
            words = [yaml, "--data_folder", "data", f"--{key}={word}"]
            status, text = ends(main, words, capsys)
            assert status == 2, (key, word, text)
            assert text.count("\n") <= 3 and key in text, (key, word, text)
            assert not any(folder.iterdir()), (key, word)
    for key in keys - rules.keys():
        if not str(key).startswith("__"):
            status, text = ends(main, [yaml, f"--{key}={{"], capsys)
            assert status == 2 and key in text, text


WRONG = [
    ("--opt_class", "{lr: fast}"),
    ("--opt_class", "3"),
    ("--train_mixing", "3"),
    ("--precision", "fp16"),
    ("--device", "cuda:99"),
    ("--data_parallel_backend", "True"),
    ("--jit", "True"),
    ("--loss", "3"),
    ("--model", "3"),
    ("--modules", "3"),
    ("--signal", "3"),
    ("--metrics", "[stoy]"),
    ("--select_by", "beauty"),
    ("--lr_scheduler", "3"),
    ("--lr_scheduler", "{pct_start: fast}"),
    ("--init_from", "nowhere"),
    ("--learning_rate", "0.1"),
    ("--output_folder", "{file}"),
    ("--output_folder", "{file}/below"),
    ("--test_folder", "{file}"),
    ("--cache_folder", "{file}"),
    ("--hop_length", "600"),
    ("--n_fft", "1024"),
    ("--ckpt_interval_minutes", "5", "--ckpt_interval_steps", "5"),
]


@pytest.mark.slow
def test_what_only_a_trial_shows(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py"])
    module = load("train.py")
    monkeypatch.setattr(module, "make_datasets", accepted)
    (tmp_path / "a_file").touch()
    for words in WRONG:
        words = [word.replace("{file}", "a_file") for word in words]
        status, text = ends(module.main, [ROOT / "train.yaml", *words], capsys)
        assert status == 2 and text.count("\n") <= 3, (words, text)
        assert [p.name for p in tmp_path.iterdir()] == ["a_file"], words
    right = ["--weight_clipping", "2.0", "--lr", "1e-3"]
    main = module.main
    assert ends(main, [ROOT / "train.yaml", *right], capsys)[0] is None


def test_a_folder_without_data_leaves_no_results(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    module = load("train.py")
    words = [ROOT / "train.yaml", "--data_folder", "nowhere"]
    status, text = ends(module.main, words, capsys)
    assert status == 2 and "nowhere does not exist" in text
    assert not list(tmp_path.glob("results/*/*"))


# -- scripts with an argument parser ------------------------------------------


class Parser(BaseException):
    """The parser of a script, caught where it is used."""


def actions(module, monkeypatch):
    def stop(self, *_, **__):
        raise Parser(self)

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        patch.setattr(argparse.ArgumentParser, "parse_known_args", stop)
        with pytest.raises(Parser) as caught:
            (getattr(module, "parse", None) or module.main)([])
    return caught.value.args[0]._actions


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_option_of_a_script(script, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    module, tried = load(script), 0
    (tmp_path / "a_file").write_text("no model")
    for action in actions(module, monkeypatch):
        if not action.option_strings:
            continue
        option = action.option_strings[-1]
        # Of paths and words too, with a model that is there.
        words = [MODEL, option, *["a_file/below"][: action.nargs != 0]]
        status, text = ends(module.main, words, capsys)
        assert status in (0, 1, 2) and "Traceback" not in text, (words, text)
        for word in ("wrong", "-1", "nan", "a_file/below"):
            if action.nargs == 0 or not (action.type or action.choices):
                break
            try:
                (action.type or str)(word)
                if not action.choices:
                    continue
            except (ValueError, TypeError, argparse.ArgumentTypeError):
                pass
            status, text = ends(module.main, ["a_file", option, word], capsys)
            assert status in (1, 2), (option, word)
            assert option in text and "Traceback" not in text
            tried += 1
    # nothing there is a model, nor a folder of one
    for words in (["a_file"], ["nowhere"], ["a_file", "--no_such_option"]):
        status, text = ends(module.main, words, capsys)
        assert status in (1, 2) and "Traceback" not in text, (words, text)
    assert [p.name for p in tmp_path.iterdir()] == ["a_file"]


# -- interruptions -----------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_stopped_while_it_starts(number, library, tmp_path):
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), str(ROOT / "train.yaml")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    maps = Path(f"/proc/{process.pid}/maps")
    deadline = time.monotonic() + 60
    while library not in maps.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    text, _ = process.communicate(timeout=60)
    assert "Traceback" not in text, text
    assert process.returncode in (130, -number), text
