"""What tt-metal says, in words for a person."""

from __future__ import annotations

import pytest

from engine.backends.card.device_errors import (
    is_from_card,
    is_out_of_card_memory,
    reason,
    way_on,
)

# As ttnn 0.81.1 said it where there was no card.
NO_CARD = """TT_FATAL @ /project/tt_metal/llrt/tt_cluster.cpp:129: num_chips > 0
info:
No chips detected in the cluster
backtrace:
 --- /venv/lib/python3.12/site-packages/ttnn/build/lib/_ttnncpp.so(+0xb233e8) [0x7fb6283233e8]
"""


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (NO_CARD, "No chips detected in the cluster"),
        ("sfpi not found at /x\nand more", "sfpi not found at /x"),
        ("info:\n  two\n  lines\n", "two lines"),
        ("", "RuntimeError"),
        ("backtrace:\n --- y", "RuntimeError"),
        ("x" * 1_000, "x" * 300),
    ],
)
def test_the_reason_is_told_in_one_line(said: str, why: str) -> None:
    assert reason(RuntimeError(said)) == why


def test_only_what_has_its_backtrace_is_tt_metal_s() -> None:
    assert is_from_card(RuntimeError(NO_CARD))
    assert not is_from_card(RuntimeError("a fault of ours"))
    assert not is_from_card(ValueError(NO_CARD))


def test_a_full_memory_is_known_by_its_words() -> None:
    assert is_out_of_card_memory(RuntimeError("TT_FATAL: Out of Memory: Not enough space"))
    assert not is_out_of_card_memory(RuntimeError(NO_CARD))
    assert not is_out_of_card_memory(KeyError("out of memory"))


def test_the_way_on_names_the_check_of_this_card() -> None:
    assert "python -m engine preflight --device p150:1." in way_on("p150:1")
    by_tt_train = "preflight --device n300:0 --card-backend tt-train."
    assert by_tt_train in way_on("n300:0", "tt-train")
