"""What a person sees of a training: lines, curves, tables and pictures."""

from pathlib import Path

from edgebrain.report import plots
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

#: Clips under which a score is a matter of luck.
FEW = 10


def say(text: str) -> None:
    """Tell a person, and the log."""
    if if_main_process():
        print(text, flush=True)
    logger.info(text)


def warn_of_few(name: str, dataset) -> None:
    """Warn of a set whose scores are a matter of luck."""
    items = [dataset.data[item] for item in dataset.data_ids]
    files = {item.get("wav", item.get("noisy")) for item in items}
    if len(items) < FEW or len(files) == 1:
        clips = f"{len(items)} clip{'s' if len(items) != 1 else ''}"
        say(
            f"warning: the {name} set has {clips} of {len(files)} file"
            f"{'s' if len(files) != 1 else ''}: its scores are a matter of luck"
        )


def write_history(history, folder, task, selected=None) -> None:
    """Write metrics.csv and learning_curves.png of a history."""
    folder = Path(folder)
    history.write_csv(folder / "metrics.csv")
    picture = folder / "learning_curves.png"
    plots.plot_learning_curves(history.rows, picture, task, selected=selected)


def epoch_line(row, key, baseline, epochs, best) -> str:
    """Return an epoch's row of the history as a line of text.

    ``key`` selects the checkpoint, a metric or ``loss``; ``baseline`` begins
    the names of the columns that it is compared with; ``best`` so far?
    """
    epoch = f"{row['epoch']:{len(str(epochs))}d}/{epochs}"
    loss, valid = row["train_loss"], row["valid_loss"]
    words = [f"epoch {epoch}", f"loss {loss:.4g} train {valid:.4g} valid"]
    if key != "loss":
        words.append(f"{key} {row[f'valid_{key}']:.4g}")
        if f"{baseline}_{key}" in row:
            words[-1] += f" ({baseline} {row[f'{baseline}_{key}']:.4g})"
    return "  ".join([*words, "* best" if best else "      "])


def places(output_folder, test_folder) -> str:
    """Return what lies where after a test, a line each."""
    output, test = Path(output_folder), Path(test_folder)
    lines = {
        "scores of each clip": test / "per_clip.csv",
        "learning curves": output / "learning_curves.png",
        "a row an epoch": output / "metrics.csv",
        "checkpoints": output / "save",
    }
    if list(test.glob("spectrograms_*.png")):
        lines["spectrograms"] = test / "spectrograms_*.png"
    if (test / "enhanced").is_dir():
        lines["enhanced clips"] = test / "enhanced"
    return "\n".join(f"{what:20}  {path}" for what, path in lines.items())
