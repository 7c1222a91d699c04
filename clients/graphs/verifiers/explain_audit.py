"""An audit that asks the unlearned model about the graph as it was, and compares it with a retrained one."""

from rewindnet.clients.graphs.measures.membership import matched_auc
from rewindnet.clients.graphs.measures.saliency import share_of
from rewindnet.clients.graphs.verifiers.case import Case, Evidence, Figure

_NOTES = (
    "RA on the whole graph does not verify forgetting: a retrained model has about as much of it, or more, because it "
    "measures the graph and the labels that are asked about.",
    "A distance from the retrained model has to be read beside that of a model retrained with other random draws.",
)


def explain_audit(case: Case) -> Evidence:
    """Compare the unlearned model with a retrained one on the graph as it was before unlearning.

    `kl_boundary` is the mean KL(retrained ‖ unlearned) of predictions, in nats, at the retained neighbours of the
    forgotten nodes, and `kl_forgotten` at the forgotten nodes themselves. `mi_f` is membership of the forgotten nodes
    by confidence in the label that they were learned with, against test nodes of that label, and `mi_f_gap` what it is
    above the retrained model's. `agreement` is the share of nodes with the same class as by the retrained model,
    `accuracy_test` that of test nodes that are classified right. `ra_queried` is RA on the whole graph, with the labels
    of learning: a retrained model has about as much of it as the learned one, so that **RA does not verify
    forgetting**.

    Args:
        case: the snapshots.
    """
    asked, reference, forget, graph = case.queried, case.reference, case.forget, case.before.graph
    kl = (reference.logs.exp() * (reference.logs - asked.logs)).sum(1)
    same = (asked.predicted == reference.predicted).to(kl.dtype)
    boundary = case.hops == 1
    member, retrained = (matched_auc(one.confidence, graph.y, forget, ~graph.train) for one in (asked, reference))
    gap = None if member is None or retrained is None else member - retrained
    right = (asked.predicted == graph.y).to(kl.dtype)
    return Evidence(
        (
            Figure("kl_boundary", "KL boundary", float(kl[boundary].mean()) if boundary.any() else None),
            Figure("kl_forgotten", "KL forgotten", float(kl[forget].mean())),
            Figure("mi_f", "MI-F asked", member),
            Figure("mi_f_gap", "MI-F gap", gap),
            Figure("agreement", "agreement %", float(same.mean()), 1, 100.0),
            Figure("accuracy_test", "test %", float(right[~graph.train].mean()), 1, 100.0),
            Figure("ra_queried", "RA asked %", share_of(asked.saliency, forget), 2),
        ),
        {"kl": kl, "agreement": same},
        _NOTES,
    )
