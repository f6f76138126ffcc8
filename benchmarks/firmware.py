"""Instructions of the C code of the released networks, on emulated boards."""

from pathlib import Path

import cost
from edgebrain.errors import UserError

MODELS = Path(__file__).parents[1] / "models"


def run(cache) -> list[tuple[str, str]]:
    """Return a row for each quantized stream, core by core."""
    rows = []
    for path in sorted(MODELS.glob("*/stream_int*.onnx")):
        precision = path.stem.removeprefix("stream_")
        try:
            measured = cost.measure(path)
        except UserError as error:
            return [("C on Cortex-M", f"not measured: {error}")]
        for row in measured:
            rows.append(
                (
                    f"{path.parent.name}, C {precision} on "
                    f"{cost.BOARDS[row.board]}",
                    f"{row.instructions:,} instructions a frame, network "
                    f"alone {row.network:,} ({row.network / row.macs:.2f} a "
                    f"product), {row.mhz:.1f} million a second; code "
                    f"{row.code / 1024:.1f}, constants "
                    f"{row.constants / 1024:.0f}, memory "
                    f"{row.ram / 1024:.1f} KiB",
                )
            )
    return rows
