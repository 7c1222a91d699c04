"""Newton corrections that do not correct, and residuals that say too little."""

from mutations.mutation import Mutation

_STEPS = "clients/steps/newton.py"
_BOUNDS = ("methods/test_newton_bounds.py",)

MUTATIONS = (
    Mutation(
        "the correction goes uphill",
        ("newton",),
        _STEPS,
        "rest = -(theta - mixed + block.step_size * block.gradient(theta))",
        "rest = theta - mixed + block.step_size * block.gradient(theta)",
        "newton",
        ("methods/test_newton.py",),
    ),
    Mutation(
        "the correction takes another curvature",
        ("newton",),
        _STEPS,
        "product(block, start, direction, self.curvature)",
        'product(block, start, direction, "fisher")',
        "newton",
        ("methods/test_newton.py",),
    ),
    Mutation(
        "half of the residual is reported",
        ("newton",),
        _STEPS,
        "_report(block, pull.add_(point).sub_(mixed.double()), round, probe)",
        "_report(block, pull.add_(point).sub_(mixed.double()) / 2, round, probe)",
        "newton",
        ("methods/test_newton.py",),
    ),
    Mutation(
        "retraining is taken to have converged",
        ("newton",),
        "certificates/mechanisms/newton.py",
        "nodes=corrected + residual_error + retrained.nodes + rounded.nodes,",
        "nodes=corrected + residual_error + rounded.nodes,",
        "newton",
        _BOUNDS,
    ),
    Mutation(
        "one noise vector for all is sold as one for each",
        ("newton",),
        "certificates/mechanisms/newton.py",
        "return one_model or mixing.nodes == 1",
        "return one_model or mixing.nodes >= 1",
        "newton",
        _BOUNDS,
    ),
    Mutation(
        "messages of the correction are covered",
        ("newton",),
        "certificates/mechanisms/newton.py",
        "return certified == view or (not view.shows_messages and",
        "return certified == view or (",
        "newton",
        _BOUNDS,
    ),
    Mutation(
        "the network converges faster than its slowest direction",
        ("newton",),
        "certificates/mechanisms/fixed_point.py",
        "return max(abs(top), abs(bottom))",
        "return min(abs(top), abs(bottom))",
        "newton",
        _BOUNDS,
    ),
    Mutation(
        "a residual bounds half of the error",
        ("newton",),
        "certificates/mechanisms/fixed_point.py",
        "A = csr_array((1 + pull) * eye_array(W.shape[0]) - W)",
        "A = csr_array((1 + 2 * pull) * eye_array(W.shape[0]) - W)",
        "newton",
        _BOUNDS,
    ),
)
