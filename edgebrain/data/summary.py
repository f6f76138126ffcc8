"""The table that tells a person what a data set holds."""

from collections.abc import Mapping
from pathlib import Path

from edgebrain.data.checks import FileReport
from edgebrain.data.layout import Clip


def summary_table(
    sets: Mapping[str, Mapping[str, list[Clip]]],
    reports: Mapping[Path, FileReport],
) -> str:
    """Return clips, hours and speakers (noises, rooms) of each split."""
    rows = [("set", "split", "clips", "hours", "speakers or groups")]
    for role, splits in sets.items():
        for split, clips in splits.items():
            seconds = sum(
                reports[next(iter(clip.files.values()))].info.duration
                for clip in clips
            )
            rows.append(
                (
                    role,
                    split,
                    str(len(clips)),
                    f"{seconds / 3600:.2f}",
                    str(len({clip.group for clip in clips})),
                )
            )
    widths = [max(len(row[at]) for row in rows) for at in range(5)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
