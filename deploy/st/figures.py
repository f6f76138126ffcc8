"""Read what ST Edge AI Core says of a network, as one table."""

from collections import Counter
from dataclasses import asdict, dataclass
import json
import math
from pathlib import Path
import re

from edgebrain.errors import UserError

from deploy.st.commands import OUTPUT

#: What a benchmark of ST's farm answered.
BENCHMARK = "benchmark/result.json"
_DURATION = re.compile(r"duration\s*:\s*(\d+\.?\d*)\s*ms", re.IGNORECASE)


@dataclass(frozen=True)
class Figures:
    """What the tool measured; None where it does not say.

    Attributes
    ----------
    ram_bytes : int or None
        Activations, inputs and outputs.
    flash_bytes : int or None
        Weights.
    macc : int or None
    hardware_nodes, software_nodes : int or None
        Epochs on the accelerator and on the processor.
    milliseconds : float or None
        Of one call, where it ran on a board.
    pools : dict of str to (int, int)
        Bytes used and bytes there, by memory pool.
    """

    ram_bytes: int | None = None
    flash_bytes: int | None = None
    macc: int | None = None
    hardware_nodes: int | None = None
    software_nodes: int | None = None
    milliseconds: float | None = None
    pools: dict[str, tuple[int, int]] | None = None

    def to_dict(self) -> dict:
        """Return plain values."""
        return asdict(self)

    def text(self) -> str:
        """Return the table."""

        def shown(value, unit=""):
            return "not said" if value is None else f"{value:,}{unit}"

        rows = [
            ("RAM", shown(self.ram_bytes, " bytes")),
            ("flash", shown(self.flash_bytes, " bytes")),
            ("MACC", shown(self.macc)),
            ("nodes in hardware", shown(self.hardware_nodes)),
            ("nodes in software", shown(self.software_nodes)),
            (
                "time a call",
                "not measured (on a board: --board, --cloud)"
                if self.milliseconds is None
                else f"{self.milliseconds:g} ms",
            ),
        ]
        for name, (used, size) in (self.pools or {}).items():
            rows.append((f"pool {name}", f"{used:,} of {size:,} bytes"))
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"  {name:<{width}}  {text}" for name, text in rows)


def read_figures(folder: Path) -> Figures:
    """Return the figures of the reports in a package.

    Arguments
    ---------
    folder : Path
        Of the package; what ``generate`` wrote comes before ``analyze``.

    Raises
    ------
    UserError
        When a report is damaged.
    """
    info = _load(folder, "network_c_info.json")
    report = _load(folder, "network_report.json")
    memory = _table(info.get("memory_footprint"))
    ram = _sum(memory.get("activations"), memory.get("io"))
    graph = next(iter(_tables(info.get("graphs"))), {})
    nodes = _tables(graph.get("nodes"))
    kinds = Counter(str(node.get("mapping", "")) for node in nodes)
    hardware = sum(n for kind, n in kinds.items() if kind.endswith("_HW"))
    software = sum(n for kind, n in kinds.items() if kind.endswith("_SW"))
    maccs = [node.get("macc") for node in nodes]
    macc = _number(report.get("rom_n_macc"))
    pools = {
        str(pool["name"]): (
            _number(pool.get("used_size_bytes")) or 0,
            _number(pool.get("size_bytes")) or 0,
        )
        for pool in _tables(info.get("memory_pools"))
        if pool.get("name")
    }
    return Figures(
        ram_bytes=ram if ram is not None else _sum(report.get("ram_size")),
        flash_bytes=_first_of(memory.get("weights"), report.get("rom_size")),
        macc=macc if macc is not None else _sum(maccs),
        hardware_nodes=hardware if nodes else None,
        software_nodes=software if nodes else None,
        milliseconds=_milliseconds(folder, graph),
        pools=pools or None,
    )


def _load(folder: Path, name: str) -> dict:
    """Return the newest step's report of a name, {} where there is none."""
    for step in ("generate", "analyze"):
        for path in sorted((folder / OUTPUT / step).rglob(name)):
            return _read(path)
    return {}


def _read(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}): run the tool again"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds no table: run the tool again")
    return content


def _milliseconds(folder: Path, graph: dict) -> float | None:
    """Return the time a call took: on the farm, on a board, as reported."""
    farm = folder / OUTPUT / BENCHMARK
    if farm.is_file():
        return benchmark_milliseconds(_read(farm))
    log = folder / OUTPUT / "validate.log"
    found = None
    if log.is_file():
        text = log.read_text(encoding="utf-8", errors="replace")
        found = _DURATION.search(text)
    if found:
        return float(found[1])
    return _finite(_table(graph.get("exec_time")).get("duration_ms"))


def benchmark_milliseconds(answer: dict) -> float | None:
    """Return the time of a call that a benchmark of ST's farm measured.

    Arguments
    ---------
    answer : dict
        Of the service; newer ones say it in ``info``, older in ``graph``.
    """
    benchmark = _table(answer.get("benchmark"))
    graphs = _table(benchmark.get("info")).get("graphs")
    newer = graphs[0] if isinstance(graphs, list) and graphs else None
    for graph in (newer, benchmark.get("graph")):
        duration = _table(_table(graph).get("exec_time")).get("duration_ms")
        milliseconds = _finite(duration)
        if milliseconds is not None:
            return milliseconds
    return None


def _finite(value) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _table(value) -> dict:
    return value if isinstance(value, dict) else {}


def _tables(value) -> list[dict]:
    return list(map(_table, value)) if isinstance(value, list) else []


def _number(value) -> int | None:
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _first_of(*values) -> int | None:
    return next((n for n in map(_number, values) if n is not None), None)


def _sum(*values) -> int | None:
    """Return the sum of numbers and lists of numbers, None without any."""
    flat = []
    for value in values:
        flat += value if isinstance(value, list) else [value]
    numbers = [n for n in map(_number, flat) if n is not None]
    return sum(numbers) if numbers else None
