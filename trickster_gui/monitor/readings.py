"""Numbers and texts as this page shows them; engine.words has the rest."""

from __future__ import annotations

import math

from engine import words

UNKNOWN = "–"


def duration(seconds: float | None) -> str:
    """A time in its two largest units; a dash where it is not known."""
    return UNKNOWN if seconds is None or not seconds >= 0 else words.duration(seconds)


def memory(size_bytes: float | None) -> str:
    """Memory in binary units; a dash where it is not known."""
    known = size_bytes is not None and math.isfinite(size_bytes) and size_bytes >= 0
    return words.binary_bytes(size_bytes) if known and size_bytes is not None else UNKNOWN


def speed(tokens_per_s: float | None) -> str:
    """Tokens a second; a dash where it is not known."""
    if tokens_per_s is None or not math.isfinite(tokens_per_s):
        return UNKNOWN
    return f"{words.short_count(tokens_per_s)} tokens/s"


def loss(value: float | None) -> str:
    """A loss in four digits, "5.545" or "123.4", from 1,000 on in three: "1.57 K", "2.1e+20".

    "nan" and "inf" as they are.
    """
    if value is None:
        return UNKNOWN
    rounded = float(f"{value:.4g}")
    if not math.isfinite(rounded):
        return str(rounded)
    if abs(rounded) >= 1e12:
        return f"{value:.1e}"
    if abs(rounded) >= 1_000:
        return words.short_count(value)
    whole_digits = len(str(int(abs(rounded))))
    return f"{rounded:.{4 - whole_digits}f}"


def small(value: float) -> str:
    """A learning rate or a norm: "9.8e-4", "0.71"."""
    if not math.isfinite(value):
        return str(value)
    if 0 < abs(value) < 0.01:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.2f}"


def sentences(*parts: str) -> str:
    """Texts one after the other, each with the full stop that it may lack; empty ones left out."""
    stripped = (part.strip() for part in parts)
    return " ".join(text if text[-1] in ".!?…" else f"{text}." for text in stripped if text)


def quoted(prompt: str, limit: int = 40) -> str:
    """A prompt on one line, line ends shown, cut to ``limit`` characters."""
    line = prompt.replace("\r\n", "⏎").replace("\n", "⏎").replace("\t", "⇥")
    line = "".join(letter if letter.isprintable() else "·" for letter in line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def printable(text: str, limit: int = 20_000) -> str:
    """A text as it can be shown: control characters made visible, cut to ``limit`` characters."""
    shown = text[:limit].replace("\r\n", "\n")
    shown = "".join(letter if letter.isprintable() or letter in "\n\t" else "·" for letter in shown)
    rest = len(text) - limit
    return f"{shown}… ({rest:,} more characters)" if rest > 0 else shown
