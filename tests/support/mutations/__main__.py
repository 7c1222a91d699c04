"""Print the score of the mutations: `python -m mutations [WORD]…`, for all of them or those whose name has a word."""

import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from os import cpu_count
from pathlib import Path
from tempfile import TemporaryDirectory

from mutations.copies import copy_repository
from mutations.detectors import BadMutationError, Notice, detectors_of, failing_control, notice
from mutations.lists import MUTATIONS
from mutations.mutation import Mutation


def _noticed(base: Path, mutation: Mutation) -> Notice | str:
    """Return who notices a mutation, or why it is a bad one."""
    try:
        return notice(mutation, base)
    except BadMutationError as problem:
        return str(problem)


def _control(base: Path, chosen: Sequence[Mutation], pool: ThreadPoolExecutor) -> list[str]:
    """Return what is noticed of the code as it is."""
    scenarios, tests = detectors_of(chosen)
    each = [pool.submit(failing_control, base, [scenario]) for scenario in scenarios]
    each += [pool.submit(failing_control, base, (), of_file) for of_file in tests.values()]
    return [said for future in each for said in future.result()]


def main(words: list[str]) -> int:
    """Print a line for each mutation and the score; return 1 if one survives or breaks the code."""
    chosen = [found for found in MUTATIONS if not words or any(word in found.name for word in words)]
    score: Counter[str] = Counter()
    with TemporaryDirectory(prefix="mutations-") as scratch, ThreadPoolExecutor(cpu_count()) as pool:
        base = copy_repository(Path(scratch) / "base")
        if noticed := _control(base, chosen, pool):
            print("the code as it is does not pass: " + "; ".join(noticed))
            return 1
        for mutation, found in zip(chosen, pool.map(partial(_noticed, base), chosen), strict=True):
            by = "BROKEN" if isinstance(found, str) else "SURVIVES" if found.by == "nothing" else found.by
            score[by] += 1
            said = found if isinstance(found, str) else found.said
            print(f"{by:8}  {mutation.name} ({', '.join(mutation.methods)})\n          {said}", flush=True)
    killed = {by: score[by] for by in ("run", "verify", "tests")}
    counts = ", ".join(f"{count} by {by}" for by, count in killed.items())
    print(f"{sum(killed.values())} of {len(chosen)} mutations are noticed: {counts}; {score['SURVIVES']} survive")
    return int(sum(killed.values()) < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
