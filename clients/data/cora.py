"""Papers on machine learning and their citations."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

from rewindnet.clients.data.dataset import DataError, Dataset, Floats, Integers, checked
from rewindnet.clients.data.files import data_root, find, read_pickle, reads
from rewindnet.pickles import SparseRows
from rewindnet.reading import text_of

_WANTED = "cora/ind.cora.allx and the files beside it, as Planetoid gives them"
_PARTS = ("allx", "ally", "tx", "ty", "graph", "test.index")
_PLACES = [[f"cora/ind.cora.{part}", f"ind.cora.{part}"] for part in _PARTS]


@reads(*_PLACES)
def cora(root: Path | None, seed: int, *, split: Literal["planetoid", "connected"] = "planetoid") -> Dataset:
    """Cora: 2,708 papers of 7 subjects, known by which of 1,433 words they use; natural clients are papers.

    Examples are zeros and ones; classes and papers are numbered as in the files; no mean is declared. The files are
    looked for in cora and the root itself. The citation graph is a topology: `topology: {kind: file, path:
    …/ind.cora.graph, part: largest}` has one node for each paper of its largest connected part.

    Args:
        root: the data folder.
        seed: not used.
        split: `planetoid` takes the 1,000 test papers of Planetoid, and all 1,708 others for training. `connected`
            takes the 2,485 papers of the largest connected part of the citation graph for training, so that each node
            of that topology has one, and tests on the 223 others.

    Raises:
        DataError: if a file is missing or damaged, or they do not fit together.

    References:
        Yang, Cohen and Salakhutdinov, "Revisiting semi-supervised learning with graph embeddings", ICML 2016.
    """
    base = data_root(root)
    files = [find([base / place for place in places], _WANTED) for places in _PLACES]
    x, y, test = _papers(files)
    if split == "connected":
        test = _outside(files[4], len(x))
    return checked(
        "cora",
        x=x[~test],
        y=y[~test],
        test_x=x[test],
        test_y=y[test],
        layout="vector",
        classes=7,
        client=np.flatnonzero(~test),
    )


def _papers(files: list[Path]) -> tuple[Floats, Integers, NDArray[np.bool_]]:
    """Return the features and classes of all papers by their numbers, and which are test papers."""
    words, test_words = (_words(files[at]) for at in (0, 2))
    classes, test_classes = (_classes(files[at]) for at in (1, 3))
    index, n = _index(files[5]), len(words) + len(test_words)
    fits = words.shape[1] == test_words.shape[1] and (len(classes), len(test_classes)) == (len(words), len(test_words))
    if not fits or not np.array_equal(np.sort(index), np.arange(len(words), n)):
        raise DataError(f"{files[0].parent}: the files of cora do not fit together")
    x, y = np.zeros((n, words.shape[1]), dtype=np.float32), np.zeros(n, dtype=np.int64)
    x[: len(words)], y[: len(words)] = words, classes
    x[index], y[index] = test_words, test_classes
    return x, y, np.arange(n) >= len(words)


def _words(path: Path) -> Floats:
    content = read_pickle(path)
    try:
        if not isinstance(content, SparseRows):
            raise ValueError(f"it is a {type(content).__name__}")
        return np.asarray(content.toarray(), dtype=np.float32)
    except (ValueError, TypeError) as problem:
        raise DataError(f"{path} holds no sparse matrix of words: {problem}") from None


def _classes(path: Path) -> Integers:
    content = read_pickle(path)
    if not isinstance(content, np.ndarray) or content.ndim != 2 or content.shape[1] != 7:
        raise DataError(f"{path} holds no one-hot labels of 7 classes")
    return np.asarray(content.argmax(axis=1), dtype=np.int64)


def _index(path: Path) -> Integers:
    try:
        return np.array(text_of(path, DataError).split(), dtype=np.int64)
    except (ValueError, OverflowError) as problem:
        raise DataError(f"{path} is no list of numbers of papers ({problem})") from None


def graph_file(root: Path | None) -> Path:
    """Return the file of the citations.

    Raises:
        DataError: if it is missing.
    """
    return find([data_root(root) / place for place in _PLACES[_PARTS.index("graph")]], _WANTED)


def read_citations(path: Path, papers: int) -> Integers:
    """Return the pairs of papers [e, 2] of which one cites the other, as the file has them.

    Args:
        path: the file.
        papers: the number of papers.

    Raises:
        DataError: if the file holds no such pairs.
    """
    graph: Any = read_pickle(path)
    try:
        pairs = np.array([(int(a), int(b)) for a, others in graph.items() for b in others], dtype=np.int64)
        if len(pairs) and not 0 <= pairs.min() <= pairs.max() < papers:
            raise ValueError(f"papers are numbered from 0 to {papers - 1}")
    except (AttributeError, TypeError, ValueError) as problem:
        raise DataError(f"{path} holds no lists of the papers that are linked: {problem}") from None
    return pairs.reshape(-1, 2)


def _outside(path: Path, papers: int) -> NDArray[np.bool_]:
    """Return which papers are not in the largest connected part of the citation graph."""
    row, column = read_citations(path, papers).T
    links = sparse.coo_array((np.ones(len(row), dtype=np.int8), (row, column)), shape=(papers, papers))
    _, part = csgraph.connected_components(links, directed=False)
    return np.asarray(part != np.bincount(part).argmax())
