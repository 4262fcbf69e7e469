"""ALiBi's slopes against the paper."""

from __future__ import annotations

import pytest

from engine.alibi import alibi_slopes


@pytest.mark.parametrize(
    ("heads", "slopes"),
    [
        (1, (1 / 256,)),
        (2, (1 / 16, 1 / 256)),
        (8, (1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32, 1 / 64, 1 / 128, 1 / 256)),
        (6, (1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8)),
        (3, (1 / 16, 1 / 256, 1 / 4)),
    ],
)
def test_alibi_slopes_are_the_published_ones(heads: int, slopes: tuple[float, ...]) -> None:
    assert alibi_slopes(heads) == pytest.approx(slopes, rel=1e-12)
