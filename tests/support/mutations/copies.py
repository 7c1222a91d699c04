"""Copies of the repository, one of them as it is and the others with a mutation each."""

import compileall
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from py_compile import PycInvalidationMode
from tempfile import TemporaryDirectory

from mutations.mutation import ROOT, Mutation


def copy_repository(place: Path) -> Path:
    """Copy what git tracks, and what it would track, as it is in the working tree, links included; compile it.

    Args:
        place: the folder to make.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, place / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    # By the hash of the source, so that a copy needs no compiling, and what is mutated is compiled anew.
    compileall.compile_dir(place, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return place


@contextmanager
def mutated_copy(base: Path, mutation: Mutation | None) -> Iterator[Path]:
    """Make a copy of a copy, with a mutation in it, for as long as it is used.

    Args:
        base: the copy, from `copy_repository`.
        mutation: what to change; None for nothing.

    Raises:
        StaleMutationError: if the mutation does not fit the code.
    """
    with TemporaryDirectory(prefix="mutation-", ignore_cleanup_errors=True) as scratch:
        place = Path(shutil.copytree(base, Path(scratch) / "copy", symlinks=True))
        if mutation is not None:
            (place / mutation.file).write_text(mutation.mutated(place), encoding="utf-8")
        yield place
