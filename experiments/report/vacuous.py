"""Say of an ε that is so large that nothing follows from it that this is so."""

from collections.abc import Sequence
from math import inf

from rewindnet.certificates.digits import rounded_up
from rewindnet.certificates.handover.guessing import FALSE_ALARMS, in_hundred, most_detected

#: The largest ε of which nothing is said.
_LARGEST = 10.0
#: The most names in the sentence.
_NAMED = 6


def vacuous_sentences(named: Sequence[tuple[str, float | None]], delta: float) -> list[str]:
    """Return a sentence that names every certified ε above 10 and says what it does not keep a test from.

    Args:
        named: the name and the certified ε of each release; None for no ε.
        delta: the largest δ.
    """
    large = dict.fromkeys(f"{name} ({rounded_up(value)})" for name, value in named if value and value > _LARGEST)
    if not large:
        return []
    # Not by μ, which some releases have besides: the sentence is about what ε and δ alone say.
    most = most_detected(inf, min(value for _, value in named if value and value > _LARGEST), delta)
    more = f"; and {len(large) - _NAMED} more" if len(large) > _NAMED else ""
    return [
        f"ε above {_LARGEST:g} promises nothing that matters: {'; '.join([*large][:_NAMED])}{more}. As far as ε says, "
        f"a test that is wrong about {in_hundred(FALSE_ALARMS)} of 100 models that were learned again may recognise "
        f"{in_hundred(most)} of 100 that were unlearned."
    ]
