"""The next character in the plays of Shakespeare, by who speaks."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from rewindnet.arrays import check_memory
from rewindnet.clients.data.dataset import DataError, Dataset, Floats, Integers, checked
from rewindnet.clients.data.files import data_root, find, reads
from rewindnet.reading import text_of

_WANTED = 'shakespeare/input.txt, the "tiny Shakespeare" of char-rnn'
_PLACES = ["shakespeare/input.txt", "input.txt"]
_SPOKEN = re.compile(r"([^\n:]+):\n(.*)", re.DOTALL)
_WRITTEN = {"\n": "newline", " ": "space"}


@reads(_PLACES)
def shakespeare(root: Path | None, seed: int, *, window: int = 10, step: int = 10, least: int = 2) -> Dataset:
    """Plays of Shakespeare: the next character after a window of characters; natural clients are speaking roles.

    As in LEAF, what a role says is one text; a row is a window of it, the label is the character that follows, and the
    last fifth of the rows of each role are test rows. Examples are signals [characters, window] with a 1 for the
    character at each place; classes are the distinct characters of the file, 65, in the order of their codes. Roles are
    numbered in the order in which they speak first. No mean is declared. The file is looked for in shakespeare and the
    root itself: a speech is a line `NAME:` and the lines up to the next empty one.

    Args:
        root: the data folder.
        seed: not used.
        window: the number of characters in a row; LEAF takes 80.
        step: by how many characters the windows of a role are apart; LEAF takes 1.
        least: roles with fewer rows are left out.

    Raises:
        DataError: if the file is missing or has no speeches, a setting is below 1, or there would be more rows than
            fit in memory.

    References:
        Caldas et al., "LEAF: a benchmark for federated settings", arXiv 1812.01097, 2018.
    """
    if min(window, step, least) < 1:
        raise DataError(f"window, step and least must be at least 1, not {window}, {step} and {least}")
    base = data_root(root)
    path = find([base / place for place in _PLACES], _WANTED)
    text = text_of(path, DataError)
    letters = sorted(set(text))
    roles = {name: said for name, said in _roles(text).items() if _rows(said, window, step) >= least}
    total = sum(_rows(said, window, step) for said in roles.values())
    if not total:
        raise DataError(f"{path} has no role with {least} rows of {window} characters and the one that follows")
    check_memory(total * len(letters) * window * 4, f"shakespeare, {total:,} rows of {window} characters", DataError)
    parts = [_windows(said, letters, window, step) for said in roles.values()]
    owner = np.repeat(np.arange(len(parts)), [len(y) for _, y in parts])
    test = np.concatenate([np.arange(len(y)) >= len(y) - len(y) // 5 for _, y in parts])
    codes, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    data = checked(
        "shakespeare",
        x=_one_hot(codes[~test], len(letters)),
        y=y[~test],
        test_x=_one_hot(codes[test], len(letters)),
        test_y=y[test],
        layout="signal",
        classes=len(letters),
        client=owner[~test],
    )
    names = tuple(_WRITTEN.get(letter, letter) for letter in letters)
    return replace(data, class_names=names, client_names=tuple(roles))


def _roles(text: str) -> dict[str, str]:
    """Return what each role says, its speeches joined by line ends."""
    found: dict[str, list[str]] = {}
    for speech in re.split(r"\n{2,}", text):
        spoken = _SPOKEN.fullmatch(speech.strip("\n"))
        if spoken:
            found.setdefault(spoken[1], []).append(spoken[2])
    return {name: "\n".join(speeches) for name, speeches in found.items()}


def _rows(said: str, window: int, step: int) -> int:
    """Return how many rows a text has."""
    return max(0, (len(said) - window - 1) // step + 1)


def _windows(said: str, letters: list[str], window: int, step: int) -> tuple[Integers, Integers]:
    """Return the windows of a text as numbers of characters, [n, window], and the numbers of those that follow, [n]."""
    number = {letter: at for at, letter in enumerate(letters)}
    codes = np.array([number[letter] for letter in said], dtype=np.int64)
    view = np.lib.stride_tricks.sliding_window_view(codes, window + 1)[::step]
    return view[:, :-1], view[:, -1]


def _one_hot(codes: Integers, letters: int) -> Floats:
    """Return windows [n, window] as signals [n, letters, window]."""
    x = np.zeros((len(codes), letters, codes.shape[1]), dtype=np.float32)
    np.put_along_axis(x, codes[:, None, :], 1, axis=1)
    return x
