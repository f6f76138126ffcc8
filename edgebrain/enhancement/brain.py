"""The Brain of every enhancement recipe: mask the noisy spectrum."""

from pathlib import Path

from edgebrain.enhancement.losses import EnhancementLoss
from edgebrain.enhancement.metrics import METRICS, at_rate
from edgebrain.enhancement.recipe import KEYS
from edgebrain.enhancement.scoring import BatchScorer
from edgebrain.errors import UserError
from edgebrain.models import (
    check_causality,
    check_model_output,
    check_step,
    complexity,
    model_traits,
)
from edgebrain.report.plots import plot_spectrograms
from edgebrain.report.scores import example_clips, least_gains
from edgebrain.signal import istft, magnitude, peak_gain, stft
from edgebrain.training.brain import EdgeBrain
import speechbrain as sb
from speechbrain.dataio.batch import PaddedBatch
import torch


def in_a_row(model, magnitude):
    """Return the masks of clips that follow each other without a reset.

    Magnitude and masks are (batch, bins, frames).
    """
    batch, bins, frames = magnitude.shape
    row = magnitude.transpose(0, 1).reshape(1, bins, batch * frames)
    return model(row).reshape(bins, batch, frames).transpose(0, 1)


class EnhancementBrain(EdgeBrain):
    """Train, select and test a spectral-masking model.

    ``modules`` holds ``model``: magnitude (batch, bins, frames) -> mask of
    the same shape. ``hparams`` holds, besides what
    :class:`~edgebrain.training.brain.EdgeBrain` needs, ``signal``
    (SignalSettings), ``loss`` (EnhancementLoss), ``metrics`` (names);
    optional: ``save_enhanced``, ``n_jobs``, ``activation_regularizer``, and
    ``one_stream``: train on the clips of a batch as on one recording, so
    that a recurrent network meets states older than a clip.
    """

    task = "enhancement"
    keys = EdgeBrain.keys | KEYS

    @classmethod
    def check_model(cls, model, setup) -> str:
        """Refuse what gives no mask of its input; return what it costs."""
        traits, bins = model_traits(model), setup.signal.bins
        check_model_output(model, bins)
        if traits.causal:
            check_causality(model, bins)
        if traits.streaming:
            check_step(model, bins)
        return complexity.describe(model, setup.signal).table()

    def compute_forward(self, batch, stage):
        """Enhance the noisy signals of a batch, ``noisy_sig``.

        Returns ``mask`` (batch, bins, frames), ``spec`` complex of that
        shape, ``wav`` (batch, samples) or None where nothing needs it,
        ``gain`` (batch, 1), by which the target must be scaled too, and
        ``repeat``, which makes a target of the batch one for each noisy
        signal (``wav_augment`` may return several).
        """
        batch = batch.to(self.device)
        noisy, repeat = self._augment(batch.noisy_sig.data, batch, stage)
        settings = self.hparams.signal
        # half precision is for the network; an STFT needs all its bits
        with torch.autocast(self.device_type, enabled=False):
            gain = noisy.new_ones(())
            if settings.peak_normalize:
                gain = peak_gain(noisy)
                noisy = noisy * gain
            spec = stft(noisy, settings)
            features = magnitude(spec, settings)
        # Outside training every process may work alone: no wrapper, which
        # would wait for the others.
        training = stage == sb.Stage.TRAIN
        model = self.modules["model"] if training else self.raw_model
        if training and getattr(self.hparams, "one_stream", False):
            mask = in_a_row(model, features)
        else:
            mask = model(features)
        with torch.autocast(self.device_type, enabled=False):
            enhanced = spec * mask.float()
            wav = None
            if not training or getattr(self.hparams.loss, "needs_wav", False):
                wav = istft(enhanced, settings, noisy.shape[-1])
        return {
            "mask": mask,
            "spec": enhanced,
            "wav": wav,
            "gain": gain,
            "repeat": repeat,
        }

    def compute_objectives(self, predictions, batch, stage):
        """Return the loss, a scalar; outside training, score the clips too.

        A loss that is no EnhancementLoss is given the magnitudes of estimate
        and target, (batch, bins, frames), zero in the padding.
        """
        clean, relative = batch.clean_sig
        lengths = (relative * clean.shape[-1]).round().long()
        gain = predictions["gain"]
        with torch.autocast(self.device_type, enabled=False):
            clean = predictions["repeat"](clean) * gain
            lengths = predictions["repeat"](lengths)
            loss = self._loss(
                predictions["spec"],
                stft(clean, self.hparams.signal),
                predictions["wav"],
                clean,
                lengths,
            )
        if stage == sb.Stage.TRAIN:
            regularizer = getattr(self.hparams, "activation_regularizer", None)
            if regularizer is not None:
                loss = loss + regularizer.value()
        elif self.scorer is not None:
            clips = (
                batch.noisy_sig.data,
                predictions["wav"] / gain,
                batch.clean_sig.data,
            )
            self.scorer.add_batch(
                batch.id,
                *(clip.detach().float().cpu().numpy() for clip in clips),
                lengths.tolist(),
            )
        return loss

    def _loss(self, spec, clean_spec, wav, clean, lengths):
        loss = self.hparams.loss
        if isinstance(loss, EnhancementLoss):
            return loss(spec, clean_spec, wav, clean, lengths)[0]
        frames = self.hparams.signal.num_frames(lengths)
        index = torch.arange(spec.shape[-1], device=spec.device)
        valid = (index < frames.to(spec.device)[:, None])[:, None]
        return loss(spec.abs() * valid, clean_spec.abs() * valid)

    def _augment(self, noisy, batch, stage):
        """Apply ``wav_augment`` in training; return how targets follow."""
        augment = getattr(self.hparams, "wav_augment", None)
        if augment is None or stage != sb.Stage.TRAIN:
            return noisy, lambda tensor: tensor
        changed, _ = augment(noisy, batch.noisy_sig.lengths)
        if changed.shape[-1] != noisy.shape[-1]:
            raise UserError(
                "wav_augment: it changes the length of a signal; the clean "
                "one would no longer fit"
            )
        return changed, augment.replicate_labels

    def features(self, item):
        """Return the magnitude of an item, (bins, frames)."""
        settings = self.hparams.signal
        return magnitude(stft(item["noisy_sig"], settings), settings)

    def make_scorer(self, stage):
        """Return a scorer of all metrics; in a test it writes the clips."""
        test = stage == sb.Stage.TEST
        folder = Path(self.hparams.test_folder) / "enhanced"
        save = test and getattr(self.hparams, "save_enhanced", True)
        return BatchScorer(
            self.hparams.signal.sample_rate,
            self.hparams.metrics,
            getattr(self.hparams, "n_jobs", None),
            score_noisy=test or not self.hparams.history.rows,
            audio_folder=folder if save else None,
        )

    def write_test(self, folder, facts):
        """Write scores, PESQ with its band, and pictures of three clips."""
        metrics = at_rate(self.hparams.signal.sample_rate)
        written = self.write_rows(folder, facts, metrics, self._clip_files())
        rows = self.scorer.rows()
        metric = METRICS[next(iter(rows["enhanced"][0].values))]
        gains = least_gains(rows, metric.name, metric.higher_is_better)
        for name, clip_id in example_clips(gains).items():
            plot_spectrograms(
                *self._clip(clip_id),
                self.hparams.signal,
                folder / f"spectrograms_{name}.png",
                f"{clip_id}: {name} gain in {metric.label}",
            )
        return written

    def _clip_files(self):
        """Return the files of each test clip: clean, noisy, enhanced."""
        columns = {"wav": "clean", "clean": "clean", "noisy": "noisy"}
        files = {}
        for clip_id, item in self.test_data.data.items():
            files[clip_id] = {
                f"{name}_file": item[key]
                for key, name in columns.items()
                if key in item
            }
            if self.scorer.audio_folder is not None:
                files[clip_id]["enhanced_file"] = f"enhanced/{clip_id}.wav"
        return files

    def _clip(self, clip_id):
        """Return noisy, enhanced and clean of a test clip, as arrays."""
        item = self.test_data[self.test_data.data_ids.index(clip_id)]
        with torch.no_grad():
            out = self.compute_forward(PaddedBatch([item]), sb.Stage.TEST)
        enhanced = (out["wav"] / out["gain"])[0].float().cpu()
        return (
            item["noisy_sig"].numpy(),
            enhanced.numpy(),
            item["clean_sig"].numpy(),
        )
