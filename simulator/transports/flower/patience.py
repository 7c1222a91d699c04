"""Polling with pauses that grow while nothing arrives."""

import time

#: Share of the time waited so far that the next pause takes: what came is noticed at most so much later.
_SHARE = 1 / 8
_SHORTEST, _LONGEST = 0.01, 0.25


class Patience:
    """Pauses between two looks; on a machine with more processes than cores, each look takes time from the others."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Note that something came, so that the next pause is short."""
        self._since = time.monotonic()

    def pause(self) -> None:
        """Pause after a look that found nothing; the next pause is longer."""
        waited = time.monotonic() - self._since
        time.sleep(min(max(_SHARE * waited, _SHORTEST), _LONGEST))
