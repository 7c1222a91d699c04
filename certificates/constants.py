"""Constants of the objective, and where they come from.

A certificate is worth what its constants are worth, so every constant carries its provenance, and the constants that
follow from an enforced feature norm are derived here, where the verifier can derive them again.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite, sqrt
from typing import Any, Literal, get_args

from rewindnet.certificates.errors import CertificateError
from rewindnet.registry import Registry

Provenance = Literal["proven", "enforced", "estimated", "declared"]
Regime = Literal["nonconvex", "weakly-convex", "convex", "strongly-convex"]
REGIMES: tuple[Regime, ...] = get_args(Regime)


@dataclass(frozen=True)
class Constant:
    """A number and where it comes from.

    `proven` follows from the model and the features, `enforced` from clipping, `estimated` from data, `declared` from
    the user's word. Only the first two make a certificate unconditional.
    """

    value: float
    provenance: Provenance

    @property
    def conditional(self) -> bool:
        """Whether a certificate that leans on this number holds only if the number does."""
        return self.provenance in ("estimated", "declared")


@dataclass(frozen=True)
class Constants:
    """What is known of every local objective f_i = mean loss over node i's samples + (l2/2)·‖θ‖².

    Attributes:
        model: the name under which `derive` knows how the constants follow from the feature norm.
        radius: R, a bound on the Euclidean norm of every feature vector, bias included.
        G: a bound on the norm of one sample's loss gradient (the l2 term excluded).
        L: smoothness of f_i, l2 included.
        l2: the regularisation weight.
        strong_convexity: the smallest curvature of f_i; negative for a weakly convex objective (−ρ).
        settings: what else the constants follow from, by the name that the model gives it.
    """

    model: str
    radius: Constant
    G: Constant
    L: Constant
    l2: Constant
    strong_convexity: Constant
    settings: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what no objective can have."""
        R, G, L, l2, low = (c.value for c in (self.radius, self.G, self.L, self.l2, self.strong_convexity))
        if not all(isfinite(value) for value in (R, G, L, l2, low)) or min(R, G, L) <= 0 or l2 < 0 or low > L:
            raise CertificateError(
                f"no objective has the constants radius {R:g}, G {G:g}, L {L:g}, l2 {l2:g}, strong_convexity {low:g}: "
                "radius, G and L are positive, l2 is not negative, strong_convexity is at most L"
            )

    @property
    def conditional(self) -> bool:
        """Whether any constant is only estimated or declared."""
        return any(c.conditional for c in (self.radius, self.G, self.L, self.l2, self.strong_convexity))

    def regimes(self) -> tuple[Regime, ...]:
        """The regimes these constants prove, the strongest (smallest growth) last."""
        curvature = self.strong_convexity.value
        if curvature > 0:
            return ("nonconvex", "convex", "strongly-convex")
        return ("nonconvex", "convex") if curvature == 0 else ("nonconvex", "weakly-convex")

    def lowest_curvature(self, regime: Regime) -> float:
        """The lower end of the Hessian's spectrum that the regime lets a certificate assume.

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
        """Return plain JSON."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Constants":
        """The inverse of `to_record`.

        Raises:
            CertificateError: if a constant is missing, not a number, or of unknown provenance.
        """
        try:
            names = ("radius", "G", "L", "l2", "strong_convexity")
            numbers = {name: Constant(float(record[name]["value"]), record[name]["provenance"]) for name in names}
            model = str(record["model"])
            settings = {str(name): float(value) for name, value in record["settings"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            raise CertificateError(f"the record of the constants is damaged: {problem!r}") from None
        for name, constant in numbers.items():
            if constant.provenance not in get_args(Provenance):
                raise CertificateError(f"unknown provenance {constant.provenance!r} of the constant {name}")
        return cls(model=model, **numbers, settings=settings)


def multinomial_logistic(radius: Constant, *, l2: float) -> Constants:
    """Cross-entropy of a linear model: ‖p − e_y‖ ≤ √2 and λ_max(diag p − ppᵀ) ≤ 1/2, hence G = √2·R, L = R²/2 + l2.

    The upper bound on the softmax Hessian is Böhning (1992), "Multinomial logistic regression algorithm".
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
    """Cross-entropy that goes on in a straight line where a sample is more than t = c/√2 wrong: G = c·R, c the clip.

    With a = log Σ_{j≠y} e^{z_j} − z_y the cross-entropy is log(1 + e^a), and 1 − p_y its slope in a. The loss is φ(a),
    φ(a) = log(1 + e^a) up to the slope t and its tangent from there on. φ is convex and nondecreasing and a is convex
    in the scores z, so φ(a) is convex. Its gradient in z is that of the cross-entropy, p − e_y, times
    min(1, t/(1 − p_y)): every sample's own gradient, clipped. Since ‖p − e_y‖² = (1 − p_y)² + Σ_{j≠y} p_j² is at most
    2(1 − p_y)², its norm is at most √2·t = c.

    The gradient is continuous. Where 1 − p_y = s < t its Jacobian is diag p − ppᵀ, whose rows have absolute sums
    2p_j(1 − p_j) ≤ 2u(1 − u) with u = min(t, 1/2), because p_y = 1 − s and p_j ≤ s elsewhere (Gershgorin). Beyond, it
    is t·(diag q − qqᵀ), q being p without y, rescaled to sum to 1: at most t/2 ≤ 2u(1 − u) for t ≤ 1/2, and at most
    1/2 otherwise. Hence L = 2u(1 − u)·R² + l2, which is never more than R²/2 + l2.

    Args:
        radius: R.
        l2: the regularisation weight.
        clip: c, in (0, √2]; with √2 nothing is clipped.

    Raises:
        CertificateError: if the clip is out of range.

    Source:
        φ is Huber's device (1964, "Robust estimation of a location parameter"), applied to the logistic loss.
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
    """The bounded loss s(−y·xᵀθ), s the logistic sigmoid: |s'| ≤ 1/4 and |s''| ≤ 1/(6√3); nonconvex.

    Hence G = R/4, L = R²/(6√3) + l2, and curvature at least l2 − R²/(6√3).
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


#: Called as `derivation(radius, *, settings)`: proofs of a model's constants, by the name of the model. A model that is
#: not among them may declare or estimate its constants, which makes its certificates conditional.
DERIVATIONS: Registry[Callable[..., Constants]] = Registry(
    "model with provable constants",
    {"logistic": multinomial_logistic, "huber-logistic": huber_logistic, "sigmoid": sigmoid_loss},
    CertificateError,
)


def settings_of(model: str) -> tuple[str, ...]:
    """Return the settings of a model that its constants follow from, besides the norm of its features.

    Raises:
        CertificateError: if no derivation is known for the model.
    """
    return tuple(DERIVATIONS.settings(model))


def derive(model: str, radius: Constant, **settings: float) -> Constants:
    """Derive the constants of a model from the norm of its features and its settings.

    Args:
        model: its name.
        radius: R, a bound on the Euclidean norm of every feature vector, bias included.
        settings: those of `settings_of(model)`, like l2.

    Raises:
        CertificateError: if no derivation is known for the model, or these are not its settings.
    """
    constants: Constants = DERIVATIONS.build(model, radius, **settings)
    return constants


def radius_with_bias(radius: Constant, bias: float) -> Constant:
    """Return a bound on the norm of [√(1−β²)·x, β] for ‖x‖ ≤ R: √((1−β²)R² + β²), which is 1 for R = 1."""
    return Constant(sqrt((1 - bias**2) * radius.value**2 + bias**2), radius.provenance) if bias else radius
