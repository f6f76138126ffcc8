"""Where the figures of each epoch go besides metrics.csv."""

import logging.config
from pathlib import Path

from edgebrain.errors import UserError
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.train_logger import FileTrainLogger, TrainLogger


class TensorBoardLogger(TrainLogger):
    """Write scalars for TensorBoard, by epoch, also across a resume.

    SpeechBrain's own logger counts calls, so a resumed run would start at
    step 1 again.
    """

    def __init__(self, folder):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise UserError(
                "tensorboard: the package is not installed; "
                "pip install tensorboard, or set tensorboard: False"
            ) from None
        self.writer = SummaryWriter(str(folder))

    def log_stats(
        self,
        stats_meta,
        train_stats=None,
        valid_stats=None,
        test_stats=None,
        verbose=False,
    ):
        """Write one epoch's numbers; see SpeechBrain's TrainLogger."""
        step = int(stats_meta.get("epoch", 0))
        for name, value in scalars(
            stats_meta, train_stats, valid_stats, test_stats
        ):
            self.writer.add_scalar(name, value, step)
        self.writer.flush()


class MLflowLogger(TrainLogger):
    """Write scalars into an MLflow run that a resume continues.

    Arguments
    ---------
    folder : path
        Holds ``mlflow.db`` (MLflow 3 refuses plain file stores) and the run's
        id, unless ``MLFLOW_TRACKING_URI`` names a server.
    parameters : dict, optional
        Logged once when the run starts.
    """

    def __init__(self, folder, experiment="edgebrain", parameters=None):
        try:
            import mlflow
        except ImportError:
            raise UserError(
                "mlflow: the package is not installed; "
                "pip install mlflow, or set mlflow: False"
            ) from None
        self.mlflow, folder = mlflow, Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if not mlflow.is_tracking_uri_set():
            mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        mlflow.set_experiment(experiment)
        known = folder / "mlflow_run_id"
        run_id = known.read_text().strip() if known.exists() else None
        self.run = mlflow.start_run(run_id=run_id)
        if run_id is None:
            known.write_text(self.run.info.run_id)
            for key, value in (parameters or {}).items():
                # MLflow allows few characters; "!" marks the tag of a key
                name = key.replace("!", ".tag")
                mlflow.log_param(name[:250], str(value)[:500])

    def log_stats(
        self,
        stats_meta,
        train_stats=None,
        valid_stats=None,
        test_stats=None,
        verbose=False,
    ):
        """Write one epoch's numbers; see SpeechBrain's TrainLogger."""
        step = int(stats_meta.get("epoch", 0))
        values = scalars(stats_meta, train_stats, valid_stats, test_stats)
        self.mlflow.log_metrics(
            {name.replace("/", "_"): value for name, value in values}, step=step
        )


def write_log(path) -> None:
    """Send what is logged to a file, and warnings to the terminal too.

    Of libraries only warnings: matplotlib has much to say.
    """
    form = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
    handlers = {
        "file": {
            "class": "logging.FileHandler",
            "filename": str(path),
            "encoding": "utf-8",
            "formatter": "file",
        },
        "console": {
            "class": "speechbrain.utils.logger.TqdmCompatibleStreamHandler",
            "level": "WARNING",
            "stream": "ext://sys.stderr",
            "formatter": "console",
        },
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "file": {"format": form},
                "console": {"format": "%(levelname)s: %(message)s"},
            },
            "handlers": handlers,
            "loggers": {
                name: {"level": "INFO"} for name in ("edgebrain", "speechbrain")
            },
            "root": {"level": "WARNING", "handlers": list(handlers)},
        }
    )


def scalars(stats_meta, train_stats, valid_stats, test_stats) -> list:
    """Return ``[(name, float)]`` such as ``("valid/stoi", 0.91)``."""
    groups = {
        "meta": {k: v for k, v in stats_meta.items() if k != "epoch"},
        "train": train_stats,
        "valid": valid_stats,
        "test": test_stats,
    }
    return [
        (f"{group}/{key}", float(value))
        for group, stats in groups.items()
        for key, value in (stats or {}).items()
        if isinstance(value, int | float)
    ]


class Loggers(TrainLogger):
    """Pass each epoch's numbers to several loggers.

    Every process has to call it: SpeechBrain's logger among them waits for
    the others.
    """

    def __init__(self, loggers):
        self.loggers = list(loggers)

    def log_stats(self, *args, **kwargs):
        """Call ``log_stats`` of every logger with the same arguments."""
        for logger in self.loggers:
            logger.log_stats(*args, **kwargs)


def build_loggers(output_folder, tensorboard=False, mlflow=False, **kwargs):
    """Return the loggers that the yaml asks for.

    Arguments
    ---------
    output_folder : path
        ``train_log.txt``, ``tensorboard/`` and ``mlflow/`` go there.
    **kwargs
        Passed to :class:`MLflowLogger`.
    """
    folder = Path(output_folder)
    loggers = [FileTrainLogger(str(folder / "train_log.txt"), precision=4)]
    if tensorboard and if_main_process():
        loggers.append(TensorBoardLogger(folder / "tensorboard"))
    if mlflow and if_main_process():
        loggers.append(MLflowLogger(folder / "mlflow", **kwargs))
    return Loggers(loggers)
