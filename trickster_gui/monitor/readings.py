"""Numbers and texts as this page shows them; engine.words has the rest."""

from __future__ import annotations

import math

from engine import words
from trickster_gui.monitor.predictions import Compared

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


def peak(compared: Compared) -> tuple[str, str, str]:
    """Peak memory measured, what was predicted beside it, and both to the byte."""
    found, foretold = compared.measured, compared.predicted
    beside = "" if foretold is None else f"· {memory(foretold)}"
    exact = []
    if found is not None:
        exact.append(f"{found:,.0f} bytes")
    if foretold is not None:
        exact.append(f"predicted {foretold:,.0f} bytes")
    return memory(found), *_differing(beside, exact, compared.ratio)


def speeds(compared: Compared, tokens_per_step: int) -> tuple[str, str, str]:
    """Tokens a second measured, what was predicted beside it, and the times of a step."""
    step_s, foretold_s = compared.measured, compared.predicted
    found = UNKNOWN if step_s is None else words.short_count(tokens_per_step / step_s)
    beside = "" if foretold_s is None else f"· {words.short_count(tokens_per_step / foretold_s)}"
    exact = []
    if step_s is not None:
        exact.append(f"{found}: {duration(step_s)} a step")
    if foretold_s is not None:
        exact.append(f"predicted {duration(foretold_s)}{_range(compared)}")
    faster = None if compared.ratio is None else 1.0 / compared.ratio
    return found, *_differing(beside, exact, faster)


def _differing(beside: str, exact: list[str], ratio: float | None) -> tuple[str, str]:
    if ratio is None:
        return beside, ", ".join(exact)
    percent = words.signed_percent(ratio)
    return f"{beside}, {percent}", ", ".join([*exact, percent])


def _range(compared: Compared) -> str:
    if compared.low is None or compared.high is None:
        return ""
    return f" ({duration(compared.low)} to {duration(compared.high)})"


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
