"""The lines of metrics.jsonl, one for each round, as all processes of a run have written them."""

import hashlib
import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


class RoundLines:
    """The lines of all rounds so far, by phase and round, in the order in which they were first written.

    Args:
        files: what earlier processes have written; lines that cannot be read are left out.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._texts: dict[tuple[str, int], str] = {}
        for file in files:
            for text in file.read_text("utf-8", errors="replace").splitlines() if file.is_file() else ():
                with suppress(ValueError, KeyError, TypeError, RecursionError):
                    line = json.loads(text)
                    self.note(str(line["phase"]), int(line["round"]), text)

    def __str__(self) -> str:
        return _joined(self._texts.values())

    def note(self, phase: str, round: int, text: str) -> None:
        """Note the line of a round, in place of the one that was there."""
        self._texts[phase, round] = text

    def get(self, phase: str, round: int) -> str | None:
        """Return the line of a round; None if there is none."""
        return self._texts.get((phase, round))

    def of_phase(self, phase: str) -> str:
        """Return the lines of a phase."""
        return _joined(text for (name, _), text in self._texts.items() if name == phase)

    def of_phases(self, beginnings: tuple[str, ...]) -> str:
        """Return the lines of the phases whose names begin with one of these."""
        return _joined(text for (name, _), text in self._texts.items() if name.startswith(beginnings))

    def seal(self) -> str:
        """Return the number of lines so far and their sha256, by which `are_sealed_by` finds them changed."""
        return self._seal(len(self._texts))

    def are_sealed_by(self, seal: str) -> bool:
        """Return whether the lines begin with those of which `seal` has returned this."""
        count = seal.partition(":")[0]
        return count.isdecimal() and int(count) <= len(self._texts) and self._seal(int(count)) == seal

    def _seal(self, count: int) -> str:
        texts = list(self._texts.values())[:count]
        return f"{count}:{hashlib.sha256(_joined(texts).encode()).hexdigest()}"


def _joined(texts: Iterable[str]) -> str:
    return "".join(f"{text}\n" for text in texts)
