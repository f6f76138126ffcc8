"""What a person sees of a training: lines, curves, tables and pictures."""

import math
from pathlib import Path

from edgebrain.enhancement import metrics
from edgebrain.report import plots, tables


def write_history(history, folder) -> None:
    """Write metrics.csv and learning_curves.png of a history.

    Arguments
    ---------
    history : edgebrain.training.history.History
    folder : path
    """
    folder = Path(folder)
    history.write_csv(folder / "metrics.csv")
    plots.plot_learning_curves(history.rows, folder / "learning_curves.png")


def epoch_line(row: dict, key: str) -> str:
    """Return an epoch's row as a line of text, the selecting metric first."""
    words = [f"epoch {row['epoch']}: loss {row['train_loss']:.4g} train"]
    words.append(f"{row['valid_loss']:.4g} valid")
    names = [k.removeprefix("noisy_") for k in row if k.startswith("noisy_")]
    for name in sorted(names, key=lambda n: n != key):
        noisy, ours = row[f"noisy_{name}"], row[f"valid_{name}"]
        words.append(f"{name} {noisy:.4g} -> {ours:.4g}")
    return ", ".join(words)


def clip_files(dataset, saved: bool) -> dict[str, dict[str, str]]:
    """Return the file names of each clip of a test set.

    Arguments
    ---------
    dataset : EnhancementDataset
    saved : bool
        Whether the enhanced clips are written.

    Returns
    -------
    dict
        Clip id to ``{"clean_file": ..., "noisy_file": ...,
        "enhanced_file": ...}``, of those that exist.
    """
    columns = {"wav": "clean", "clean": "clean", "noisy": "noisy"}
    files = {}
    for clip_id, item in dataset.data.items():
        files[clip_id] = {
            f"{name}_file": item[key]
            for key, name in columns.items()
            if key in item
        }
        if saved:
            files[clip_id]["enhanced_file"] = f"enhanced/{clip_id}.wav"
    return files


def places(output_folder, test_folder, saved: bool) -> str:
    """Return what lies where after a test, a line each.

    Arguments
    ---------
    output_folder, test_folder : path
    saved : bool
        Whether the enhanced clips are written.
    """
    output, test = Path(output_folder), Path(test_folder)
    lines = {
        "scores of each clip": test / "per_clip.csv",
        "spectrograms": test / "spectrograms_*.png",
        "learning curves": output / "learning_curves.png",
        "a row an epoch": output / "metrics.csv",
        "checkpoints": output / "save",
    }
    if saved:
        lines["enhanced clips"] = test / "enhanced"
    return "\n".join(f"{what:20}  {path}" for what, path in lines.items())


def example_clips(rows: dict, metric: str) -> dict[str, str]:
    """Pick the clips with the best, median and worst gain in a metric.

    Arguments
    ---------
    rows : dict
        From :meth:`Scorer.rows`.
    metric : str

    Returns
    -------
    dict of str to str
        ``best``, ``median`` and ``worst`` to the id of a clip; fewer if
        fewer clips have a score in both rows.
    """
    before = {clip.id: clip.values[metric] for clip in rows["noisy"]}
    sign = 1 if metrics.higher_is_better(metric) else -1
    gains = sorted(
        (sign * (clip.values[metric] - before[clip.id]), clip.id)
        for clip in rows["enhanced"]
        if math.isfinite(clip.values[metric] - before[clip.id])
    )
    if not gains:
        return {}
    places = {"best": -1, "median": len(gains) // 2, "worst": 0}
    chosen: dict[str, str] = {}
    for name, place in places.items():
        if gains[place][1] not in chosen.values():
            chosen[name] = gains[place][1]
    return chosen


def write_test_results(folder, rows, signal, facts, get_clip, files) -> str:
    """Write metrics.json, per_clip.csv and spectrograms; return the table.

    Arguments
    ---------
    folder : path
        Files in it are replaced.
    rows : dict
        From :meth:`Scorer.rows`.
    signal : edgebrain.signal.SignalSettings
    facts : dict
        Further entries of metrics.json: what was tested.
    get_clip : callable
        Clip id to ``(noisy, enhanced, clean)`` arrays (samples,).
    files : dict
        Clip id to ``{"clean_file": ..., ...}``.

    Returns
    -------
    str
        The table, the noisy input first.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables.write_per_clip(folder / "per_clip.csv", rows, files)
    tables.write_json(
        folder / "metrics.json", {**facts, **tables.metrics_summary(rows)}
    )
    ranking = next(iter(rows["enhanced"][0].values))
    for name, clip_id in example_clips(rows, ranking).items():
        label = metrics.METRICS[ranking].label
        plots.plot_spectrograms(
            *get_clip(clip_id),
            signal,
            folder / f"spectrograms_{name}.png",
            f"{clip_id}: {name} gain in {label}",
        )
    table = tables.metrics_table(rows, signal.sample_rate)
    (folder / "table.txt").write_text(table + "\n", encoding="utf-8")
    return table
