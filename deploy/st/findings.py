"""What a check finds, and how it is shown."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from deploy.st.cost import Cost

PASS, WARN, FAIL = "pass", "warn", "fail"
#: Findings of one rule in the table; all of them are in the JSON.
SHOWN = 6


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may be.

    Attributes
    ----------
    node : str
        The node, tensor or part of the file.
    reason : str
        What is wrong with it.
    mend : str
        What to do.
    level : str
        ``warn`` or ``fail``; empty: as the target says for the rule.
    """

    node: str
    reason: str
    mend: str
    level: str = ""


#: What a rule returns.
Findings = Iterator[Finding]


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

    Attributes
    ----------
    model : str
    target : str
    rules : list of RuleResult
    cost : Cost
    nodes : dict of str to int
        How many nodes run where: ``hardware``, ``software``, ``unknown``.
    """

    model: str
    target: str
    rules: list[RuleResult]
    cost: Cost
    nodes: dict[str, int]

    @property
    def level(self) -> str:
        """The worst level."""
        levels = {result.level for result in self.rules}
        return next(x for x in (FAIL, WARN, PASS) if x in levels | {PASS})

    def failures(self) -> list[str]:
        """Return a line a finding that fails."""
        return [
            f"{f.node}: {f.reason}: {f.mend}"
            for result in self.rules
            for f in result.findings
            if f.level == FAIL
        ]

    def to_dict(self) -> dict:
        """Return everything as plain values that JSON keeps."""
        return {
            "model": self.model,
            "target": self.target,
            "result": self.level,
            "cost": self.cost.to_dict(),
            "nodes": self.nodes,
            "rules": [asdict(result) for result in self.rules],
        }

    def text(self) -> str:
        """Return the table for people."""
        width = max(len(result.title) for result in self.rules)
        lines = [f"{self.model} for {self.target}"]
        for result in self.rules:
            lines.append(f"  {result.level}  {result.title:<{width}}".rstrip())
            for finding in result.findings[:SHOWN]:
                lines.append(f"        {finding.node}: {finding.reason}")
                lines.append(f"          -> {finding.mend}")
            more = len(result.findings) - SHOWN
            if more > 0:
                lines.append(f"        and {more} more (--json lists all)")
        lines += self._cost_lines()
        counts = {
            level: sum(r.level == level for r in self.rules)
            for level in (PASS, WARN, FAIL)
        }
        numbers = ", ".join(f"{n} {level}" for level, n in counts.items())
        lines.append(f"result: {self.level} ({numbers})")
        return "\n".join(lines)

    def _cost_lines(self) -> list[str]:
        cost = self.cost
        macs = "shapes not fixed" if cost.macs is None else f"{cost.macs:,}"
        peak = "shapes not fixed"
        if cost.activation_peak_bytes is not None:
            peak = (
                f"at least {cost.activation_peak_bytes:,} bytes "
                f"(a lower bound; at {cost.peak_node})"
            )
        where = ", ".join(f"{n} {kind}" for kind, n in self.nodes.items() if n)
        return [
            f"  multiply-accumulates a call  {macs}",
            f"  weights                      {cost.weight_bytes:,} bytes",
            f"  activations, peak            {peak}",
            f"  nodes                        {where}",
        ]
