"""Write a certified ε with few digits: rounded up, so that nothing smaller is promised than what is proven."""

from decimal import ROUND_CEILING, Context, Decimal

#: The relative excess over a shorter number that is not rounded up; a solved ε misses its target by as much.
_GUARD = 1e-9


def rounded_up(epsilon: float, digits: int = 3) -> str:
    """Return a certified ε with so many significant digits, rounded up.

    Args:
        epsilon: ε ≥ 0; it may be infinite.
        digits: the number of significant digits.
    """
    exact = Decimal(epsilon)
    if exact.is_finite():
        exact *= 1 - Decimal(_GUARD)
    return f"{float(Context(prec=digits, rounding=ROUND_CEILING).plus(exact)):.{digits}g}"
