#!/usr/bin/env python3
"""Train, score and export a speech enhancement network.

> python train.py train.yaml --data_folder /path/to/data

The same command continues a run that was stopped. ``--test_only True``
scores the best checkpoint again. At the end, ``OUTPUT_FOLDER/export`` holds
the network for enhance_file.py and for SpeechBrain itself.
"""

import csv
import json
import logging
from pathlib import Path
import sys

from export import export_model
import guard_torchaudio  # noqa: F401 - before speechbrain
from helpers import CountingStats, UserError, messages, parse
from hyperpyyaml import load_hyperpyyaml, resolve_references
from mini_librispeech_prepare import SPLITS
from mixing import Mixer
import speechbrain as sb
from speechbrain.dataio.dataio import load_data_json
import torch

logger = logging.getLogger(__name__)


class SEBrain(sb.Brain):
    """Trains a mask on log1p magnitudes; chooses and reports by STOI."""

    def compute_forward(self, batch, stage):
        """Return the enhanced magnitudes of a batch, (batch, frames, bins)."""
        batch = batch.to(self.device)
        noisy, lengths = batch.noisy_sig
        # What SpeechBrain's SpectralMaskEnhancement gives the network.
        feats = torch.log1p(self.magnitude(noisy))
        mask = self.modules.enhance_model(feats, lengths=lengths)
        return torch.expm1(mask * feats)

    def magnitude(self, wavs):
        """Return |X|, (batch, frames, bins), of (batch, samples)."""
        return self.hparams.spectral_magnitude(self.hparams.compute_stft(wavs))

    def compute_objectives(self, magnitude, batch, stage):
        """Return the loss of a batch; score its clips unless training."""
        clean, lengths = batch.clean_sig
        target = self.compress(self.magnitude(clean))
        estimate = self.compress(magnitude)
        loss = self.hparams.compute_loss(estimate, target, lengths)
        # Where the estimate is below the target, speech was lost.
        lost = self.hparams.compute_loss(
            torch.minimum(estimate, target), target, lengths
        )
        if stage != sb.Stage.TRAIN:
            noisy = batch.noisy_sig.data
            enhanced = self.hparams.resynth(magnitude, noisy)
            wavs = {"noisy": noisy, "enhanced": enhanced}
            for (signal, _), stats in self.stats.items():
                stats.append(
                    ids=batch.id,
                    predict=wavs[signal].detach().float().cpu(),
                    target=clean.cpu(),
                    lengths=lengths.cpu(),
                )
        return loss + self.hparams.lost_speech_weight * lost

    def compress(self, magnitude):
        """Return |X|**exponent, where faint speech counts like loud speech."""
        # The floor, 100 dB below a loud bin, bounds the slope at zero.
        return (magnitude + 1e-4) ** self.hparams.loss_exponent

    def on_stage_start(self, stage, epoch=None):
        """Draw the epoch's mixtures; begin new statistics."""
        if stage == sb.Stage.TRAIN:
            self.hparams.train_mixer.set_epoch(epoch)
        wanted = {
            sb.Stage.VALID: [("enhanced", "stoi")],
            sb.Stage.TEST: [
                (signal, metric)
                for signal in ("noisy", "enhanced")
                for metric in ("pesq", "stoi")
            ],
        }
        self.stats = {
            (signal, metric): CountingStats(metric, self.hparams.sample_rate)
            for signal, metric in wanted.get(stage, [])
        }

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Log, anneal and save after validation; report after the test."""
        if stage == sb.Stage.TRAIN:
            self.train_loss = float(stage_loss)
            return
        report = {"loss": float(stage_loss), "noisy": {}, "enhanced": {}}
        for (signal, metric), stats in self.stats.items():
            scored = report[signal][metric] = stats.summarize()
            if scored["failures"]:
                logger.warning(
                    f"{metric} of {signal}: {scored['failures']} of "
                    f"{scored['clips']} clips could not be scored "
                    f"({'; '.join(sorted(set(scored['reasons'].values())))})"
                )
        if stage == sb.Stage.VALID:
            self._end_epoch(report, epoch)
        elif sb.utils.distributed.if_main_process():
            self._report_test(report)

    def _end_epoch(self, report, epoch):
        old_lr, new_lr = self.hparams.lr_annealing(epoch)
        sb.nnet.schedulers.update_learning_rate(self.optimizer, new_lr)
        scored = report["enhanced"]["stoi"]
        # An epoch without a number for STOI can be resumed, never be best.
        known = scored["average"] is not None
        meta = {"stoi": scored["average"]} if known else {}
        self.hparams.train_logger.log_stats(
            stats_meta={"epoch": epoch, "lr": old_lr},
            train_stats={"loss": self.train_loss},
            valid_stats={
                "loss": report["loss"],
                "unscored": scored["failures"],
                **meta,
            },
        )
        self.checkpointer.save_and_keep_only(meta=meta, max_keys=["stoi"])

    def _report_test(self, report):
        averages = {}
        for signal in ("noisy", "enhanced"):
            line = f"{signal:<9}"
            for metric, scored in report[signal].items():
                value = scored["average"]
                if value is not None:
                    averages[f"{metric} {signal}"] = value
                text = "-" if value is None else f"{value:.4f}"
                line += f" {metric} {text} ({scored['failures']} not scored) "
            print(line)
        self.hparams.train_logger.log_stats(
            stats_meta={"epoch loaded": self.hparams.epoch_counter.current},
            test_stats=averages,
        )
        if self.debug:  # must not replace the scores of a real run
            return
        folder = Path(self.hparams.output_folder)
        text = json.dumps(report, indent=2)
        (folder / "test_scores.json").write_text(text, encoding="utf-8")
        with open(folder / "test_per_clip.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", *map("_".join, self.stats)])
            ids = self.stats["noisy", "stoi"].ids
            columns = [stats.scores for stats in self.stats.values()]
            writer.writerows(zip(ids, *columns, strict=True))


def dataio_prep(hparams):
    """Return ``{split: DynamicItemDataset}`` of noisy_sig and clean_sig.

    ``hparams``, the loaded hyperparameters, get ``train_mixer``.
    """
    datasets = {}
    for split in SPLITS:
        manifest = load_data_json(
            Path(hparams["manifest_folder"]) / f"{split}.json",
            {"data_root": hparams["data_folder"]},
        )
        training = split == "train"
        mixer = Mixer(hparams["mixing"], hparams["seed"], manifest, training)
        if training:
            hparams["train_mixer"] = mixer
        speech = manifest["speech"]
        ids = sorted(speech)
        limit = None if training else hparams[f"{split}_utterances"]
        if limit is not None and limit < len(ids):  # spread over the part
            ids = [ids[i * len(ids) // limit] for i in range(limit)]
        pipeline = {
            "func": mixer,
            "takes": ["id"],
            "provides": ["noisy_sig", "clean_sig"],
        }
        datasets[split] = sb.dataio.dataset.DynamicItemDataset(
            {i: speech[i] for i in ids},
            dynamic_items=[pipeline],
            output_keys=["id", "noisy_sig", "clean_sig"],
        )
    return datasets


def main(arguments):
    """Run the experiment of a command line, given without its first word."""
    hparams_file, run_opts, overrides = parse(arguments)
    if not Path(hparams_file).is_file():
        raise UserError(f"{hparams_file}: there is no such yaml file")
    sb.utils.distributed.ddp_init_group(run_opts)
    with open(hparams_file, encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file, overrides)
        file.seek(0)
        resolved = resolve_references(file, overrides).read()
    checkpointer = hparams["checkpointer"]
    if run_opts.test_only and not checkpointer.find_checkpoint(max_key="stoi"):
        raise UserError(
            f"{checkpointer.checkpoints_dir}: there is no scored checkpoint to "
            "test: train first, or give the --output_folder and --seed that "
            "were trained"
        )
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=hparams_file,
        overrides=overrides,
    )
    sb.utils.distributed.run_on_main(hparams["prepare"])
    datasets = dataio_prep(hparams)
    # Without a generator of its own a loader draws from torch's each time it
    # starts: a resumed epoch would go on with other dropout.
    loaders = {
        split: {
            **hparams[f"{split}_loader_options"],
            "generator": torch.Generator(),
        }
        for split in SPLITS
    }
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
        train_loader_kwargs=loaders["train"],
        valid_loader_kwargs=loaders["valid"],
    )
    brain.evaluate(
        test_set=datasets["test"],
        max_key="stoi",
        test_loader_kwargs=loaders["test"],
    )
    if sb.utils.distributed.if_main_process():
        # A debugging run must not replace the network of a real one.
        folder = Path(hparams["output_folder"])
        folder /= "export_debug" if brain.debug else "export"
        export_model(brain.modules.enhance_model, resolved, folder)
        print(f"The network is in {folder}")


if __name__ == "__main__":
    with messages():
        main(sys.argv[1:])
