"""The words of the table of doublings (engine.cost.doubling works it out)."""

from __future__ import annotations

import pytest

from trickster_gui.cost.what_if import ratio_text


@pytest.mark.parametrize(("ratio", "text"), [(1.0, "× 1.00"), (3.667, "× 3.67"), (512.3, "× 512")])
def test_ratios(ratio: float, text: str) -> None:
    assert ratio_text(ratio) == text
