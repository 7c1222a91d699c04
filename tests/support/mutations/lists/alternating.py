"""Methods that alternate between steps on the forget set and steps on retained data."""

from mutations.mutation import Mutation

_TORCH = ("methods/test_alternating.py::test_it_is_what_torch_makes_of_one_client",)
_SENT = ("methods/test_alternating.py::test_what_the_forget_set_s_optimizer_carries_never_leaves",)

_MANIFOLD = ("methods/test_manif_smc.py::test_it_is_what_torch_makes_of_one_client",)

MUTATIONS = (
    Mutation(
        "the loss on the forget set falls",
        ("neggrad",),
        "clients/steps/neggrad.py",
        "alpha=model.l2).neg_()",
        "alpha=model.l2)",
        "uncertified",
        _TORCH,
    ),
    Mutation(
        "ascent takes the regulariser along",
        ("neggrad",),
        "clients/steps/neggrad.py",
        ".sub_(theta, alpha=model.l2)",
        "",
        "uncertified",
        _TORCH,
    ),
    Mutation(
        "both kinds of step take one size",
        ("neggrad", "salun"),
        "clients/steps/alternating.py",
        'size = self.forget_step_size if phase == "forget" else self.step_size',
        "size = self.step_size",
        "uncertified",
        _TORCH,
    ),
    Mutation(
        "two optimizers share what they carry",
        ("neggrad", "salun"),
        "clients/training/optimizers/pair.py",
        'return state[:, :f] if phase == "forget" else state[:, f:]',
        'return state[:, :f] if phase == "forget" else state[:, :self.own_size(phase, parameters)]',
        "uncertified",
        _TORCH,
    ),
    Mutation(
        "what the forget set's optimizer carries is sent",
        ("neggrad", "salun"),
        "clients/steps/ways.py",
        "state = step.retained_state(theta[:, d:], d)[:, (part - 1) * d : part * d]",
        "state = theta[:, d:][:, (part - 1) * d : part * d]",
        "uncertified",
        _SENT,
    ),
    Mutation(
        "others take over the model of the client that deletes",
        ("neggrad",),
        "clients/steps/spreading.py",
        "states[rows, :d] = block.project(states[rows, :d] + mixed[rows])",
        "states[rows, :d] = block.project(mixed[rows])",
        "uncertified",
        ("methods/test_alternating.py::test_a_client_alone_changes_and_all_others_add_what_it_changed",),
    ),
    Mutation(
        "the right label may be drawn",
        ("salun",),
        "clients/steps/salun.py",
        ".integers(1, labels, len(gone.y))",
        ".integers(0, labels, len(gone.y))",
        "uncertified",
        _TORCH,
    ),
    Mutation(
        "the parameters that matter least change",
        ("salun",),
        "clients/steps/salun.py",
        "(size >= least)",
        "(size <= least)",
        "uncertified",
        _TORCH,
    ),
    Mutation(
        "erased samples come closer to their neighbourhood",
        ("manif-smc",),
        "clients/steps/manif_smc.py",
        "torch.relu(held - away + margin)",
        "torch.relu(away - held + margin)",
        "uncertified",
        _MANIFOLD,
    ),
    Mutation(
        "neighbours are those that lie furthest",
        ("manif-smc",),
        "clients/steps/manif_smc.py",
        "argsort(dim=1, descending=True, stable=True)",
        "argsort(dim=1, stable=True)",
        "uncertified",
        _MANIFOLD,
    ),
    Mutation(
        "the curve ends half way",
        ("manif-smc",),
        "clients/steps/manif_smc.py",
        "return (theta + 2 * control + learned) / 4, taken",
        "return (theta + learned) / 2, taken",
        "uncertified",
        _MANIFOLD,
    ),
)
