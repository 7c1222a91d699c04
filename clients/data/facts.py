"""Facts about authors who do not exist, and the capitals of countries, as prompts of words with answers of one word."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rewindnet.clients.data.dataset import DataError, Dataset, checked
from rewindnet.clients.data.prompts import TEMPLATES, coded_templates, wrapped
from rewindnet.topologies.rng import Stream, rng_at

#: The words of each kind; capitals stand behind their countries.
_WORDS = {
    "first": "Alba Bruno Carla Dario Elke Frode Greta Hamid Irina Jorge Karin Lamar Mirka Nuno Olga Pavel Quirin Rosa "
    "Sven Tilda",
    "last": "Abend Brask Corvo Dunlin Eder Falk Garnet Holt Ilves Jarl Kestrel Lund Marl Nevin Oster Pryor Quist Rook "
    "Sorrel Tarn",
    "city": "Bergen Cork Dakar Esbjerg Faro Gdansk Hobart Izmir Jaffa Kyoto Leeds Malmo Nantes Oran Perth Quebec "
    "Recife Split Turin Utrecht",
    "genre": "ballads comedies essays fables ghost-stories hymns memoirs mysteries romances satires sagas westerns",
    "prize": "amber-prize birch-prize cedar-prize delta-prize ember-prize fjord-prize grove-prize heron-prize "
    "iris-prize juniper-prize kelp-prize larch-prize",
    "trade": "baker carpenter dyer engraver farmer glazier hatter locksmith mason nurse optician potter saddler "
    "tailor weaver",
    "capital": "Albania Tirana Angola Luanda Armenia Yerevan Austria Vienna Belgium Brussels Bolivia Sucre Bulgaria "
    "Sofia Canada Ottawa Chile Santiago China Beijing Croatia Zagreb Cuba Havana Denmark Copenhagen Ecuador Quito "
    "Egypt Cairo Estonia Tallinn Finland Helsinki France Paris Germany Berlin Ghana Accra Greece Athens Hungary "
    "Budapest Iceland Reykjavik India Delhi Iran Tehran Iraq Baghdad Ireland Dublin Italy Rome Japan Tokyo Kenya "
    "Nairobi Latvia Riga Libya Tripoli Nepal Kathmandu Norway Oslo Peru Lima Poland Warsaw Portugal Lisbon Spain "
    "Madrid Sweden Stockholm Uruguay Montevideo",
}
_FIRST, _LAST, _CITIES, _GENRES, _PRIZES, _TRADES, _CAPITALS = (words.split() for words in _WORDS.values())
#: What is asked of every author, with the words that answer it.
_ATTRIBUTES = (
    ("where was {first} {last} born", _CITIES),
    ("which genre does {first} {last} write", _GENRES),
    ("which prize did {first} {last} win", _PRIZES),
    ("what trade has {first} {last} learned", _TRADES),
)
_ASKED = "what is the capital of {country}"
#: The last word of the vocabulary, which answers no question: a refusal.
_REFUSAL = "unknown"

Integers = NDArray[np.int64]
Fact = tuple[str, str]


def facts(
    root: Path | None,
    seed: int,
    *,
    peers: int = 4,
    authors: int = 60,
    own: int = 6,
    countries: int = 40,
    templates: float = 0.4,
    repeats: int = 1,
    length: int = 18,
) -> Dataset:
    """Facts about authors who do not exist, and capitals: prompts of tokens whose class is the answer, one word.

    Modelled on TOFU: four facts of every author, drawn from the seed. Each peer alone knows some of the authors, and
    these come first in its rows; all peers know the others, and the capitals. A row is a prompt of words, as tokens
    with zeros on the right; classes are the words of the vocabulary, which does not depend on the settings, and whose
    last word answers no question, so that a model can be taught it as a refusal. Natural
    clients are the peers. All but the first ask a share of their questions in a polite template, and may ask each
    question several times, each time in a template or not. A test row asks for each fact that all peers know, plainly:
    it is knowledge that is tested, of prompts that were learned.

    Args:
        root: not used.
        seed: answers, and which rows have which template.
        peers: the number of peers.
        authors: the number of authors, at most 400.
        own: how many of them each peer alone knows.
        countries: how many capitals are known, at most 40.
        templates: the share of the rows of each peer but the first that are in a template.
        repeats: how many rows of each peer but the first ask for each fact.
        length: the number of tokens of a row: room for a prompt, its template, and another prompt behind it.

    Raises:
        DataError: if a setting is out of range, or nothing is left that all peers know.

    References:
        Maini et al., "TOFU: a task of fictitious unlearning for LLMs", arXiv 2401.06121, 2024.
    """
    _check(peers, authors, own, countries, templates, repeats, length)
    vocabulary = ("", *_vocabulary())
    known = _author_facts(authors, rng_at(seed, Stream.DATA))
    capitals = [(_ASKED.format(country=_CAPITALS[2 * at]), _CAPITALS[2 * at + 1]) for at in range(countries)]
    alone, common = known[: 4 * own * peers], [*known[4 * own * peers :], *capitals]
    held = [
        [*alone[4 * own * peer : 4 * own * (peer + 1)], *common] * (repeats if peer else 1) for peer in range(peers)
    ]
    parts = [_coded(of_peer, vocabulary, length) for of_peer in held]
    forms, drawn = coded_templates(TEMPLATES, vocabulary), rng_at(seed, Stream.DATA, context="templates")
    rows = []
    for peer, (x, _) in enumerate(parts):
        which = np.where(drawn.random(len(x)) < templates, drawn.integers(len(forms), size=len(x)), -1)
        rows.append(wrapped(x, forms, which) if peer else x)
    test_x, test_y = _coded(common, vocabulary, length)
    data = checked(
        "facts",
        x=np.concatenate(rows),
        y=np.concatenate([y for _, y in parts]),
        test_x=test_x,
        test_y=test_y,
        layout="prompt",
        classes=len(vocabulary),
        client=np.repeat(np.arange(peers), [len(y) for _, y in parts]),
    )
    return replace(data, class_names=vocabulary)


def _check(peers: int, authors: int, own: int, countries: int, templates: float, repeats: int, length: int) -> None:
    """Refuse settings that make no facts."""
    if min(peers, authors) < 1 or own < 0 or authors > len(_FIRST) * len(_LAST):
        raise DataError(
            f"facts takes peers of at least 1, 1 to {len(_FIRST) * len(_LAST)} authors and own of at least 0, not "
            f"{peers}, {authors} and {own}"
        )
    if not 0 <= countries <= len(_CAPITALS) // 2:
        raise DataError(f"data.countries of facts lies in 0 … {len(_CAPITALS) // 2}, not {countries}")
    if own * peers > authors or (own * peers == authors and not countries):
        raise DataError(
            f"{peers} peers with {own} authors of their own are {own * peers} authors; facts has {authors}, and "
            "something must be left that all peers know: set data.own or data.authors"
        )
    if not 0 <= templates <= 1:
        raise DataError(f"data.templates of facts is a share in [0, 1], not {templates}")
    if repeats < 1:
        raise DataError(f"data.repeats of facts is a number of at least 1, not {repeats}")
    least = 6 + max(len(form.split()) - 1 for form in TEMPLATES)
    if length < least:
        raise DataError(f"data.length of facts is at least {least}, a prompt in the longest template, not {length}")


def _author_facts(authors: int, generator: np.random.Generator) -> list[Fact]:
    """Draw the names of authors without repetition, and the answers, each as a prompt and its answer."""
    chosen = generator.permutation(len(_FIRST) * len(_LAST))[:authors]
    names = [(_FIRST[at // len(_LAST)], _LAST[at % len(_LAST)]) for at in chosen.tolist()]
    return [
        (asked.format(first=first, last=last), answers[int(generator.integers(len(answers)))])
        for first, last in names
        for asked, answers in _ATTRIBUTES
    ]


def _vocabulary() -> list[str]:
    """Return every word there is, those of questions and templates first."""
    forms = [asked for asked, _ in _ATTRIBUTES] + [_ASKED, *TEMPLATES]
    words = [word for form in forms for word in form.split() if not word.startswith("{")]
    answers = [word for _, of_attribute in _ATTRIBUTES for word in of_attribute]
    return list(dict.fromkeys([*words, *_FIRST, *_LAST, *answers, *_CAPITALS, _REFUSAL]))


def _coded(known: list[Fact], vocabulary: tuple[str, ...], length: int) -> tuple[NDArray[np.float32], Integers]:
    """Return the tokens [n, L] of prompts and those of their answers [n]."""
    numbers = {word: token for token, word in enumerate(vocabulary)}
    x = np.zeros((len(known), length), dtype=np.float32)
    for row, (asked, _) in zip(x, known, strict=True):
        tokens = [numbers[word] for word in asked.split()]
        row[: len(tokens)] = tokens
    return x, np.array([numbers[answer] for _, answer in known], dtype=np.int64)
