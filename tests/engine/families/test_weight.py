from __future__ import annotations

from engine.families.weight import Weight, expand


def test_count_is_the_product_times_the_copies() -> None:
    assert Weight("a", "mlp", (3, 5), 4).count == 60
    assert Weight("a", "norm", (7,)).count == 7


def test_expand_goes_block_after_block_in_the_order_of_the_forward_pass() -> None:
    listed = (
        Weight("embed", "embedding", (4, 2)),
        Weight("layers.{layer}.a", "mlp", (2, 3), 2),
        Weight("layers.{layer}.b", "mlp", (3,), 2),
        Weight("head", "head", (4, 2)),
    )
    assert list(expand(listed)) == [
        ("embed", (4, 2)),
        ("layers.0.a", (2, 3)),
        ("layers.0.b", (3,)),
        ("layers.1.a", (2, 3)),
        ("layers.1.b", (3,)),
        ("head", (4, 2)),
    ]


def test_expand_without_blocks() -> None:
    assert list(expand((Weight("a", "norm", (1,)),))) == [("a", (1,))]
