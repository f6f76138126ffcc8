"""Read what ST Edge AI Core says of a network, as one table."""

from dataclasses import dataclass
import json
from pathlib import Path
import re

from edgebrain.errors import UserError

from deploy.st.commands import OUTPUT

#: What a benchmark of ST's farm answered.
BENCHMARK = "benchmark/result.json"
_TIME = ("exec_time", "duration_ms")
_DURATION = re.compile(r"duration\s*:\s*(\d+\.?\d*)\s*ms", re.IGNORECASE)


@dataclass(frozen=True)
class Figures:
    """What the tool measured; None where it does not say.

    RAM holds activations, inputs and outputs, flash the weights. Nodes are
    epochs, on the accelerator and on the processor. The milliseconds are of
    one call on a board. Pools are bytes used and there, by name.
    """

    ram_bytes: int | None = None
    flash_bytes: int | None = None
    macc: int | None = None
    hardware_nodes: int | None = None
    software_nodes: int | None = None
    milliseconds: float | None = None
    pools: dict[str, tuple[int, int]] | None = None

    def text(self) -> str:
        """Return the table."""

        def shown(value, unit=""):
            """Return a number (int or None) with its unit."""
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

    What ``generate`` wrote comes before ``analyze``.
    """
    info = _load(folder, "network_c_info.json")
    report = _load(folder, "network_report.json")
    nodes = _at(info, list, "graphs", 0, "nodes") or []
    kinds = [str(_at(node, str, "mapping")) for node in nodes]
    pools = {
        str(_at(pool, str, "name")): (
            _at(pool, int, "used_size_bytes") or 0,
            _at(pool, int, "size_bytes") or 0,
        )
        for pool in _at(info, list, "memory_pools") or []
    }
    memory = _at(info, dict, "memory_footprint") or {}
    ram = _total(memory.get("activations"), memory.get("io"))
    return Figures(
        ram_bytes=ram or _total(_at(report, object, "ram_size")),
        flash_bytes=_at(memory, int, "weights") or _at(report, int, "rom_size"),
        macc=_at(report, int, "rom_n_macc"),
        hardware_nodes=_count(kinds, "_HW"),
        software_nodes=_count(kinds, "_SW"),
        milliseconds=_milliseconds(folder, info),
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


def _milliseconds(folder: Path, info: dict) -> float | None:
    """Return the time a call took: on the farm, on a board, as reported."""
    farm = folder / OUTPUT / BENCHMARK
    if farm.is_file():
        return benchmark_milliseconds(_read(farm))
    log = folder / OUTPUT / "validate.log"
    text = log.read_text("utf-8", errors="replace") if log.is_file() else ""
    found = _DURATION.search(text)
    if found:
        return float(found[1])
    return _at(info, float, "graphs", 0, *_TIME)


def benchmark_milliseconds(answer: dict) -> float | None:
    """Return the time of a call that a benchmark of ST's farm measured.

    Newer services say it in ``info``, older ones in ``graph``.
    """
    newer = _at(answer, float, "benchmark", "info", "graphs", 0, *_TIME)
    return newer or _at(answer, float, "benchmark", "graph", *_TIME)


def _at(value, kind: type, *path):
    """Return what lies at a path, None where nothing of that kind does."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    if kind is float and isinstance(value, int):
        value = float(value)
    return value if isinstance(value, kind) else None


def _count(kinds: list[str], end: str) -> int | None:
    return sum(kind.endswith(end) for kind in kinds) if kinds else None


def _total(*values) -> int | None:
    """Return the sum of numbers and lists of numbers, None without any."""
    flat = [x for v in values for x in (v if isinstance(v, list) else [v])]
    return sum(x for x in flat if isinstance(x, int)) or None
