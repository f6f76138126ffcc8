"""Int8 C against onnxruntime for an hour of sound without a reset."""

from pathlib import Path
import sys
import tempfile

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "deploy")]

from edgebrain.onnx.files import read_card  # noqa: E402
from soak import compare, random_stream  # noqa: E402

MODELS = ROOT / "models"
SECONDS, NETWORKS = 3600, 20


def run(cache) -> list[tuple[str, str]]:
    """Return a row for each released stream and each random network."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = [
            path
            for path in sorted(MODELS.glob("*/stream_int8.onnx"))
            if read_card(path).task == "enhancement"
        ]
        paths += [random_stream(n, folder) for n in range(NETWORKS)]
        for number, path in enumerate(paths):
            differ, total, _ = compare(
                path, folder / f"c{number}", SECONDS, number
            )
            name = path.stem if path.parent == folder else path.parent.name
            rows.append(
                (
                    f"{name}, int8 C and onnxruntime, {SECONDS} s",
                    f"{differ:,} of {total:,} mask values differ",
                )
            )
    return rows
