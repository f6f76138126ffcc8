"""What SpeechBrain 1.1 does not do for itself, each in a few lines.

A message instead of a traceback, a command line in which nothing is lost,
checkpoints that a kill cannot break, random generators that a resume
restores, and scores that count the clips they could not take.
"""

from contextlib import contextmanager
from dataclasses import fields, replace
import math
import os
from pathlib import Path
import re
import shutil
import sys
import warnings

import guard_torchaudio  # noqa: F401 - before speechbrain
import pesq
import pystoi
import speechbrain as sb
from speechbrain.utils import checkpoints
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.metric_stats import MetricStats
from speechbrain.utils.run_opts import RunOptions
import torch
import yaml


class UserError(ValueError):
    """What a person can mend: names the file or key, the fault, the mend."""


@contextmanager
def messages():
    """Print a UserError without a traceback, and exit with status 2."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def parse(arguments):
    """Parse a list of words as ``speechbrain.parse_arguments`` does, safely.

    SpeechBrain ignores abbreviated options, splits a value with an equals
    sign and makes null of an option without a value: here these raise
    UserError. It takes no value for its own flags, and leaves the step limit
    a string.
    """
    own = {field.name: field.default for field in fields(RunOptions)}
    words = []
    for argument in arguments:
        split = argument.startswith("--")
        words += argument.split("=", 1) if split else [argument]
    tidy = []
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            if "=" in word and tidy:
                raise UserError(
                    f"{word}: a value with an equals sign would be garbled "
                    "on the command line: write it into the yaml file"
                )
            tidy.append(word)
            continue
        name, follows = word[2:], words and not words[0].startswith("--")
        meant = [f"--{option}" for option in own if option.startswith(name)]
        if name not in own and meant:
            raise UserError(f"{word}: did you mean {' or '.join(meant)}?")
        if own.get(name) is False or name == "skip_prep":
            given = follows and not words[0].endswith((".yaml", ".yml"))
            value = words.pop(0) if given else "True"
            if value.lower() not in ("true", "false"):
                raise UserError(f"{word} {value}: give True or False")
            if name == "skip_prep":
                tidy += [word, value]
            elif value.lower() == "true":
                tidy.append(word)
        elif follows or name == "help":
            tidy.append(word)
        else:
            raise UserError(f"{word} has no value: write {word} VALUE")
    hparams_file, run_opts, overrides = sb.parse_arguments(tidy)
    if Path(hparams_file).is_file():
        _check_numbers(hparams_file, overrides)
    limit = run_opts.optimizer_step_limit
    if limit is not None and not str(limit).isdecimal():
        raise UserError(f"--optimizer_step_limit {limit}: give a whole number")
    if limit is not None:
        run_opts = replace(run_opts, optimizer_step_limit=int(limit))
    return hparams_file, run_opts, overrides


def _check_numbers(hparams_file, overrides):
    """Refuse words where the yaml file has numbers, True or False."""
    text = re.sub(r"!\S+", "", Path(hparams_file).read_text(encoding="utf-8"))
    before = yaml.safe_load(text)
    for key, value in (yaml.safe_load(overrides) or {}).items():
        old = before.get(key)
        kind = {bool: bool, int: (int, float), float: (int, float)}.get(
            type(old), object
        )
        if not (isinstance(value, kind) or value is None):
            raise UserError(f"--{key} {value}: write a value such as {old}")


class SafeCheckpointer(checkpoints.Checkpointer):
    """A Checkpointer that never finds a checkpoint that is not whole.

    SpeechBrain writes CKPT.yaml, by which it knows a checkpoint, before the
    parameters: killed in between, it would find a best checkpoint that cannot
    be loaded. Here that file gets its name last.
    """

    def _save_checkpoint_metafile(self, path, *arguments):
        return super()._save_checkpoint_metafile(
            path.with_suffix(".unfinished"), *arguments
        )

    def save_checkpoint(self, *arguments, **options):
        """Save as ``Checkpointer.save_checkpoint`` does, all or nothing."""
        name = checkpoints.METAFNAME
        if if_main_process():
            for folder in self.checkpoints_dir.glob("CKPT*"):
                if not (folder / name).exists():
                    shutil.rmtree(folder)  # of a run that was killed
        saved = super().save_checkpoint(*arguments, **options)
        ddp_barrier()  # every process has written its part
        if saved is not None:
            meta = saved.path / name
            os.replace(meta.with_suffix(".unfinished"), meta)
        return saved


@checkpoints.register_checkpoint_hooks
class TorchRandomState:
    """torch's random generators, for the same dropout after a resume."""

    @checkpoints.mark_as_saver
    def _save(self, path):
        gpus = torch.cuda.get_rng_state_all()
        torch.save({"cpu": torch.get_rng_state(), "cuda": gpus}, path)

    @checkpoints.mark_as_loader
    def _load(self, path, end_of_epoch):
        state = torch.load(path, map_location="cpu")
        torch.set_rng_state(state["cpu"])
        if len(state.get("cuda", [])) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state.get("cuda", []))


class CountingStats(MetricStats):
    """STOI or PESQ of clips, with the clips counted that have no score.

    Both raise, or return a meaningless number, on silent or very short
    clips. Such a clip keeps its place with NaN, is left out of the average
    and counted, and its reason is kept.

    STOI: C. H. Taal et al., "An Algorithm for Intelligibility Prediction of
    Time-Frequency Weighted Noisy Speech", IEEE TASLP, 2011. PESQ: ITU-T
    P.862, and P.862.2 (wide band) at 16 kHz.

    Arguments
    ---------
    metric : str
        ``stoi`` or ``pesq``.
    sample_rate : int
        In Hz.
    """

    def __init__(self, metric, sample_rate):
        self.sample_rate = sample_rate
        self.reasons = {}
        score = {"stoi": self._stoi, "pesq": self._pesq}[metric]
        # With n_jobs > 1 MetricStats repeats a batch that raises forever.
        super().__init__(self._or_nan(score), n_jobs=1, batch_eval=False)

    def _stoi(self, estimate, clean):
        with warnings.catch_warnings():
            # pystoi returns 1e-5 with this warning when a clip is too short.
            warnings.simplefilter("error", RuntimeWarning)
            return pystoi.stoi(clean, estimate, self.sample_rate)

    def _pesq(self, estimate, clean):
        band = "wb" if self.sample_rate == 16000 else "nb"
        return pesq.pesq(self.sample_rate, clean, estimate, band)

    def _or_nan(self, metric):
        def score(predict, target):
            clip = next(self.pending)
            try:
                value = float(metric(predict.numpy(), target.numpy()))
                reason = "the score is not finite"
            except Exception as error:  # noqa: BLE001 - counted, not hidden
                value, reason = math.nan, f"{type(error).__name__}: {error}"
            if math.isfinite(value):
                return value
            self.reasons[clip] = reason
            return math.nan

        return score

    def append(self, ids, *signals, **options):
        """Score the clips of a batch; see ``MetricStats.append``."""
        self.pending = iter(ids)
        super().append(ids, *signals, **options)

    def summarize(self):
        """Return the average (or None), clips, failures and their reasons."""
        good = [score for score in self.scores if math.isfinite(score)]
        return {
            "average": sum(good) / len(good) if good else None,
            "clips": len(self.scores),
            "failures": len(self.scores) - len(good),
            "reasons": self.reasons,
        }
