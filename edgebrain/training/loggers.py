"""Where the figures of each epoch go besides metrics.csv."""

from collections.abc import Callable
import logging
from pathlib import Path
import sys

from edgebrain.errors import UserError
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import TqdmCompatibleStreamHandler
from speechbrain.utils.train_logger import FileTrainLogger, TrainLogger

#: Takes numbers by names such as ``valid/stoi``, and the epoch.
Writer = Callable[[dict[str, float], int], None]


def tensorboard_writer(folder: Path) -> Writer:
    """Return what writes scalars for TensorBoard, by epoch.

    SpeechBrain's own logger counts calls, so a resumed run would start at
    step 1 again.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise _missing("tensorboard") from None
    writer = SummaryWriter(str(folder))

    def write(values, epoch):
        for name, value in values.items():
            writer.add_scalar(name, value, epoch)
        writer.flush()

    return write


def mlflow_writer(folder: Path, parameters: dict) -> Writer:
    """Return what writes scalars into an MLflow run that a resume continues.

    The folder holds ``mlflow.db`` (MLflow 3 refuses plain file stores) and
    the run's id, unless ``MLFLOW_TRACKING_URI`` names a server.
    """
    try:
        import mlflow
    except ImportError:
        raise _missing("mlflow") from None
    folder.mkdir(parents=True, exist_ok=True)
    if not mlflow.is_tracking_uri_set():
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("edgebrain")
    known = folder / "mlflow_run_id"
    run_id = known.read_text().strip() if known.exists() else None
    run = mlflow.start_run(run_id=run_id)
    if run_id is None:
        known.write_text(run.info.run_id)
        for key, value in parameters.items():
            # MLflow allows few characters; "!" marks the tag of a key
            name = key.replace("!", ".tag")
            mlflow.log_param(name[:250], str(value)[:500])

    def write(values, epoch):
        named = {name.replace("/", "_"): v for name, v in values.items()}
        mlflow.log_metrics(named, step=epoch)

    return write


def _missing(package: str) -> UserError:
    return UserError(
        f"{package}: the package is not installed; pip install {package}, or "
        f"set {package}: False"
    )


class Loggers(TrainLogger):
    """Pass each epoch's numbers to train_log.txt and further writers.

    Every process has to call it: SpeechBrain's logger waits for the others.
    """

    def __init__(self, folder: Path, tensorboard, mlflow, parameters: dict):
        self.file = FileTrainLogger(str(folder / "train_log.txt"), precision=4)
        self.writers: list[Writer] = []
        if tensorboard and if_main_process():
            self.writers.append(tensorboard_writer(folder / "tensorboard"))
        if mlflow and if_main_process():
            self.writers.append(mlflow_writer(folder / "mlflow", parameters))

    def log_stats(self, stats_meta, **stats):
        """Write an epoch's numbers; see SpeechBrain's TrainLogger.

        Arguments
        ---------
        **stats
            ``train_stats``, ``valid_stats``, ``test_stats``.
        """
        self.file.log_stats(stats_meta, **stats)
        meta = {k: v for k, v in stats_meta.items() if k != "epoch"}
        values = {
            f"{group.removesuffix('_stats')}/{key}": float(value)
            for group, numbers in {"meta": meta, **stats}.items()
            for key, value in numbers.items()
            if isinstance(value, int | float)
        }
        for write in self.writers:
            write(values, int(stats_meta.get("epoch", 0)))


def write_log(path) -> None:
    """Send what is logged to a file, and warnings to the terminal too.

    Of libraries only warnings: matplotlib has much to say.
    """
    file = logging.FileHandler(path, encoding="utf-8")
    form = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
    file.setFormatter(logging.Formatter(form))
    console = TqdmCompatibleStreamHandler(sys.stderr)
    console.setLevel(logging.WARNING)
    console.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logging.basicConfig(
        level=logging.WARNING, handlers=[file, console], force=True
    )
    for name in ("edgebrain", "speechbrain"):
        logging.getLogger(name).setLevel(logging.INFO)
