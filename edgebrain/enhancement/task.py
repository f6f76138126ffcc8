"""Speech enhancement as the shared rooms see it: a magnitude to its mask."""

from pathlib import Path

from edgebrain.checks import Number
from edgebrain.enhancement.metrics import METRICS, at_rate, check_metrics
from edgebrain.errors import UserError
from edgebrain.progress import Progress
from edgebrain.report import tables
from edgebrain.signal import magnitude, peak_gain, stft
from edgebrain.tasks import Interface, Port, Setup
import numpy as np

DEFAULT_METRICS = tuple("pesq stoi estoi si_snr snr mse csig cbak covl".split())


class EnhancementTask:
    """See :class:`edgebrain.tasks.Task`."""

    name = "enhancement"
    baseline = "noisy"
    metrics = METRICS

    def features(self, wav: np.ndarray, setup: Setup) -> np.ndarray:
        """Return the magnitude of a clip, (bins, frames) float32."""
        signal = setup.signal
        if signal.peak_normalize:
            wav = wav * peak_gain(wav)
        size = magnitude(stft(wav, signal), signal)
        return np.ascontiguousarray(size, np.float32)

    def interface(self, model, setup: Setup) -> Interface:
        """Return a magnitude in and a mask of its shape out."""
        shape = (setup.signal.bins, None)
        return Interface(Port("magnitude", shape), Port("mask", shape))

    def result(self, features: np.ndarray, output: np.ndarray) -> np.ndarray:
        """Return the enhanced magnitude."""
        return features * output

    def load(self, path, form=None, precision=None, **settings):
        """Return an Enhancer, see :func:`.loading.load_enhancer`."""
        from edgebrain.enhancement.loading import load_enhancer

        return load_enhancer(path, form, precision, **settings)

    def add_arguments(self, parser) -> None:
        """Add the folders of recordings and the input levels."""
        add = parser.add_argument_group("speech enhancement").add_argument
        add("--noisy_folder", help="recordings to enhance")
        add("--clean_folder", help="their clean ones, of the same names")
        add(
            "--save_enhanced",
            action="store_true",
            help="write the enhanced clips into OUTPUT_FOLDER/enhanced",
        )
        add(
            "--one_stream",
            action="store_true",
            help="one recording after the other, without a reset between",
        )
        add(
            "--gain_db",
            type=Number(),
            nargs="+",
            default=[0.0],
            metavar="DB",
            help="input levels relative to the files, such as -20 -10 0 10",
        )

    def check(self, arguments) -> None:
        """Refuse metrics that are not known and folders that do not match."""
        check_metrics(arguments.metrics or DEFAULT_METRICS)
        _find_pairs(arguments)

    def evaluate(self, models, arguments, folder: Path) -> str:
        """Score all models on all pairs; return the table."""
        from edgebrain.enhancement import evaluation

        metrics = check_metrics(arguments.metrics or DEFAULT_METRICS)
        pairs = _find_pairs(arguments)
        rate = evaluation.common_rate(models)
        others = {p.noisy.sample_rate for p in pairs} - {rate}
        if others:
            print(
                f"resampling from {', '.join(map(str, sorted(others)))} to "
                f"{rate} Hz; scores shift a little with the resampler"
            )
        with Progress(total=len(pairs), desc="scoring", unit="clip") as bar:
            result = evaluation.evaluate(
                models,
                pairs,
                metrics,
                arguments.gain_db,
                arguments.n_jobs,
                folder / "enhanced" if arguments.save_enhanced else None,
                bar.update,
                arguments.one_stream,
            )
        facts = {name: model.facts() for name, model in models.items()}
        table = _write(folder, result, facts, pairs, arguments)
        if arguments.report:
            from edgebrain.enhancement.report import report

            report(
                folder / "report.html",
                result,
                facts,
                _clip_reader(models, pairs, result),
                arguments.report_clips,
            )
        return table


def _find_pairs(arguments):
    from edgebrain.enhancement.evaluation import find_pairs

    for name in ("noisy_folder", "clean_folder"):
        if getattr(arguments, name) is None:
            raise UserError(f"--{name} is missing: what is to be scored?")
    return find_pairs(arguments.noisy_folder, arguments.clean_folder)


def _write(folder, result, facts, pairs, arguments) -> str:
    """Write metrics.json, per_clip.csv and table.txt; return the table."""
    files = {
        pair.id: {
            "noisy_file": str(pair.noisy.path),
            "clean_file": str(pair.clean.path),
        }
        for pair in pairs
    }
    content = {
        "models": facts,
        "noisy_folder": arguments.noisy_folder,
        "clean_folder": arguments.clean_folder,
        "gain_db": result.gain_db,
        "one_stream": arguments.one_stream,
        **tables.metrics_summary(result.rows),
    }
    labels = at_rate(result.sample_rate)
    table = tables.metrics_table(result.rows, labels)
    if result.levels:
        content["levels"] = {
            f"{gain:g}": tables.metrics_summary(at_level)
            for gain, at_level in result.levels.items()
        }
        by_level = tables.level_table(result.levels, labels)
        table += f"\n\nby input level\n{by_level}"
    clips = tables.per_clip(result.all_rows(), files)
    tables.write_results(folder, content, clips, table)
    return table


def _clip_reader(models, pairs, result):
    """Return a function from a clip's id to its waveforms by name."""
    by_id = {pair.id: pair for pair in pairs}
    factor = 10 ** (result.gain_db / 20)

    def read(clip_id):
        noisy, clean = by_id[clip_id].read(result.sample_rate)
        noisy, clean = noisy * factor, clean * factor
        forms = {name: model.enhance(noisy) for name, model in models.items()}
        return {"noisy": noisy, **forms, "clean": clean}

    return read


TASK = EnhancementTask()
