"""Text for terminals and files: control characters escaped, and symbols spelled out where they cannot be shown."""

import codecs
import re
import unicodedata

#: How symbols are spelled in an encoding that lacks them; longer ones first.
_SPELLED = {
    "·√": "*sqrt ",
    "σ√": "sigma*sqrt ",
    "√": "sqrt ",
    "ε": "eps",
    "δ": "delta",
    "σ": "sigma",
    "μ": "mu",
    "µ": "mu",
    "θ": "theta",
    "λ": "lambda",
    "γ": "gamma",
    "κ": "kappa",
    "‖": "||",
    "·": "*",
    "×": "x",
    "—": "-",
    "–": "-",
    "−": "-",
    "…": "...",
    "†": "+",
    "‡": "#",
    "∞": "inf",
    "≤": "<=",
    "≥": ">=",
    "≠": "!=",
    "≈": "~",
    "→": "->",
    "←": "<-",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "•": "*",
    "━": "-",
    "╸": "-",
    "╺": "-",
    "│": "|",
    "─": "-",
    "²": "^2",
}
_SYMBOLS = re.compile("|".join(map(re.escape, _SPELLED)))
#: Format characters that belong to the spelling of words: the soft hyphen and the joiners.
_HARMLESS = frozenset("\u00ad\u200c\u200d")
#: The name of the error handler of streams that spells symbols.
SPELL = "rewindnet.spell"
#: What stands before each item of a list in a message.
ITEM = "\n  - "


def visible(text: object) -> str:
    r"""Return text in which every control character is escaped, like `\x1b`, so that a terminal obeys none.

    Line breaks, changes of the direction of writing and bytes that are no text are escaped, too.
    """
    shown = str(text)
    return shown if shown.isascii() and shown.isprintable() else "".join(map(_visible_character, shown))


def spelled(text: str, encoding: str) -> str:
    """Return text in which each symbol that an encoding lacks is spelled out: `eps` for ε.

    Letters lose their accents where there is no other way; what cannot be spelled is escaped.

    Args:
        text: the text.
        encoding: the name of the encoding of a terminal or file.
    """
    if text.isascii() or _has(encoding, text):
        return text
    text = _SYMBOLS.sub(lambda found: found[0] if _has(encoding, found[0]) else _SPELLED[found[0]], text)
    return "".join(letter if _has(encoding, letter) else _plain_letter(letter) for letter in text)


def _visible_character(character: str) -> str:
    """Return a character, or its escape sequence if it is a control character."""
    kind = unicodedata.category(character)
    hidden = kind in ("Cc", "Cs", "Zl", "Zp") or (kind == "Cf" and character not in _HARMLESS)
    return character.encode("unicode_escape", "surrogatepass").decode("ascii") if hidden else character


def _plain_letter(letter: str) -> str:
    """Return a letter without its accents, or its escape sequence."""
    base = "".join(part for part in unicodedata.normalize("NFKD", letter) if part.isascii())
    return base or letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def _has(encoding: str, text: str) -> bool:
    """Return whether an encoding has all characters of a text."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _spell(problem: UnicodeError) -> tuple[str, int]:
    """Spell the characters that a stream cannot encode: an error handler of `codecs`."""
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    return spelled(problem.object[problem.start : problem.end], "ascii"), problem.end


codecs.register_error(SPELL, _spell)
