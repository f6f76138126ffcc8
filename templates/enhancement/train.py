#!/usr/bin/env python3
"""Train, score and export a speech enhancement network.

> python train.py train.yaml --data_folder /path/to/data

The same command continues a run that was stopped. ``--test_only True``
scores the best checkpoint again. At the end, ``OUTPUT_FOLDER/export`` holds
the network for enhance_file.py and for SpeechBrain's own
``SpectralMaskEnhancement.from_hparams``.
"""

import copy
import csv
import json
import logging
import math
import os
from pathlib import Path
import sys

from command_line import parse
from errors import UserError
from export import export_model, resolved_hparams
import guard_torchaudio  # noqa: F401 - before speechbrain
from hyperpyyaml import load_hyperpyyaml
from mini_librispeech_prepare import SPLITS, prepare_mini_librispeech
from mixing import Mixer
from scores import CountingStats, pesq, stoi
import speechbrain as sb
from speechbrain.dataio.dataio import load_data_json
import torch

logger = logging.getLogger(__name__)


class SEBrain(sb.Brain):
    """Trains a mask on log1p magnitudes; chooses and reports by STOI."""

    def compute_forward(self, batch, stage):
        """Enhance a batch of noisy speech.

        Arguments
        ---------
        batch : PaddedBatch
            With ``noisy_sig``.
        stage : sb.Stage
            TRAIN, VALID or TEST.

        Returns
        -------
        dict
            ``magnitude``, the enhanced one (batch, frames, bins), and,
            unless training, ``wav``, (batch, samples).
        """
        batch = batch.to(self.device)
        noisy, lengths = batch.noisy_sig
        feats = self.compute_feats(noisy)
        mask = self.modules.enhance_model(feats, lengths=lengths)
        predictions = {"magnitude": torch.expm1(mask * feats)}
        if stage != sb.Stage.TRAIN:
            predictions["wav"] = self.hparams.resynth(
                predictions["magnitude"], noisy
            )
        return predictions

    def compute_feats(self, wavs):
        """Return log1p magnitudes, (batch, frames, bins).

        They are what SpectralMaskEnhancement gives the network.

        Arguments
        ---------
        wavs : torch.Tensor
            (batch, samples).
        """
        feats = self.hparams.compute_stft(wavs)
        return torch.log1p(self.hparams.spectral_magnitude(feats))

    def compute_objectives(self, predictions, batch, stage):
        """Return the loss; score the clips unless training.

        Arguments
        ---------
        predictions : dict
            From compute_forward.
        batch : PaddedBatch
            With ``clean_sig`` and, for scoring, ``noisy_sig``.
        stage : sb.Stage
            TRAIN, VALID or TEST.
        """
        clean, lengths = batch.clean_sig
        target = self.compress(
            self.hparams.spectral_magnitude(self.hparams.compute_stft(clean))
        )
        estimate = self.compress(predictions["magnitude"])
        loss = self.hparams.compute_loss(estimate, target, lengths)
        # Where the estimate is below the target, speech was lost.
        lost = self.hparams.compute_loss(
            torch.minimum(estimate, target), target, lengths
        )
        loss = loss + self.hparams.lost_speech_weight * lost
        if stage != sb.Stage.TRAIN:
            wavs = {"enhanced": predictions["wav"]}
            if stage == sb.Stage.TEST:
                wavs["noisy"] = batch.noisy_sig.data
            for (name, _), stats in self.stats.items():
                stats.append(
                    ids=batch.id,
                    predict=wavs[name].detach().float().cpu(),
                    target=clean.cpu(),
                    lengths=lengths.cpu(),
                )
        return loss

    def compress(self, magnitude):
        """Return |X|**exponent, where faint speech counts like loud speech.

        Arguments
        ---------
        magnitude : torch.Tensor
            Not negative, any shape.
        """
        # The floor, 100 dB below a loud bin, bounds the slope at zero.
        return (magnitude + 1e-4) ** self.hparams.loss_exponent

    def on_stage_start(self, stage, epoch=None):
        """Draw the epoch's mixtures; begin new statistics."""
        if stage == sb.Stage.TRAIN:
            self.hparams.train_mixer.set_epoch(epoch)
            return
        rate = self.hparams.sample_rate
        metrics = {"stoi": stoi(rate)}
        signals = ["enhanced"]
        if stage == sb.Stage.TEST:
            metrics = {"pesq": pesq(rate), **metrics}
            signals = ["noisy", "enhanced"]
        self.stats = {
            (signal, name): CountingStats(metric)
            for signal in signals
            for name, metric in metrics.items()
        }

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Log, anneal and save after validation; report after the test."""
        if stage == sb.Stage.TRAIN:
            self.train_loss = float(stage_loss)
        elif stage == sb.Stage.VALID:
            self._end_epoch(float(stage_loss), epoch)
        else:
            self._report_test(float(stage_loss))

    def _end_epoch(self, loss, epoch):
        old_lr, new_lr = self.hparams.lr_annealing(epoch)
        sb.nnet.schedulers.update_learning_rate(self.optimizer, new_lr)
        scored = self.stats["enhanced", "stoi"].summarize()
        valid = {"loss": loss, "stoi": scored["average"]}
        if scored["failures"]:
            valid["stoi_failures"] = scored["failures"]
            _log_failures("stoi", scored)
        self.hparams.train_logger.log_stats(
            stats_meta={"epoch": epoch, "lr": old_lr},
            train_stats={"loss": self.train_loss},
            valid_stats=valid,
        )
        # An epoch without a number for STOI can be resumed, never be best.
        known = math.isfinite(scored["average"])
        self.checkpointer.save_and_keep_only(
            meta={"stoi": float(scored["average"])} if known else {},
            max_keys=["stoi"],
        )

    def _report_test(self, loss):
        report = {"loss": loss, "noisy": {}, "enhanced": {}}
        for (signal, name), stats in self.stats.items():
            scored = stats.summarize()
            _log_failures(f"{name} of {signal}", scored)
            scored["average"] = _finite_or_none(scored["average"])
            report[signal][name] = scored
        if not sb.utils.distributed.if_main_process():
            return
        if not self.debug:
            self._write_scores(report)
        print(_table(report))
        self.hparams.train_logger.log_stats(
            stats_meta={"epoch loaded": self.hparams.epoch_counter.current},
            test_stats={
                name: score["average"]
                for name, score in report["enhanced"].items()
                if score["average"] is not None
            },
        )

    def _write_scores(self, report):
        folder = Path(self.hparams.output_folder)
        (folder / "test_scores.json").write_text(
            json.dumps(report, indent=2), encoding="utf-8"
        )
        with open(
            folder / "test_per_clip.csv", "w", newline="", encoding="utf-8"
        ) as file:
            writer = csv.writer(file)
            writer.writerow(["id", *(f"{s}_{n}" for s, n in self.stats)])
            columns = [s.scores for s in self.stats.values()]
            ids = next(iter(self.stats.values())).ids
            writer.writerows(zip(ids, *columns, strict=True))

    def on_evaluate_start(self, max_key=None, min_key=None):
        """Load the best checkpoint; refuse to score an untrained network."""
        found = self.checkpointer.recover_if_possible(
            max_key=max_key, min_key=min_key
        )
        if found is None:
            raise _nothing_trained(self.checkpointer.checkpoints_dir)


def _finite_or_none(value):
    return value if math.isfinite(value) else None


def _log_failures(what, scored):
    if scored["failures"]:
        reasons = sorted(set(scored["reasons"].values()))
        logger.warning(
            f"{what}: {scored['failures']} of {scored['clips']} clips could "
            f"not be scored ({'; '.join(reasons)})"
        )


def _table(report):
    """Return the scores as text, the noisy input first."""
    names = list(report["enhanced"])
    lines = ["test      " + "".join(f"{n:>10}{'failed':>8}" for n in names)]
    for signal in ("noisy", "enhanced"):
        cells = ""
        for name in names:
            score = report[signal][name]
            value = score["average"]
            text = "-" if value is None else f"{value:.4f}"
            cells += f"{text:>10}{score['failures']:>8}"
        lines.append(f"{signal:<10}{cells}")
    return "\n".join(lines)


def _nothing_trained(folder):
    return UserError(
        f"{folder}: there is no scored checkpoint to test: train first, or "
        "give the --output_folder and --seed that were trained"
    )


def dataio_prep(hparams):
    """Make the data sets of the three splits from the manifests.

    Arguments
    ---------
    hparams : dict
        The loaded hyperparameters; gets ``train_mixer``.

    Returns
    -------
    dict
        ``{split: DynamicItemDataset}`` of noisy_sig and clean_sig.
    """
    folder = Path(hparams["manifest_folder"])
    roots = json.loads((folder / "roots.json").read_text(encoding="utf-8"))
    limits = {
        "valid": hparams["valid_utterances"],
        "test": hparams["test_utterances"],
    }
    datasets = {}
    for split in SPLITS:
        speech, noises, rirs = (
            load_data_json(folder / f"{kind}_{split}.json", roots)
            for kind in ("speech", "noise", "rir")
        )
        mixer = Mixer(
            hparams["mixing"],
            hparams["seed"],
            speech,
            noises,
            rirs,
            training=split == "train",
        )
        if split == "train":
            hparams["train_mixer"] = mixer
        datasets[split] = _dataset(mixer, _spread(speech, limits.get(split)))
    return datasets


def _dataset(mixer, speech):
    @sb.utils.data_pipeline.takes("id")
    @sb.utils.data_pipeline.provides("noisy_sig", "clean_sig")
    def audio_pipeline(utterance_id):
        noisy, clean = mixer(utterance_id)
        yield noisy
        yield clean

    return sb.dataio.dataset.DynamicItemDataset(
        speech,
        dynamic_items=[audio_pipeline],
        output_keys=["id", "noisy_sig", "clean_sig"],
    )


def _spread(speech, limit):
    """Return at most ``limit`` utterances, evenly spread over the part."""
    ids = sorted(speech)
    if limit is not None and limit < len(ids):
        ids = [ids[i * len(ids) // limit] for i in range(limit)]
    return {i: speech[i] for i in ids}


def loader_options(options):
    """Return a copy of loader options with a random generator of its own.

    A DataLoader otherwise draws from torch's, each time it starts: a resumed
    epoch would then go on with other dropout than the unbroken one.

    Arguments
    ---------
    options : dict
        Arguments of the DataLoader.
    """
    return {**copy.copy(options), "generator": torch.Generator()}


def main(arguments):
    """Run the experiment of a command line.

    Arguments
    ---------
    arguments : list of str
        The command line without the program's name.
    """
    hparams_file, run_opts, overrides = parse(arguments)
    if not os.path.isfile(hparams_file):
        raise UserError(f"{hparams_file}: there is no such yaml file")
    sb.utils.distributed.ddp_init_group(run_opts)
    with open(hparams_file, encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file, overrides)
    checkpointer = hparams["checkpointer"]
    if run_opts.test_only and not checkpointer.find_checkpoint(max_key="stoi"):
        raise _nothing_trained(checkpointer.checkpoints_dir)

    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=hparams_file,
        overrides=overrides,
    )
    sb.utils.distributed.run_on_main(
        prepare_mini_librispeech,
        kwargs={
            key: hparams[key]
            for key in (
                "data_folder",
                "manifest_folder",
                "parts",
                "sample_rate",
                "archives",
                "mirrors",
                "noise_folder",
                "rir_folder",
                "download",
                "extra_downloads",
                "skip_prep",
            )
        },
    )
    datasets = dataio_prep(hparams)
    brain = SEBrain(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=checkpointer,
    )
    brain.fit(
        epoch_counter=hparams["epoch_counter"],
        train_set=datasets["train"],
        valid_set=datasets["valid"],
        train_loader_kwargs=loader_options(hparams["train_loader_options"]),
        valid_loader_kwargs=loader_options(hparams["valid_loader_options"]),
    )
    brain.evaluate(
        test_set=datasets["test"],
        max_key="stoi",
        test_loader_kwargs=loader_options(hparams["test_loader_options"]),
    )
    if sb.utils.distributed.if_main_process():
        # A debugging run must not replace the network of a real one.
        name = "export_debug" if brain.debug else "export"
        folder = export_model(
            brain.modules.enhance_model,
            resolved_hparams(hparams_file, overrides),
            Path(hparams["output_folder"]) / name,
        )
        print(f"The network is in {folder}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
