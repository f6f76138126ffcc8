"""The targets, from targets.toml and from a file of one's own."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
import re
import tomllib

from edgebrain.errors import UserError, nearest, unknown_name

BUILT_IN = Path(__file__).with_name("targets.toml")
UNITS = {"BYTES": 1, "KBYTES": 1024, "MBYTES": 1024**2}


def _matches(pattern: str):
    return lambda x: type(x) is str and re.fullmatch(pattern, x.strip())


#: Of each kind of value: what it has to be, and the test.
_KINDS = {
    "text": ('a text: put it in quotes, as "x"', _matches(".+")),
    "number": (
        "a whole number from 1: write it without quotes",
        lambda x: type(x) is int and x > 0,
    ),
    "ratio": (
        "a number above 0: write it without quotes",
        lambda x: type(x) in (int, float) and 0 < x < 1e9,
    ),
    "switch": (
        "true or false: write it without quotes",
        lambda x: type(x) is bool,
    ),
    "address": (
        'an address: write it as "0x34200000"',
        _matches("0x[0-9a-fA-F]{1,8}"),
    ),
    "size": (
        'a size: write it as "448 KBYTES"; also BYTES and MBYTES',
        _matches(rf"[1-9][0-9]* ({'|'.join(UNITS)})"),
    ),
    "device": (
        "a device: processor or accelerator",
        _matches("processor|accelerator"),
    ),
    "severity": ("a severity: fail, warn or off", _matches("fail|warn|off")),
}
_POOL = {
    "name": "text",
    "file": "text",
    "address": "address",
    "size": "size",
    "rights": "text",
    "throughput": "text",
    "latency": "text",
    "byte_width": "number",
    "frequency_ratio": "ratio",
    "on_chip?": "switch",
    "cacheable?": "switch",
    "constants_preferred?": "switch",
}
#: Keys of a target and their kinds: a dict is a table, a list has one kind of
#: entry, "*" any name, "?" may be left out.
_TARGET = {
    "description": "text",
    "device": "device",
    "max_opset": "number",
    "max_ir_version": "number",
    "min_rank": "number",
    "max_rank": "number",
    "max_dimension": "number",
    "max_kernel": "number",
    "max_dilation": "number",
    "on_chip_bytes?": "number",
    "flash_bytes?": "number",
    "hardware": ["text"],
    "software": ["text"],
    "refused": {"*": "text"},
    "tool": {
        "name": "text",
        "options?": ["text"],
        "neural_art?": "switch",
        "profile_options?": "text",
    },
    "cloud?": {"board?": "text"},
    "application?": ["text"],
    "memory_pool?": [_POOL],
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
    hardware: list[str]
    software: list[str]
    refused: dict[str, str]
    severity: dict[str, str]
    tool: dict
    on_chip_bytes: int | None = None
    flash_bytes: int | None = None
    memory_pool: list[dict] = field(default_factory=list)
    cloud: dict = field(default_factory=dict)
    application: list[str] = field(default_factory=list)

    @property
    def accelerator(self) -> bool:
        """Whether there is more than the processor."""
        return self.device == "accelerator"

    @property
    def room(self) -> int | None:
        """Bytes on the chip: those of the pools that the tool is given.

        ``on_chip_bytes`` where there are none; None where nothing is known.
        """
        return self._pools("on_chip") or self.on_chip_bytes

    @property
    def flash(self) -> int | None:
        """Bytes for weights: of the pool for constants, or flash_bytes."""
        return self._pools("constants_preferred") or self.flash_bytes

    def _pools(self, key: str) -> int:
        return sum(pool_bytes(p) for p in self.memory_pool if p.get(key))


def pool_bytes(pool: dict) -> int:
    """Return the size of a memory pool.

    >>> pool_bytes({"size": "448 KBYTES"})
    458752
    """
    count, unit = pool["size"].split()
    return int(count) * UNITS[unit]


def load_targets(extra: Path | None = None) -> dict[str, Target]:
    """Return all targets by name.

    A file of further ones may replace built-in ones by their names. Lists
    everything that is wrong with its targets.
    """
    tables, path = _read(BUILT_IN), BUILT_IN
    # The first target names every rule.
    rules = {f"{rule}?": "severity" for rule in tables["stm32"]["severity"]}
    kinds = _TARGET | {"severity": rules}
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
        found = list(_problems(name, table, kinds))
        problems += found
        if not found:
            targets[name] = Target(name=name, **table)
    if problems:
        raise UserError.collect(f"{path}: not targets", problems)
    return targets


def get_target(name: str, extra: Path | None = None) -> Target:
    """Return the target of a name."""
    known = load_targets(extra)
    if name not in known:
        raise unknown_name("target", name, known)
    return known[name]


def _read(path: Path) -> dict:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a file of targets ({error}): write TOML, a table "
            "[name] for each target"
        ) from None


def _merged(name: str, tables: dict, seen: tuple) -> dict:
    """Return a target with the keys of those that it is like."""
    where = f"{seen[-1]}.like: " if seen else ""
    if name not in tables or type(tables[name]) is not dict:
        raise UserError(f"{where}{unknown_name('target', str(name), tables)}")
    if name in seen:
        raise UserError(
            f"{where}goes in a circle: give the keys of one of them in full"
        )
    own = dict(tables[name])
    parent = own.pop("like", None)
    if parent is None:
        return own
    base = _merged(str(parent), tables, (*seen, name))
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = {**base[key], **value} if both else value
    return base


def _problems(at: str, value, kind) -> Iterator[str]:
    """Yield what is wrong with a value, each as "key: fault: mend"."""
    if isinstance(kind, str):
        what, fits = _KINDS[kind]
        if not fits(value):
            yield f"{at}: {value!r} is not {what}"
    elif isinstance(kind, list):
        if type(value) is not list:
            yield f"{at}: {value!r} is not a list"
            return
        for number, entry in enumerate(value):
            yield from _problems(f"{at}[{number}]", entry, kind[0])
    elif type(value) is not dict:
        yield f"{at}: {value!r} is not a table"
    else:
        known = {key.rstrip("?"): entry for key, entry in kind.items()}
        for key in kind.keys() - {"*"}:
            if not key.endswith("?") and key not in value:
                yield f"{at}.{key}: missing: give it"
        for key, entry in value.items():
            if "*" in known or key in known:
                yield from _problems(
                    f"{at}.{key}", entry, known.get("*", known.get(key))
                )
            else:
                close = nearest(key, known)
                hint = f"did you mean {' or '.join(close)}? " if close else ""
                listed = ", ".join(known)
                yield f"{at}.{key}: unknown key: {hint}(known: {listed})"
