"""What a check finds, and how it is shown."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
import functools

from edgebrain.onnx.graph import label

from deploy.st.application_header import Application, Unfit
from deploy.st.footprint import Footprint

#: From the worst.
LEVELS = ("fail", "warn", "not checked", "pass")
#: Findings of one rule in the table; all of them are in the JSON.
SHOWN = 6


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a node, tensor or part of the file.

    An empty level: as the target says for the rule.
    """

    node: str
    reason: str
    mend: str
    level: str = ""


#: What a rule returns.
Findings = Iterator[Finding]


class NotChecked(Exception):
    """Why a rule cannot tell, and what would let it."""


def of_each_node(rule: Callable) -> Callable:
    """Make a rule of a graph of one of a node.

    That one yields (reason, mend) or, with a level, (reason, mend, level).
    """

    @functools.wraps(rule)
    def whole(graph, target) -> Findings:
        for node in graph.nodes:
            for found in rule(graph, target, node):
                yield Finding(label(node), *found)

    return whole


@dataclass(frozen=True)
class RuleResult:
    """One rule of a check."""

    rule: str
    title: str
    level: str
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """Result of a check.

    ``nodes`` run in ``hardware``, ``software`` or ``unknown``; of the target's
    ``memory`` the bytes ``on_chip`` and in ``flash`` are there, None where
    not known. ``application`` may be why it cannot run the model.
    """

    model: str
    target: str
    rules: list[RuleResult]
    footprint: Footprint
    nodes: dict[str, int]
    memory: dict[str, int | None]
    application: Application | Unfit

    @property
    def level(self) -> str:
        """The worst level."""
        levels = {result.level for result in self.rules} | {"pass"}
        return next(level for level in LEVELS if level in levels)

    def failures(self) -> list[str]:
        """Return a line a finding that fails."""
        return [
            f"{f.node}: {f.reason}: {f.mend}"
            for result in self.rules
            for f in result.findings
            if f.level == "fail"
        ]

    def to_dict(self) -> dict:
        """Return everything as plain values that JSON keeps."""
        return {
            "model": self.model,
            "target": self.target,
            "result": self.level,
            "cost": self.footprint.to_dict(),
            "memory": self.memory,
            "nodes": self.nodes,
            "application": self._application_line(),
            "rules": [asdict(result) for result in self.rules],
        }

    def text(self) -> str:
        """Return the table for people."""
        lines = [f"{self.model} for {self.target}"]
        for result in self.rules:
            lines.append(f"  {result.level:<11}  {result.title}")
            for finding in result.findings[:SHOWN]:
                lines.append(f"      {finding.node}: {finding.reason}")
                lines.append(f"        -> {finding.mend}")
            more = len(result.findings) - SHOWN
            if more > 0:
                lines.append(f"      and {more} more (--json lists all)")
        lines += self._footprint_lines()
        counts = Counter(result.level for result in self.rules)
        numbers = ", ".join(
            f"{counts[level]} {level}" for level in LEVELS if counts[level]
        )
        lines.append(f"result: {self.level} ({numbers})")
        return "\n".join(map(printable, lines))

    def _footprint_lines(self) -> list[str]:
        cost, macs, peak = self.footprint, "not known", "not known"
        if cost.macs is not None:
            macs = f"{cost.macs:,}"
        if cost.activation_peak_bytes is not None:
            peak = (
                f"at least {cost.activation_peak_bytes:,} bytes"
                f"{self._of('on_chip')} (a lower bound; at {cost.peak_node})"
            )
        where = ", ".join(f"{n} {kind}" for kind, n in self.nodes.items() if n)
        weights = f"{cost.weight_bytes:,} bytes{self._of('flash')}"
        return [
            f"  multiply-accumulates a call  {macs}",
            f"  weights                      {weights}",
            f"  activations, peak            {peak}",
            f"  nodes                        {where}",
            f"  ST's audio application       {self._application_line()}",
        ]

    def _application_line(self) -> str:
        fit = self.application
        if isinstance(fit, Unfit):
            return f"no: {fit}"
        ends = fit.lookahead_frames
        return (
            f"fits: {fit.frames_per_patch} new frames a call, {ends} more on "
            "each side"
        )

    def _of(self, where: str) -> str:
        size = self.memory[where]
        name = where.replace("_", " ")
        return f" of {size:,} {name}" if size else ""


def printable(text: str) -> str:
    """Return a text of a file as one line that no terminal obeys."""
    return "".join(c if c.isprintable() else "?" for c in text)
