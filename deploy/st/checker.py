"""Judge an ONNX file before ST Edge AI Core is at hand."""

from collections import Counter
import dataclasses

from deploy.st import quantized, rules
from deploy.st.cost import measure
from deploy.st.findings import FAIL, PASS, WARN, Report, RuleResult
from deploy.st.graph import Graph
from deploy.st.targets import Target

RULES = {**rules.RULES, **quantized.RULES}


def check(graph: Graph, target: Target) -> Report:
    """Return what every rule finds in a graph.

    Arguments
    ---------
    graph : Graph
    target : Target

    Returns
    -------
    Report
    """
    results = []
    for name, (title, rule) in RULES.items():
        usual = target.severity.get(name, FAIL)
        if usual == "off":
            continue
        found = [
            dataclasses.replace(f, level=f.level or usual)
            for f in rule(graph, target)
        ]
        levels = {f.level for f in found}
        level = next((x for x in (FAIL, WARN) if x in levels), PASS)
        results.append(RuleResult(name, title, level, found))
    places = Counter(
        rules.place(graph, target, node) for node in graph.compute_nodes
    )
    kinds = ("hardware", "software", "unknown")
    return Report(
        model=str(graph.path),
        target=target.name,
        rules=results,
        cost=measure(graph),
        nodes={kind: places[kind] for kind in kinds},
    )
