"""Audio event detection as the shared rooms see it: patches to logits."""

from edgebrain.checks import Number
from edgebrain.errors import UserError
from edgebrain.events import evaluation, times
from edgebrain.events.detector import load_detector
from edgebrain.events.metrics import METRICS
from edgebrain.events.patches import settings_of
from edgebrain.signal.mel import log_mel
from edgebrain.tasks import Interface, Port, Setup
import numpy as np


class EventTask:
    """See :class:`edgebrain.tasks.Task`."""

    name = "events"
    baseline = "chance"
    metrics = METRICS

    def features(self, wav: np.ndarray, setup: Setup) -> np.ndarray:
        """Return the log-mel spectrogram of a clip, (mels, frames)."""
        mel, patch = settings_of(setup)
        least = mel.num_samples(patch.patch_length)
        wav = wav if len(wav) >= least else np.resize(wav, least)
        return np.ascontiguousarray(log_mel(wav, mel), np.float32)

    def interface(self, model, setup: Setup) -> Interface:
        """Return log-mel frames in, the logits of a patch out."""
        mel, patch = settings_of(setup)
        return Interface(
            Port("features", (mel.n_mels, None)),
            Port("logits", (len(setup.class_names),)),
            (patch.patch_length, patch.step),
        )

    def result(self, features: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Return the logits themselves."""
        return output

    def load(self, path, form=None, precision=None, **settings):
        """Return a Detector, see :func:`.detector.load_detector`."""
        return load_detector(path, form, precision, **settings)

    def add_arguments(self, parser) -> None:
        """Add the folder of labelled recordings."""
        add = parser.add_argument_group("event detection").add_argument
        add("--data_folder", help="labelled recordings, as train.py takes")
        add("--csv_file", help="table of the folder, where it has several")
        add(
            "--fold",
            type=Number(whole=True, least=1),
            help="score the clips of this fold alone",
        )
        add(
            "--events",
            metavar="CSV",
            help="instead of clips: recordings with labelled times, by "
            f"{', '.join(times.COLUMNS)}",
        )

    def check(self, arguments) -> None:
        """Refuse what holds no labelled clips, nor times."""
        if arguments.events is None:
            self._clips(arguments)
        else:
            times.read_times(arguments.events)

    def _clips(self, arguments):
        if arguments.data_folder is None:
            raise UserError("--data_folder is missing: what is to be scored?")
        return evaluation.find_clips(
            arguments.data_folder, arguments.csv_file, arguments.fold
        )

    def evaluate(self, models, arguments, folder) -> str:
        """Score all models on all clips, or events; return the table."""
        if arguments.events is not None:
            truth = times.read_times(arguments.events)
            return times.evaluate(models, truth, folder)
        clips = self._clips(arguments)
        found = evaluation.predict(models, clips)
        rows = evaluation.score_all(models, found)
        facts = {"data_folder": arguments.data_folder, "fold": arguments.fold}
        table = evaluation.write_all(folder, models, rows, facts)
        if arguments.report:
            path = folder / "report.html"
            count = arguments.report_clips
            evaluation.report(path, models, rows, clips, count)
        return table


TASK = EventTask()
