"""The base of all errors that a user can act on, and notices about input that was changed before use."""

import warnings


class UserError(ValueError):
    """Input that cannot be used; the message says what was given and what is allowed, in a sentence."""


class Notice(UserWarning):
    """Input that was usable only after it was changed; the message says how."""


def notice(sentence: str) -> None:
    """Tell the user that some input was renamed, dropped, rounded or otherwise changed before use.

    Args:
        sentence: what was changed, and what to write instead if there is something better.
    """
    warnings.warn(sentence, Notice, stacklevel=3)
