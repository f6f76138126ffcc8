"""The targets, from targets.toml and from a file of one's own."""

from dataclasses import dataclass, field
from pathlib import Path
import tomllib

from edgebrain.errors import UserError, unknown_name

BUILT_IN = Path(__file__).with_name("targets.toml")
_SEVERITIES = ("fail", "warn", "off")
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
        When the file is missing or no TOML, or a target lacks a key.
    """
    tables = _read(BUILT_IN)
    if extra is not None:
        tables |= _read(Path(extra))
    return {name: _make(name, tables, ()) for name in tables}


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
        raise UserError(f"{path}: not a file of targets ({error})") from None
    wrong = [name for name, table in tables.items() if type(table) is not dict]
    if wrong:
        raise UserError(
            f"{path}: {', '.join(wrong)}: each target is a table: [name]"
        )
    return tables


def _merged(name: str, tables: dict, seen: tuple) -> dict:
    if name not in tables:
        raise unknown_name("target", name, tables)
    if name in seen:
        raise UserError(f"target {name}: `like` goes in a circle")
    own = dict(tables[name])
    parent = own.pop("like", None)
    if parent is None:
        return own
    base = _merged(parent, tables, (*seen, name))
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = {**base[key], **value} if both else value
    return base


def _make(name: str, tables: dict, seen: tuple) -> Target:
    table = _merged(name, tables, seen)
    fields = Target.__dataclass_fields__
    needed = [key for key in fields if key not in ("name", *_OPTIONAL)]
    problems = [f"lacks {key}" for key in needed if key not in table]
    problems += [f"unknown key {key}" for key in table if key not in fields]
    problems += [
        f"{key} must be a whole number"
        for key in _NUMBERS
        if key in table and type(table[key]) is not int
    ]
    problems += [
        f"severity.{rule}: {value!r} is none of {', '.join(_SEVERITIES)}"
        for rule, value in table.get("severity", {}).items()
        if value not in _SEVERITIES
    ]
    cloud = table.get("cloud", {})
    if not isinstance(cloud, dict) or any(
        key != "board" or not isinstance(value, str)
        for key, value in cloud.items()
    ):
        problems.append('cloud takes one key: board = "NAME"')
    if problems:
        raise UserError.collect(f"target {name}", problems)
    table["hardware"] = frozenset(table["hardware"])
    table["software"] = frozenset(table["software"])
    return Target(name=name, **table)
