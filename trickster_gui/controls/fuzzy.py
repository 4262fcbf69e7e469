"""How well a few typed letters match a name."""

from __future__ import annotations


def score(typed: str, *texts: str) -> float:
    """0 where some typed word matches nothing, more the better it matches.

    Every word must be found: at the start of a word is best, inside one is good, and letters in
    the right order with gaps ("ndsn" in "Undo design") will do.
    """
    text = " ".join(texts).lower()
    total = 0.0
    for word in typed.lower().split():
        best = _word_score(word, text)
        if best == 0:
            return 0.0
        total += best
    # Of two equal matches the shorter name was meant.
    return total / (1 + len(text) / 200)


def _word_score(word: str, text: str) -> float:
    if text.startswith(word):
        return 100.0 + len(word)
    starts = any(part.startswith(word) for part in _words(text))
    if starts:
        return 80.0 + len(word)
    if word in text:
        return 50.0 + len(word)
    if len(word) < 2:
        return 0.0
    return _scattered(word, text)


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text).split()


def _scattered(word: str, text: str) -> float:
    """Letters in order with gaps: 30 at best, less with each gap; 0 where they do not occur."""
    at, first = -1, -1
    for letter in word:
        at = text.find(letter, at + 1)
        if at < 0:
            return 0.0
        if first < 0:
            first = at
    gaps = at - first + 1 - len(word)
    return max(0.0, 30.0 - 2.0 * gaps)
