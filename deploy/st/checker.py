"""Judge an ONNX file before ST Edge AI Core is at hand."""

from collections import Counter
import dataclasses

from edgebrain.onnx.graph import Graph

from deploy.st import quantization_rules, rules
from deploy.st.application import fit
from deploy.st.application_header import Unfit
from deploy.st.findings import LEVELS, Finding, NotChecked, Report, RuleResult
from deploy.st.footprint import Footprint, measure
from deploy.st.targets import Target

RULES = (*rules.RULES, *quantization_rules.RULES)
#: What a rule runs into where a node lacks inputs or has wrong ones.
_MALFORMED = (IndexError, KeyError, TypeError, ValueError, AttributeError)


def check(graph: Graph, target: Target, **settings: float) -> Report:
    """Return what every rule finds in a graph.

    The settings are of ST's audio application.
    """
    results = []
    for rule in RULES:
        name, title = rule.__name__, rule.__doc__.rstrip(".")
        usual = target.severity[name]
        if usual == "off":
            continue
        found = []
        try:
            found.extend(rule(graph, target))
        except NotChecked as reason:
            found.append(Finding("graph", *reason.args, "not checked"))
        except _MALFORMED as error:
            if results and results[0].level != "fail":
                raise
            kind = type(error).__name__
            found.append(
                Finding("file", f"not valid ({kind})", "export it again")
            )
        found = [dataclasses.replace(f, level=f.level or usual) for f in found]
        levels = {f.level for f in found} | {"pass"}
        level = next(level for level in LEVELS if level in levels)
        results.append(RuleResult(name, title, level, found))
    try:
        footprint = measure(graph)
    except _MALFORMED:
        footprint = Footprint(None, 0, None)
    places = Counter(
        rules.place(graph, target, node) for node in graph.compute_nodes
    )
    kinds = ("hardware", "software", "unknown")
    return Report(
        model=str(graph.path),
        target=target.name,
        rules=results,
        footprint=footprint,
        nodes={kind: places[kind] for kind in kinds},
        memory={"on_chip": target.room, "flash": target.flash},
        application=_application(graph, target, settings),
    )


def _application(graph: Graph, target: Target, settings: dict):
    card = graph.metadata
    if card is None:
        return Unfit("the file has no metadata of this project")
    if card.task not in target.application:
        return Unfit(f"there is none for this task on {target.name}")
    try:
        return fit(graph, **settings)
    except Unfit as reason:
        return reason
    except _MALFORMED as error:
        return Unfit(f"the file is not valid ({type(error).__name__})")
