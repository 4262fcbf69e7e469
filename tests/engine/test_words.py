from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.words import (
    binary_bytes,
    duration,
    exact_count,
    percent,
    short_count,
    short_flops,
    short_rate,
    signed_percent,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (12, "12"), (999, "999"), (1_000, "1.00 K"), (999_499, "999 K"),
        (999_999, "1.00 M"), (852_480, "852 K"), (5_180_672, "5.18 M"), (1_100_048_384, "1.10 B"),
        (2.5e12, "2.50 T"), (-852_480, "-852 K"), (99.96, "100"), (9.996, "10.0"), (0.5, "0.50"),
        (999.7, "1.00 K"),
    ],
)  # fmt: skip
def test_counts(value: float, text: str) -> None:
    assert short_count(value) == text


def test_signs_and_exact_digits() -> None:
    assert short_count(852_480, signed=True) == "+852 K"
    assert short_count(0, signed=True) == "0"
    assert binary_bytes(-1024, signed=True) == "-1.00 KiB"
    assert exact_count(5_180_672) == "5,180,672"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 B"), (512, "512 B"), (1_024, "1.00 KiB"), (65_011_712, "62.0 MiB"),
     (12 << 30, "12.0 GiB"), (1_048_575, "1.00 MiB"), (1_023, "1,023 B")],
)  # fmt: skip
def test_memory_is_binary(value: int, text: str) -> None:
    assert binary_bytes(value) == text


def test_arithmetic() -> None:
    assert short_flops(40_501_248) == "40.5 MFLOP"
    assert short_flops(2.14e15) == "2.14 PFLOP"
    assert short_flops(7) == "7 FLOP"
    assert short_rate(1.45e11) == "145 GFLOP/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (3e-6, "3 µs"), (0.00123, "1.23 ms"), (0.12, "0.12 s"), (1.26, "1.3 s"),
        (45.2, "45 s"), (59.6, "1 min"), (200, "3 min 20 s"), (3_599.9, "1 h"),
        (7_500, "2 h 5 min"),
        (86_399, "1 d"), (356_400, "4 d 3 h"), (1e9, "32 years"), (1e20, "over a million years"),
        (math.inf, "over a million years"), (-200, "-3 min 20 s"),
    ],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0, "0 %"), (1, "100 %"), (0.71, "71 %"), (0.004, "0.4 %"), (0.01, "1 %"), (0.997, "99.7 %"),
     (0.0001, "< 0.1 %"), (0.99999, "> 99.9 %")],
)  # fmt: skip
def test_shares(fraction: float, text: str) -> None:
    assert percent(fraction) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (1.16, "+16 %"), (1.0, "±0 %"), (0.996, "-0.4 %"), (13.0, "+1,200 %"), (1.0996, "+10 %"),
        (0.5, "-50 %"), (1.0001, "±0 %"), (0.9999, "±0 %"), (1.02, "+2 %"), (0.0, "-100 %"),
    ],
)  # fmt: skip
def test_more_or_less_than_before(ratio: float, text: str) -> None:
    assert signed_percent(ratio) == text


@given(st.integers(0, 10**17))
def test_short_counts_are_within_half_a_percent(value: int) -> None:
    number, _, prefix = short_count(value).partition(" ")
    scale = {"": 1, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "Qa": 1e15}[prefix]
    assert float(number.replace(",", "")) * scale == pytest.approx(value, rel=0.0051)


@given(st.floats(0, 1e12))
def test_every_duration_has_words(seconds: float) -> None:
    assert duration(seconds)
