"""Constants of the local objectives, with their provenance.

A certificate is only as reliable as its constants, so every constant records where it comes from. Constants that follow
from an enforced bound on the norm of the features are derived here, where an independent verifier can derive them
again.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import inf, isfinite, sqrt
from typing import Any, Literal, get_args

from rewindnet.certificates.constant import Constant as Constant
from rewindnet.certificates.constant import Provenance as Provenance
from rewindnet.certificates.constant import constant_of
from rewindnet.certificates.errors import CertificateError
from rewindnet.registry import Registry

Regime = Literal["nonconvex", "weakly-convex", "convex", "strongly-convex"]
REGIMES: tuple[Regime, ...] = get_args(Regime)
_NAMES = ("radius", "G", "L", "l2", "strong_convexity")


@dataclass(frozen=True)
class Constants:
    """The constants of every local objective f_i = mean loss over node i's samples + (l2/2)·‖θ‖².

    Attributes:
        model: the name of the model; `derive` derives constants by this name.
        radius: R, a bound on the Euclidean norm of every feature vector, bias included.
        G: a bound on the norm of the gradient of one sample's loss, without the l2 term.
        L: the smoothness constant of f_i, l2 term included.
        l2: the weight of the regularisation.
        strong_convexity: a lower bound on the eigenvalues of the Hessian of f_i; −ρ for a ρ-weakly convex objective.
        settings: further settings of the model that the constants follow from, by name.

    Raises:
        CertificateError: if no objective can have these constants.
    """

    model: str
    radius: Constant
    G: Constant
    L: Constant
    l2: Constant
    strong_convexity: Constant
    settings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse constants that no objective can have."""
        R, G, L, l2, low = (c.value for c in (self.radius, self.G, self.L, self.l2, self.strong_convexity))
        if not self.known:
            G, L, low = 1.0, 1.0, 0.0
        if not all(isfinite(value) for value in (R, G, L, l2, low)) or min(R, G, L) <= 0 or l2 < 0 or low > L:
            raise CertificateError(
                f"no objective has the constants radius {R:g}, G {G:g}, L {L:g}, l2 {l2:g}, strong_convexity {low:g}: "
                "radius, G and L are positive, l2 is not negative, strong_convexity is at most L"
            )

    @classmethod
    def unknown(cls, model: str, radius: Constant, l2: float) -> "Constants":
        """Return the constants of a model of whose gradients and curvature no bound is known.

        Args:
            model: the name of the model.
            radius: R, a bound on the norm of every feature vector.
            l2: the weight of the regularisation.
        """
        unbounded = Constant(inf, "unknown")
        return cls(model, radius, unbounded, unbounded, Constant(l2, "proven"), Constant(-inf, "unknown"))

    @classmethod
    def estimates(cls, model: str, radius: Constant, l2: float, G: float, L: float, lowest: float) -> "Constants":
        """Return constants that were estimated.

        Args:
            model: the name of the model.
            radius: R, a bound on the norm of every feature vector.
            l2: the weight of the regularisation.
            G: the largest gradient of a sample that was found.
            L: the largest absolute value of an eigenvalue of an objective's Hessian that was found.
            lowest: the smallest eigenvalue that was found.
        """
        largest, smoothness, curvature = (Constant(value, "estimated") for value in (G, L, lowest))
        return cls(model, radius, largest, smoothness, Constant(l2, "proven"), curvature)

    @property
    def known(self) -> bool:
        """Whether G, L and the curvature are known, so that a sensitivity can follow from them."""
        return "unknown" not in (self.G.provenance, self.L.provenance, self.strong_convexity.provenance)

    @property
    def why_unknown(self) -> str:
        """The reason why nothing follows from these constants, where they are not known."""
        return (
            f"no bounds are known on the gradients (G) and the curvature (L) of the model {self.model}, from which a "
            "sensitivity would follow"
        )

    @property
    def conditional(self) -> bool:
        """Whether any constant is only estimated or declared; never where they are not known, since none is used."""
        return self.known and any(c.conditional for c in (self.radius, self.G, self.L, self.l2, self.strong_convexity))

    @property
    def estimated(self) -> bool:
        """Whether any constant was estimated from data, so that what follows from it depends on them."""
        constants = (self.radius, self.G, self.L, self.l2, self.strong_convexity)
        return self.known and any(constant.provenance == "estimated" for constant in constants)

    def regimes(self) -> tuple[Regime, ...]:
        """Return the regimes that these constants prove, from the weakest to the strongest (smallest growth)."""
        curvature = self.strong_convexity.value
        if not self.known:
            return ("nonconvex",)
        if curvature > 0:
            return ("nonconvex", "convex", "strongly-convex")
        return ("nonconvex", "convex") if curvature == 0 else ("nonconvex", "weakly-convex")

    def lowest_curvature(self, regime: Regime) -> float:
        """Return the lower bound on the Hessian's eigenvalues that a certificate may assume in this regime.

        Args:
            regime: the regime.

        Raises:
            CertificateError: if these constants do not prove the regime.
        """
        if regime not in self.regimes():
            allowed = ", ".join(self.regimes())
            raise CertificateError(f"the {self.model} model does not prove the regime {regime!r}; it proves: {allowed}")
        if regime == "nonconvex":
            return -self.L.value
        return 0.0 if regime == "convex" else self.strong_convexity.value

    def to_record(self) -> dict[str, Any]:
        """Return the constants as plain JSON; the value of one that is not known is None."""
        record = asdict(self)
        for name in _NAMES:
            if record[name]["provenance"] == "unknown":
                record[name]["value"] = None
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Constants":
        """Return the constants of a record; the inverse of `to_record`.

        Args:
            record: the plain JSON of the constants.

        Raises:
            CertificateError: if a constant is missing, not a number, or of unknown provenance.
        """
        try:
            numbers = {name: constant_of(name, record[name]) for name in _NAMES}
            model = str(record["model"])
            settings = {str(name): float(value) for name, value in record["settings"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            raise CertificateError(f"the record of the constants is damaged: {problem!r}") from None
        for name, constant in numbers.items():
            if constant.provenance not in get_args(Provenance):
                raise CertificateError(f"unknown provenance {constant.provenance!r} of the constant {name}")
        return cls(model=model, **numbers, settings=settings)


def multinomial_logistic(radius: Constant, *, l2: float) -> Constants:
    """Return the constants of multinomial logistic regression (cross-entropy of a linear model).

    With p the predicted probabilities, ‖p − e_y‖ ≤ √2 and λ_max(diag p − ppᵀ) ≤ 1/2, hence G = √2·R and L = R²/2 + l2.
    The bound on the softmax Hessian is Böhning (1992), "Multinomial logistic regression algorithm".

    Args:
        radius: R, a bound on the norm of every feature vector.
        l2: the weight of the regularisation.
    """
    R, source = radius.value, radius.provenance
    return Constants(
        model="logistic",
        radius=radius,
        G=Constant(sqrt(2.0) * R, source),
        L=Constant(R**2 / 2 + l2, source),
        l2=Constant(l2, "proven"),
        strong_convexity=Constant(l2, "proven"),
        settings={"l2": l2},
    )


def huber_logistic(radius: Constant, *, l2: float, clip: float) -> Constants:
    """Return the constants of the Huberised cross-entropy, which is linear where a sample is badly misclassified.

    Let c be the clip, t = c/√2, z the scores, and a = log Σ_{j≠y} e^{z_j} − z_y. The cross-entropy is log(1 + e^a),
    with slope 1 − p_y in a. The loss is φ(a): φ(a) = log(1 + e^a) where that slope is at most t, and its tangent
    beyond. This is the construction of Huber (1964), "Robust estimation of a location parameter", applied to the
    logistic loss.

    **Gradient.** φ is convex and nondecreasing, and a is convex in z, so φ(a) is convex in z. Its gradient in z is that
    of the cross-entropy, p − e_y, multiplied by min(1, t/(1 − p_y)): every sample's gradient is clipped by itself.
    Since ‖p − e_y‖² = (1 − p_y)² + Σ_{j≠y} p_j² is at most 2(1 − p_y)², its norm is at most √2·t = c. Hence G = c·R.

    **Smoothness.** The gradient is continuous. Let u = min(t, 1/2).

    1. Where s = 1 − p_y is below t, the Jacobian is diag p − ppᵀ. Its rows have absolute sums
       2p_j(1 − p_j) ≤ 2u(1 − u), because p_y = 1 − s and p_j ≤ s for j ≠ y; by Gershgorin's theorem these sums bound
       its eigenvalues.
    2. Elsewhere the Jacobian is t·(diag q − qqᵀ), where q is p without the entry y, rescaled to sum to 1. Its
       eigenvalues are at most t/2. For t ≤ 1/2 this is at most 2u(1 − u); otherwise it is at most 1/2 = 2u(1 − u).

    Hence L = 2u(1 − u)·R² + l2, which is never more than R²/2 + l2.

    Args:
        radius: R, a bound on the norm of every feature vector.
        l2: the weight of the regularisation.
        clip: c, in (0, √2]; with √2 nothing is clipped.

    Raises:
        CertificateError: if the clip is out of range.
    """
    if not 0 < clip <= sqrt(2.0):
        raise CertificateError(f"clip must lie in (0, √2], not {clip}")
    R, source = radius.value, radius.provenance
    u = min(clip / sqrt(2.0), 0.5)
    return Constants(
        model="huber-logistic",
        radius=radius,
        G=Constant(clip * R, source),
        L=Constant(2 * u * (1 - u) * R**2 + l2, source),
        l2=Constant(l2, "proven"),
        strong_convexity=Constant(l2, "proven"),
        settings={"l2": l2, "clip": clip},
    )


def sigmoid_loss(radius: Constant, *, l2: float) -> Constants:
    """Return the constants of the bounded, nonconvex loss s(−y·xᵀθ), with s the logistic sigmoid.

    |s'| ≤ 1/4 and |s''| ≤ 1/(6√3). Hence G = R/4, L = R²/(6√3) + l2, and every eigenvalue of the Hessian is at least
    l2 − R²/(6√3).

    Args:
        radius: R, a bound on the norm of every feature vector.
        l2: the weight of the regularisation.
    """
    R, source = radius.value, radius.provenance
    bend = R**2 / (6 * sqrt(3.0))
    return Constants(
        model="sigmoid",
        radius=radius,
        G=Constant(R / 4, source),
        L=Constant(bend + l2, source),
        l2=Constant(l2, "proven"),
        strong_convexity=Constant(l2 - bend, source),
        settings={"l2": l2},
    )


#: The derivations of proven constants by the name of the model, called as `derivation(radius, *, settings)`. A model
#: that is not listed may declare or estimate its constants, which makes its certificates conditional.
DERIVATIONS: Registry[Callable[..., Constants]] = Registry(
    "model with provable constants",
    {"logistic": multinomial_logistic, "huber-logistic": huber_logistic, "sigmoid": sigmoid_loss},
    CertificateError,
)


def settings_of(model: str) -> tuple[str, ...]:
    """Return the names of the settings that a model's constants follow from, besides the norm of its features.

    Args:
        model: the name of the model.

    Raises:
        CertificateError: if no derivation is known for the model.
    """
    return tuple(DERIVATIONS.settings(model))


def derive(model: str, radius: Constant, **settings: float) -> Constants:
    """Derive the constants of a model from the norm of its features and its settings.

    Args:
        model: the name of the model.
        radius: R, a bound on the Euclidean norm of every feature vector, bias included.
        settings: the settings named by `settings_of(model)`, such as l2.

    Raises:
        CertificateError: if no derivation is known for the model, or the settings are not those of the model.
    """
    constants: Constants = DERIVATIONS.build(model, radius, **settings)
    return constants


def radius_with_bias(radius: Constant, bias: float) -> Constant:
    """Return a bound on the norm of [√(1−β²)·x, β] for ‖x‖ ≤ R: √((1−β²)R² + β²), which is 1 for R = 1.

    Args:
        radius: R.
        bias: β, the value of the constant feature; 0 for none.
    """
    return Constant(sqrt((1 - bias**2) * radius.value**2 + bias**2), radius.provenance) if bias else radius
