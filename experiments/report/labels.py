"""Labels of charts: numbers and names as short text."""

#: The most characters of a label.
_LONGEST = 60


def short(text: str) -> str:
    """Return text for a label: as it is, or its beginning if it would take most of a picture."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def plain(value: float) -> str:
    """Format a number like 0.01; as a power of ten below 0.001 and from 100,000 on."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if mantissa == "1" else f"{mantissa}·{power}"
