"""The metrics of "Forget and Explain", on node numbers that deletion does not change."""

from rewindnet.clients.graphs.errors import GraphError
from rewindnet.clients.graphs.measures.membership import confidence_auc, matched_auc
from rewindnet.clients.graphs.measures.neighbourhoods import edges_around
from rewindnet.clients.graphs.measures.rules import Rule, rules_of
from rewindnet.clients.graphs.measures.saliency import share_of
from rewindnet.clients.graphs.verifiers.case import Case, Evidence, Figure, Snapshot

_NOTES = (
    "RA after is 0 by construction where a method takes the nodes out of the graph, whatever its model remembers.",
    "GED counts edges around the deleted nodes, or around their neighbours where they are gone from the graph.",
)


def explain_paper(case: Case, *, depth: int = 3, hops: int = 2) -> Evidence:
    """Forget and Explain: saliency, edges, rules and membership before unlearning, and after it on what graph is left.

    RA is the share of saliency at the forgotten nodes. A method that takes them out of the graph has none left **by
    construction**, whatever its model remembers. HS and ESD are mean changes of saliency, over all nodes and over the
    forgotten ones. GED counts edges around the forgotten nodes, or around their neighbours where they are gone, that
    are in one of the two graphs alone: a symmetric difference, no edit distance. GRS counts rules of a small decision
    tree that are gone. MI and MI-F are membership by confidence, of all training nodes against all others, and of the
    forgotten nodes against test nodes of the same label, after unlearning with the memberships and labels of learning.

    Args:
        case: the snapshots.
        depth: of the decision tree.
        hops: of the neighbourhoods whose edges are counted.

    Raises:
        GraphError: if a number is less than 1.
    """
    if depth < 1 or hops < 1:
        raise GraphError(f"explain-paper takes a depth and a number of hops of at least 1, not {depth} and {hops}")
    before, after, forget = case.before, case.after, case.forget
    changed = (before.saliency - after.saliency).abs()
    rules = _rules(before, depth)
    graph = before.graph
    return Evidence(
        (
            Figure("ra_before", "RA before %", share_of(before.saliency, forget), 2),
            Figure("ra_after", "RA after %", share_of(after.saliency, forget), 2),
            Figure("hs", "HS e-4", float(changed.mean()), 1, 1e4),
            Figure("esd", "ESD e-4", float(changed[forget].mean()), 1, 1e4),
            Figure("ged", "GED", len(_edges(case, before, hops) ^ _edges(case, after, hops)), 0),
            Figure("grs", "GRS", len(rules - _rules(after, depth)), 1),
            Figure("mi", "MI", confidence_auc(after.confidence, graph.train, ~graph.train)),
            Figure("mi_f", "MI-F", matched_auc(after.confidence, graph.y, forget, ~graph.train)),
        ),
        {"saliency_change": changed},
        _NOTES,
    )


def _rules(taken: Snapshot, depth: int) -> set[Rule]:
    present = taken.graph.present
    return rules_of(taken.graph.x[present], taken.predicted[present], depth)


def _edges(case: Case, taken: Snapshot, hops: int) -> set[tuple[int, int]]:
    """Return the edges around the forgotten nodes; around their former neighbours, if they are no longer there."""
    there = case.forget & taken.graph.present
    return edges_around(taken.graph, there if there.any() else case.hops == 1, hops)
