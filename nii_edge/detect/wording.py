"""Does a line's description speak of goods that its code has not? Words and chapters are the regime's. Pure.

A word alone says little: a phone case is no phone. So a description that also has one of the words that lend
another sense (`beside`) is not told. Only what is spelt as the words are (English, in Latin letters) can be
told at all; a line without a code or a description says nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from nii_edge.papers import Line, Papers
from nii_edge.regime import Regime

_WORD = re.compile(r"[^\W\d_]+")


class Contradiction(NamedTuple):
    """A line, and the word in its description that its code's chapter has no goods for."""

    line: Line
    word: str


class _Lexicon:
    """Words and phrases to be found in a text's words."""

    def __init__(self, entries: Sequence[str]) -> None:
        plain = [tuple(_words(entry)) for entry in entries]
        self._single = frozenset(words[0] for words in plain if len(words) == 1)
        self._phrases = [words for words in plain if len(words) > 1]
        self._begin = frozenset(words[0] for words in self._phrases)

    def find(self, text: Sequence[str]) -> str | None:
        """The first phrase of the text, else its first word, that is one of these."""
        if not self._begin.isdisjoint(text):
            spaced = f" {' '.join(text)} "
            for words in self._phrases:
                if f" {' '.join(words)} " in spaced:
                    return " ".join(words)
        if self._single.isdisjoint(text):
            return None
        return next(word for word in text if word in self._single)


class _Table(NamedTuple):
    """What contradicts, by chapter, and beside what it may mean something else."""

    foreign: dict[int, _Lexicon]
    beside: _Lexicon


def contradiction(papers: Papers, regime: Regime) -> Contradiction | None:
    """The first line whose description contradicts its code; None if none does."""
    if not regime.contradictions:
        return None
    table = _table(regime)
    for line in papers.lines:
        foreign = None if line.chapter is None else table.foreign.get(line.chapter)
        if foreign is None:
            continue
        text = _words(line.description)
        word = foreign.find(text)
        if word is not None and table.beside.find(text) is None:
            return Contradiction(line, word)
    return None


def _words(text: str) -> list[str]:
    """Its words in small letters, without differences of width."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return _WORD.findall(plain.casefold())


@lru_cache(maxsize=4)
def _table(regime: Regime) -> _Table:
    words: dict[int, list[str]] = {}
    for rule in regime.contradictions:
        for chapter in rule.chapters:
            words.setdefault(chapter, []).extend(rule.words)
    return _Table({chapter: _Lexicon(each) for chapter, each in words.items()}, _Lexicon(regime.beside))
