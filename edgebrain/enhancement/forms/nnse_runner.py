"""Run the C tables of an NNSE network as any other form.

The weights are read from the generated C files themselves, so that what is
scored is what a firmware compiles. From the normalised features on, all is
computed as the runtime does, bit for bit; the FFT, the mel bands and the
logarithm before are computed in double precision and then rounded to Q15.
"""

import json
from pathlib import Path
import re

from edgebrain.enhancement.forms.nnse_integer import (
    Layer,
    Network,
    quantize_features,
)
from edgebrain.errors import UserError
from edgebrain.onnx.metadata import GraphMetadata
import numpy as np

#: In a folder that deploy/nnse_tables.py wrote.
MARKER = "nnse_tables.json"
_ARRAY = re.compile(
    r"const\s+(u?int\d+)_t\s+(\w+)\s*\[\w*\][^={;]*=\s*\{([^}]*)\}"
)
_FLOOR = 2.0**-15


class TableRunner:
    """The C tables of an NNSE network; an :class:`edgebrain.runners.Runner`.

    ``filters``: mel triangles, (features, bins), int16 in Q15.
    """

    form = "stream"

    def __init__(self, metadata, layers, mean, invstd, filters):
        self.metadata = metadata
        self.setup, self.precision = metadata.setup, metadata.precision
        self.layers = layers
        self.mean, self.invstd = mean, invstd
        self.filters = filters
        signal = metadata.signal
        # Their window is the periodic sqrt_hann times this.
        self._gain = 2 * signal.hop_length / signal.win_length

    def features(self, magnitude: np.ndarray) -> np.ndarray:
        """Return the input of the network in Q8, (frames, features).

        Of magnitudes (bins, frames) of samples in -1 to 1.
        """
        power = self._gain * np.asarray(magnitude, np.float64) ** 2
        mel = (self.filters.astype(np.float64) / 2**15) @ power
        return quantize_features(
            np.log10(mel + _FLOOR).T, self.mean, self.invstd
        )

    def facts(self) -> dict:
        """Return what tells it from others, for metrics.json."""
        return self.metadata.facts()

    def streamer(self) -> "TableStreamer":
        """Return a fresh streamer with a state of its own."""
        return TableStreamer(self)

    def run(self, features: np.ndarray) -> np.ndarray:
        """Return the mask of a whole clip; both (bins, frames) float32."""
        return self.streamer()(features)


class TableStreamer:
    """The next masks of a stream."""

    lookahead_frames = 0
    exact = True

    def __init__(self, runner: TableRunner):
        self._runner = runner
        self._network = Network(runner.layers, len(runner.mean))

    def reset(self) -> None:
        """Forget the stream so far."""
        self._network.reset()

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Take (bins, k) frames, return their masks, float32."""
        out = self._network.run(self._runner.features(features))
        return (out.T / 2.0**15).astype(np.float32)

    def flush(self) -> np.ndarray:
        """Return no mask, for none is ever owed, and be as new."""
        self.reset()
        return np.zeros((self._runner.metadata.signal.bins, 0), np.float32)


def load_tables(folder: str | Path) -> TableRunner:
    """Return the runner of a folder that deploy/nnse_tables.py wrote."""
    folder = Path(folder)
    try:
        facts = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        metadata = GraphMetadata.from_properties(
            facts["metadata"], str(folder / MARKER)
        )
        name = facts["net_name"]
        text = _without_comments(folder / facts["source"])
        front = _arrays(_without_comments(folder / facts["front_end"]))
        arrays = _arrays(text)
        layers = _layers(text, arrays, name)
        mean = _signed(arrays[f"feature_mean_{name}"], np.int32)
        invstd = _signed(arrays[f"feature_stdR_{name}"], np.int32)
        filters = _mel_filters(front, name, metadata.signal.bins)
    except (OSError, ValueError, LookupError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"{folder}: not as deploy/nnse_tables.py wrote it "
            f"({type(error).__name__}: {error}): run it again"
        ) from None
    return TableRunner(metadata, layers, mean, invstd, filters)


def _without_comments(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)


def _arrays(text: str) -> dict[str, np.ndarray]:
    """Return the constant arrays of a C file by name, int64."""
    return {
        name: np.array([int(v, 0) for v in values.replace(",", " ").split()])
        for _, name, values in _ARRAY.findall(text)
    }


def _signed(values: np.ndarray, kind) -> np.ndarray:
    """Return numbers that C holds in two's complement."""
    half = 1 << (8 * np.dtype(kind).itemsize - 1)
    return ((values + half) % (2 * half) - half).astype(kind)


def _fields(text: str, name: str) -> list[str]:
    """Return the texts of the positional fields of net_{name}."""
    start = re.search(rf"NeuralNetClass\s+net_{name}\s*=\s*\{{", text)
    if start is None:
        raise LookupError(f"no net_{name}")
    fields, depth, current = [], 0, ""
    for character in text[start.end() :]:
        if character == "}" and depth == 0:
            return [field.strip() for field in [*fields, current]]
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            fields.append(current)
            current = ""
        else:
            current += character
    raise LookupError(f"net_{name} does not end")


def _words(field: str) -> list[str]:
    return [w for w in re.split(r"[\s,{}]+", field) if w]


def _layers(text: str, arrays: dict, name: str) -> list[Layer]:
    fields = _fields(text, name)
    count = int(fields[0])
    sizes = [int(w) for w in _words(fields[1])]
    kinds, activations = _words(fields[2]), _words(fields[6])
    q_kernel, q_input, q_bias = (
        [int(w) for w in _words(field)] for field in fields[3:6]
    )
    layers = []
    for n in range(count):
        rows, columns = sizes[n + 1], sizes[n]
        packed = _signed(arrays[f"{name}_kernel{n}"], np.int8)
        bias = _signed(arrays[f"{name}_bias{n}"], np.int16)
        recurrent = None
        if kinds[n] == "lstm":
            kernel = unpack_gates(packed, rows, columns)
            rec = _signed(arrays[f"{name}_kernel_rec{n}"], np.int8)
            recurrent = unpack_gates(rec, rows, rows)
            bias = unpack_gates(bias, rows, 1)[..., 0]
        else:
            kernel = unpack(packed, rows, columns)
        q = (q_kernel[n], q_input[n], q_bias[n])
        layers.append(
            Layer(kinds[n], activations[n], kernel, bias, recurrent, *q)
        )
    return layers


def unpack(packed: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the (rows, columns) matrix of the runtime's order."""
    order = packed_order(rows, columns)
    if len(packed) != len(order):
        raise ValueError(f"{len(packed)} values for {rows} x {columns}")
    matrix = np.zeros(rows * columns, packed.dtype)
    matrix[order] = packed
    return matrix.reshape(rows, columns)


def packed_order(rows: int, columns: int) -> np.ndarray:
    """Return where in the (rows, columns) matrix each packed value lies.

    Blocks of 4 rows (the last one may be smaller); in a block pairs of
    columns; in such a pair, pairs of rows.
    """
    order = []
    for top in range(0, rows, 4):
        block = range(top, min(top + 4, rows))
        for left in range(0, columns - columns % 2, 2):
            for row in block:
                first = (row - top) % 2 == 0
                if first and row + 1 in block:
                    pair = (row, row + 1)
                    order += [(r, left) for r in pair]
                    order += [(r, left + 1) for r in pair]
                elif first:
                    order += [(row, left), (row, left + 1)]
        if columns % 2:
            order += [(row, columns - 1) for row in block]
    return np.array([row * columns + column for row, column in order])


def unpack_gates(packed: np.ndarray, units: int, columns: int) -> np.ndarray:
    """Return (4, units, columns) of groups of 4 units, gate after gate."""
    gates = np.zeros((4, units, columns), packed.dtype)
    start = 0
    for top in range(0, units, 4):
        size = min(4, units - top)
        for gate in range(4):
            part = packed[start : start + size * columns]
            gates[gate, top : top + size] = unpack(part, size, columns)
            start += size * columns
    if start != len(packed):
        raise ValueError(f"{len(packed)} values for 4 x {units} x {columns}")
    return gates


def _mel_filters(front: dict, name: str, bins: int) -> np.ndarray:
    first, counts = front[f"mel_first_{name}"], front[f"mel_count_{name}"]
    values = front[f"mel_coeff_{name}"]
    filters = np.zeros((len(first), bins), np.int64)
    ends = np.cumsum(counts)
    for band, (low, count, end) in enumerate(
        zip(first, counts, ends, strict=True)
    ):
        filters[band, low : low + count] = values[end - count : end]
    return filters
