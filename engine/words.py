"""Numbers as people read them: 5.18 M, 62.0 MiB, 3 min 20 s, 145 GFLOP/s.

Parameters and FLOPs use decimal (SI) prefixes, memory binary ones. The exact integer always
belongs beside these (in a hover, in a second column): they have three significant digits.
"""

from __future__ import annotations

import math

_SI = ("", "K", "M", "B", "T", "Qa")
_SI_FLOPS = ("", "K", "M", "G", "T", "P", "E", "Z", "Y")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_YEAR_S = 365.25 * 86_400


def exact_count(value: int) -> str:
    """All digits, in groups of three: 5,180,672."""
    return f"{value:,}"


def short_count(value: float, signed: bool = False) -> str:
    """A count in three digits and a decimal prefix: 5.18 M, 852 K, 12; with ``signed`` +852 K."""
    return _sign(value, signed) + _scaled(abs(value), 1000.0, _SI)


def short_flops(value: float) -> str:
    """An amount of arithmetic: 37.8 MFLOP, 2.14 PFLOP."""
    return _sign(value, False) + _scaled(abs(value), 1000.0, _SI_FLOPS, unit="FLOP")


def short_rate(flops_per_s: float) -> str:
    """A speed of arithmetic: 145 GFLOP/s."""
    return short_flops(flops_per_s) + "/s"


def binary_bytes(value: float, signed: bool = False) -> str:
    """An amount of memory in three digits and a binary unit: 62.0 MiB, 512 B, 12.0 GiB."""
    return _sign(value, signed) + _scaled(abs(value), 1024.0, _BINARY)


def percent(fraction: float) -> str:
    """A share: 71 %, 0.4 %, 99.7 %; never 0 % of what is there, nor 100 % of less than all."""
    value = 100.0 * fraction
    if 0 < value < 0.05:
        return "< 0.1 %"
    if 99.95 <= value < 100:
        return "> 99.9 %"
    if value < 10 or 99 < value < 100:
        text = f"{value:.1f}"
        return f"{text.removesuffix('.0')} %"
    return f"{value:.0f} %"


def signed_percent(ratio: float) -> str:
    """How much more (or less) than before, of after / before: +16 %, -0.4 %, +1,200 %, ±0 %."""
    value = 100.0 * (ratio - 1.0)
    size = abs(value)
    if size < 0.05:
        return "±0 %"
    text = f"{size:,.0f}" if size >= 9.95 else f"{size:.1f}".removesuffix(".0")
    return f"{'+' if value > 0 else '-'}{text} %"


def duration(seconds: float) -> str:
    """A time in its two largest units: 3 min 20 s, 2 h 5 min, 4 d 3 h, 0.12 s, 35 ms."""
    if seconds < 0:
        return "-" + duration(-seconds)
    if math.isinf(seconds) or seconds >= 1e6 * _YEAR_S:
        return "over a million years"
    if seconds < 59.5:
        return _short_duration(seconds)
    if seconds >= 2 * _YEAR_S:
        return f"{seconds / _YEAR_S:,.0f} years"
    for large, small, large_s, small_s in (
        ("min", "s", 60, 1), ("h", "min", 3_600, 60), ("d", "h", 86_400, 3_600),
    ):  # fmt: skip
        smalls = round(seconds / small_s)
        wholes, rest = divmod(smalls, large_s // small_s)
        limit = {"min": 60, "h": 24}.get(large)
        if limit is None or wholes < limit:
            return f"{wholes:,} {large}" + (f" {rest} {small}" if rest else "")
    raise AssertionError("days have no limit")


def _short_duration(seconds: float) -> str:
    if seconds >= 9.95:
        return f"{seconds:.0f} s"
    if seconds >= 0.9995:
        return f"{seconds:.1f} s"
    if seconds >= 0.0995:
        return f"{seconds:.2f} s"
    if seconds >= 0.000_9995:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds * 1e6:.0f} µs" if seconds else "0 s"


def _sign(value: float, signed: bool) -> str:
    if value < 0:
        return "-"
    return "+" if signed and value > 0 else ""


def _scaled(value: float, base: float, prefixes: tuple[str, ...], unit: str = "") -> str:
    """``value`` in three significant digits; whole numbers below the base stay exact."""
    index = 0
    scaled = float(value)
    while index < len(prefixes) - 1 and (scaled >= base or (index and _rounds_up(scaled, base))):
        scaled /= base
        index += 1
    if index == 0 and _rounds_up(scaled, base) and scaled != int(scaled):
        scaled, index = scaled / base, 1
    suffix = prefixes[index] + unit
    digits = _three_digits(scaled, exact=index == 0 and scaled == int(scaled))
    return f"{digits} {suffix}" if suffix else digits


def _rounds_up(scaled: float, base: float) -> bool:
    """Whether three digits would show 1000 (or 1024) instead of the next prefix's 1.00."""
    return round(scaled) >= base


def _three_digits(value: float, exact: bool) -> str:
    if exact or value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
