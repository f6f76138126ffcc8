"""Judge an ONNX file before ST Edge AI Core is at hand."""

from collections import Counter
import dataclasses

from edgebrain.onnx.graph import Graph

from deploy.st import quantized, rules
from deploy.st.cost import Cost, measure
from deploy.st.findings import FAIL, PASS, WARN, Finding, Report, RuleResult
from deploy.st.targets import Target

RULES = {**rules.RULES, **quantized.RULES}
#: What a rule runs into where a node lacks inputs or has wrong ones.
_MALFORMED = (IndexError, KeyError, TypeError, ValueError, AttributeError)


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
        try:
            found = list(rule(graph, target))
        except _MALFORMED as error:
            if not _invalid(results):
                raise
            found = [_not_judged(error)]
        found = [dataclasses.replace(f, level=f.level or usual) for f in found]
        levels = {f.level for f in found}
        level = next((x for x in (FAIL, WARN) if x in levels), PASS)
        results.append(RuleResult(name, title, level, found))
    try:
        cost = measure(graph)
    except _MALFORMED:
        if not _invalid(results):
            raise
        cost = Cost(None, 0, None)
    places = Counter(
        rules.place(graph, target, node) for node in graph.compute_nodes
    )
    kinds = ("hardware", "software", "unknown")
    return Report(
        model=str(graph.path),
        target=target.name,
        rules=results,
        cost=cost,
        nodes={kind: places[kind] for kind in kinds},
    )


def _invalid(results: list[RuleResult]) -> bool:
    """Tell whether the file itself was found to be wrong, by its rule."""
    return bool(results) and results[0].level == FAIL


def _not_judged(error: Exception) -> Finding:
    return Finding(
        "file",
        f"cannot be judged, for it is not valid ({type(error).__name__})",
        "export it again",
        FAIL,
    )
