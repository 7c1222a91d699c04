"""How many cases a test draws."""

from typing import Any

from hypothesis import settings

#: The cases of a test that does not say how many, in the profiles `dev` and `ci`.
BASE = 120


def examples(number: int, **more: Any) -> settings:
    """Draw so many cases in the profiles `dev` and `ci`, and in others more, in proportion.

    Args:
        number: of cases.
        more: other settings of hypothesis.
    """
    profile = settings.get_profile(settings.get_current_profile_name())
    return settings(max_examples=max(1, round(number * profile.max_examples / BASE)), **more)
