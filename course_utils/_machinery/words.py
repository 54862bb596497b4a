"""Names that contain a word, however it is spelled: the best ones first."""

import re
import unicodedata
from collections.abc import Sequence


def plain(text: str) -> str:
    """Small letters without accents and apostrophes, and one blank between words.

    Example:
        >>> plain("Lady's-Slipper"), plain("café_au lait")
        ('ladys slipper', 'cafe au lait')
    """
    text = unicodedata.normalize("NFKD", str(text).casefold())
    text = re.sub(r"[\u0300-\u036f'’‘`´]", "", text)
    return " ".join(re.findall(r"[^\W_]+", text))


def ranked(wanted: str, names: Sequence[str]) -> list[int]:
    """The indices of the names with `wanted`, which is plain, in one of their synonyms.

    First those that have it as whole words, in the singular or the plural; then those with
    a word that begins with it; then the rest; in order each.

    Example:
        >>> ranked("cat", ["oystercatcher", "catfish", "wild cats", "lynx, cat"])
        [2, 3, 1, 0]
    """
    found = []
    for index, name in enumerate(names):
        parts = [plain(part) for part in name.split(",")]
        tests = _has_whole_words, _has_beginning, str.__contains__
        ranks = [i for i, test in enumerate(tests) if any(test(p, wanted) for p in parts)]
        found += [(ranks[0], index)] if ranks else []
    return [index for _, index in sorted(found)]


def _has_whole_words(name: str, wanted: str) -> bool:
    words, sought = name.split(), wanted.split()
    places = range(len(words) - len(sought) + 1)
    if any(all(map(_same_word, words[place:], sought)) for place in places):
        return True
    return _same_word("".join(words), "".join(sought))  # "gokart" is a go-kart


def _has_beginning(name: str, wanted: str) -> bool:
    return f" {wanted}" in f" {name}"


def _same_word(one: str, other: str) -> bool:
    return not _singulars(one).isdisjoint(_singulars(other))


def _singulars(word: str) -> set[str]:
    """The word itself, and what it may be the plural of."""
    plurals = {"s": "", "es": "", "ies": "y"} if len(word) > 3 else {}
    found = {word.removesuffix(end) + y for end, y in plurals.items() if word.endswith(end)}
    return found | {word}
