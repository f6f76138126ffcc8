"""The targets, from targets.toml and from a file of one's own."""

from collections.abc import Iterable
from dataclasses import dataclass, field
import math
from pathlib import Path
import re
import tomllib

from edgebrain.errors import UserError, nearest, unknown_name

BUILT_IN = Path(__file__).with_name("targets.toml")
_SEVERITIES = ("fail", "warn", "off")
_DEVICES = ("processor", "accelerator")
_OPTIONAL = ("on_chip_bytes", "memory_pool", "cloud")
_NUMBERS = (
    "max_opset",
    "max_ir_version",
    "min_rank",
    "max_rank",
    "max_dimension",
    "max_kernel",
    "max_dilation",
)
UNITS = {"BYTES": 1, "KBYTES": 1024, "MBYTES": 1024**2}
_SIZE = re.compile(rf"[1-9][0-9]* ({'|'.join(UNITS)})")
_ADDRESS = re.compile("0x[0-9a-fA-F]{1,8}")
# Of each table: kind of each key; those that may be left out.
_TOOL = {
    "name": "text",
    "options": "texts",
    "neural_art": "switch",
    "profile_options": "text",
}
_TOOL_OPTIONAL = ("options", "neural_art", "profile_options")
_POOL = {
    "name": "text",
    "file": "text",
    "address": "address",
    "size": "size",
    "rights": "text",
    "throughput": "text",
    "latency": "text",
    "byte_width": "number",
    "frequency_ratio": "positive",
    "on_chip": "switch",
    "cacheable": "switch",
    "constants_preferred": "switch",
}
_POOL_OPTIONAL = ("on_chip", "cacheable", "constants_preferred")
_KINDS = {
    "text": ("text", 'put it in quotes, as "x"'),
    "texts": ("a list of texts", 'write ["x", "y"]'),
    "number": ("a whole number from 1", "write it without quotes"),
    "positive": ("a number above 0", "write it without quotes"),
    "switch": ("true or false", "write true or false without quotes"),
    "address": ("an address", 'write it as "0x34200000"'),
    "size": ("a size", 'write it as "448 KBYTES"; also BYTES and MBYTES'),
    "reasons": ("a table of texts", 'write Operator = "what to do instead"'),
    "table": ("a table", "write its keys below a line [target.key]"),
    "tables": ("a list of tables", "write each below [[target.key]]"),
}
_FIELDS = {
    "description": "text",
    "device": "text",
    **dict.fromkeys(_NUMBERS, "number"),
    "on_chip_bytes": "number",
    "hardware": "texts",
    "software": "texts",
    "refused": "reasons",
    "severity": "table",
    "tool": "table",
    "cloud": "table",
    "memory_pool": "tables",
}


@dataclass(frozen=True)
class Target:
    """What one target can and cannot do; the keys of targets.toml."""

    name: str
    description: str
    device: str
    max_opset: int
    max_ir_version: int
    min_rank: int
    max_rank: int
    max_dimension: int
    max_kernel: int
    max_dilation: int
    hardware: frozenset[str]
    software: frozenset[str]
    refused: dict[str, str]
    severity: dict[str, str]
    tool: dict
    on_chip_bytes: int | None = None
    memory_pool: list[dict] = field(default_factory=list)
    cloud: dict = field(default_factory=dict)

    @property
    def accelerator(self) -> bool:
        """Whether there is more than the processor."""
        return self.device == "accelerator"

    @property
    def room(self) -> int | None:
        """Bytes on the chip: those of the pools that the tool is given.

        ``on_chip_bytes`` where there are none; None where nothing is known.
        """
        pools = [p for p in self.memory_pool if p.get("on_chip")]
        if pools:
            return sum(pool_bytes(pool) for pool in pools)
        return self.on_chip_bytes


def pool_bytes(pool: dict) -> int:
    """Return the size of a memory pool.

    >>> pool_bytes({"size": "448 KBYTES"})
    458752
    """
    count, unit = pool["size"].split()
    return int(count) * UNITS[unit]


def load_targets(extra: Path | None = None) -> dict[str, Target]:
    """Return all targets by name.

    Arguments
    ---------
    extra : Path, optional
        A TOML file of further targets; one of the same name replaces a
        built-in one.

    Raises
    ------
    UserError
        When the file is missing or no TOML; lists everything that is wrong
        with its targets.
    """
    tables, path = _read(BUILT_IN), BUILT_IN
    if extra is not None:
        path = Path(extra)
        tables |= _read(path)
    targets, problems = {}, []
    for name in tables:
        try:
            table = _merged(name, tables, ())
        except UserError as error:
            problems.append(str(error))
            continue
        found = [f"{name}{what}" for what in _problems(table)]
        problems += found
        if not found:
            table["hardware"] = frozenset(table["hardware"])
            table["software"] = frozenset(table["software"])
            targets[name] = Target(name=name, **table)
    if problems:
        raise UserError.collect(f"{path}: not targets", problems)
    return targets


def get_target(name: str, extra: Path | None = None) -> Target:
    """Return the target of a name.

    Raises
    ------
    UserError
        As :func:`load_targets`; for an unknown name, with the nearest.
    """
    known = load_targets(extra)
    if name not in known:
        raise unknown_name("target", name, known)
    return known[name]


def _read(path: Path) -> dict:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a file of targets ({error}): write TOML, a table "
            "[name] for each target"
        ) from None
    wrong = [name for name, table in tables.items() if type(table) is not dict]
    if wrong:
        raise UserError(
            f"{path}: {', '.join(wrong)}: each target is a table: [name]"
        )
    return tables


def _merged(name: str, tables: dict, seen: tuple) -> dict:
    where = f"{seen[-1]}.like: " if seen else ""
    if type(name) is not str:
        raise UserError(f'{where}{name!r} is no text: write like = "stm32"')
    if name not in tables:
        raise UserError(f"{where}{unknown_name('target', name, tables)}")
    if name in seen:
        raise UserError(
            f"{where}goes in a circle: give the keys of one of them in full"
        )
    own = dict(tables[name])
    parent = own.pop("like", None)
    if parent is None:
        return own
    base = _merged(parent, tables, (*seen, name))
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = {**base[key], **value} if both else value
    return base


def _problems(table: dict) -> list[str]:
    """Return what is wrong with a target, each as ".key: fault: mend"."""
    # The rules import this module.
    from deploy.st.checker import RULES

    found = _entries("", table, _FIELDS, _OPTIONAL)
    device = table.get("device")
    if _is("text", device) and device not in _DEVICES:
        found.append(_unknown(".device", "device", device, _DEVICES))
    severity = table.get("severity")
    for rule, value in (severity if _is("table", severity) else {}).items():
        if rule not in RULES:
            found.append(_unknown(f".severity.{rule}", "rule", rule, RULES))
        elif value not in _SEVERITIES:
            found.append(
                _unknown(
                    f".severity.{rule}", "severity", str(value), _SEVERITIES
                )
            )
    tool = table.get("tool")
    if _is("table", tool):
        found += _entries(".tool", tool, _TOOL, _TOOL_OPTIONAL)
        if tool.get("neural_art") is True and "profile_options" not in tool:
            found.append(
                ".tool.profile_options: missing: give the options of the "
                "Neural-ART compiler, as stm32n6 does"
            )
    cloud = table.get("cloud")
    if _is("table", cloud):
        found += [
            f'.cloud.{key}: cloud takes one key: board = "NAME"'
            for key, value in cloud.items()
            if key != "board" or not _is("text", value)
        ]
    pools, wrong = table.get("memory_pool", []), []
    if _is("tables", pools):
        for number, pool in enumerate(pools):
            at = f".memory_pool[{number}]"
            wrong += _entries(at, pool, _POOL, _POOL_OPTIONAL)
        found += wrong or _room_problems(table, pools)
    return found


def _entries(at: str, table: dict, kinds: dict, optional) -> list[str]:
    """Return what is wrong with the keys of a table and their types."""
    found = [
        f"{at}.{key}: missing: give {_KINDS[kind][0]}"
        for key, kind in kinds.items()
        if key not in table and key not in optional
    ]
    for key, value in table.items():
        kind = kinds.get(key)
        if kind is None:
            found.append(_unknown(f"{at}.{key}", "key", key, kinds))
        elif not _is(kind, value):
            what, mend = _KINDS[kind]
            found.append(f"{at}.{key}: {value!r} is not {what}: {mend}")
    return found


def _is(kind: str, value) -> bool:
    """Tell whether a value is of a kind."""
    if kind in ("text", "address", "size"):
        pattern = {"address": _ADDRESS, "size": _SIZE}.get(kind)
        fits = type(value) is str and value.strip() != ""
        return fits and (pattern is None or bool(pattern.fullmatch(value)))
    if kind in ("number", "positive"):
        types = (int,) if kind == "number" else (int, float)
        return type(value) in types and 0 < value < math.inf
    if kind == "switch":
        return type(value) is bool
    if kind in ("texts", "tables"):
        one = "text" if kind == "texts" else "table"
        return type(value) is list and all(_is(one, x) for x in value)
    if kind == "reasons":
        texts = value.values() if type(value) is dict else [None]
        return all(_is("text", x) for x in texts)
    return type(value) is dict


def _unknown(where: str, kind: str, got: str, known: Iterable[str]) -> str:
    close = nearest(got, known)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"{where}: unknown {kind} {got!r}: {hint}(known: {', '.join(known)})"


def _room_problems(table: dict, pools: list[dict]) -> list[str]:
    """Return where the check and the tool would have different memory."""
    room = sum(pool_bytes(pool) for pool in pools if pool.get("on_chip"))
    given = table.get("on_chip_bytes")
    if not room or not _is("number", given) or given == room:
        return []
    return [
        f".on_chip_bytes: {given!r}, but the pools with on_chip = true, which "
        f"the tool is given, hold {room}: leave it out, and give the pools "
        "of your board as [[target.memory_pool]]"
    ]
