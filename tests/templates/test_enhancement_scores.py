"""The template's scores, checkpoints and command line."""

from dataclasses import fields
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from template_runs import RATE, voice
import torch


def test_failing_clips_are_counted(template):
    stats = template.helpers.CountingStats("pesq", RATE)
    good = torch.from_numpy(voice(2, 2.0).astype(np.float32))
    stats.append(
        ids=["good", "silent"],
        predict=torch.stack([good, torch.zeros_like(good)]),
        target=torch.stack([good, torch.zeros_like(good)]),
        lengths=torch.ones(2),
    )
    summary = stats.summarize()
    assert summary["failures"] == 1 and summary["clips"] == 2
    assert list(summary["reasons"]) == ["silent"]
    assert summary["average"] > 4
    short = template.helpers.CountingStats("stoi", RATE)
    short.append(
        ids=["short"],
        predict=good[None, :1000],
        target=good[None, :1000],
        lengths=torch.ones(1),
    )
    summary = short.summarize()
    assert summary["failures"] == 1 and summary["average"] is None


def test_nan_epoch_is_never_best(template, tmp_path):
    brain = template.train.SEBrain(
        modules={"enhance_model": torch.nn.Linear(2, 2)},
        opt_class=lambda p: torch.optim.SGD(p, lr=0.1),
        hparams={
            "lr_annealing": lambda epoch: (0.1, 0.1),
            "train_logger": SimpleNamespace(log_stats=lambda **kwargs: None),
        },
        run_opts={"device": "cpu"},
        checkpointer=template.helpers.SafeCheckpointer(tmp_path),
    )
    brain.init_optimizers()
    brain.train_loss = 0.0
    stage = template.train.sb.Stage.VALID
    for epoch, value in enumerate([0.5, 0.6, math.nan, 0.4], start=1):
        stats = template.helpers.CountingStats("stoi", RATE)
        stats.scores = [value]
        brain.stats = {("enhanced", "stoi"): stats}
        brain.on_stage_end(stage, torch.tensor(0.0), epoch)
    best = brain.checkpointer.find_checkpoint(max_key="stoi")
    assert best.meta["stoi"] == 0.6
    latest = brain.checkpointer.find_checkpoint()
    assert latest.meta["stoi"] == 0.4
    assert len(brain.checkpointer.list_checkpoints()) == 2


def test_broken_save_leaves_no_checkpoint(template, tmp_path):
    state = SimpleNamespace(broken=False)

    def save(obj, path):
        if state.broken:
            raise KeyboardInterrupt
        path.write_text("x")

    checkpointer = template.helpers.SafeCheckpointer(tmp_path)
    checkpointer.add_recoverable(
        "thing", state, custom_save_hook=save, custom_load_hook=print
    )
    first = checkpointer.save_checkpoint(meta={"stoi": 0.5})
    assert first.paramfiles["thing"].read_text() == "x"
    state.broken = True
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save_checkpoint(meta={"stoi": 0.9})
    assert checkpointer.find_checkpoint(max_key="stoi").path == first.path
    state.broken = False
    checkpointer.save_and_keep_only(meta={"stoi": 0.4}, max_keys=["stoi"])
    assert len(list(tmp_path.iterdir())) == 2  # best, latest, no leftovers


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--tes"], "did you mean --test_only"),
        (["--lr"], "no value"),
        (["--noise_folder", "a=b"], "equals sign"),
        (["--noise_folder=a=b"], "equals sign"),
        (["--debug=maybe"], "True or False"),
        (["--optimizer_step_limit", "many"], "whole number"),
    ],
)
def test_garbled_command_lines_are_refused(template, arguments, message):
    with pytest.raises(template.helpers.UserError, match=message):
        template.helpers.parse(["train.yaml", *arguments])


def test_words_in_place_of_numbers_are_refused(copy_of_template, template):
    """Each key of the yaml that is a number or a switch."""
    path = copy_of_template / "train.yaml"
    line = re.compile(r"^(\w+): *([-0-9.]+|true|false) *(?:#.*)?$", re.M)
    found = line.findall(path.read_text())
    assert {"lr", "seed", "n_fft", "download"} <= {key for key, _ in found}
    # Run options of SpeechBrain have types of their own.
    own = {field.name for field in fields(template.helpers.RunOptions)}
    for key, value in found:
        if key in own:
            continue
        words = [str(path), f"--{key}", "wrong"]
        said = f"--{key} wrong: (write a value such as {value}|give True)"
        with pytest.raises(template.helpers.UserError, match=f"(?i){said}"):
            template.helpers.parse(words)
        template.helpers.parse([*words[:2], value])


def test_command_line_reads_what_is_meant(template):
    _, options, overrides = template.helpers.parse(
        ["train.yaml", "--test_only", "True", "--debug=False", "--skip_prep"]
        + ["--optimizer_step_limit", "7", "--lr=0.1"]
    )
    assert options.test_only and not options.debug
    assert options.optimizer_step_limit == 7
    assert overrides.split() == ["skip_prep:", "True", "lr:", "0.1"]
