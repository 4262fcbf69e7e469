"""Whether a run fits its card: by the operations' own count, with a way out that works."""

from __future__ import annotations

import pytest

from engine.cost.card_fit import check_memory, chip_memory
from engine.cost.card_memory import banks_of, card_peak
from engine.parameter import SpecError
from engine.presets import preset
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

RUN = RunSpec(precision="bf16-mixed", device="n150:0")
SPEC = ModelSpec(hidden_dim=256, num_heads=8, num_kv_heads=8, num_layers=12, max_seq_len=1024)


@pytest.mark.parametrize(
    ("device", "banks"), [("n150:0", 12), ("n300", 12), ("galaxy:0", 12), ("p100", 7), ("p150", 8)]
)
def test_memory_lies_in_banks(device: str, banks: int) -> None:
    assert banks_of(device) == banks


def test_what_is_no_card_has_no_banks() -> None:
    with pytest.raises(ValueError, match="not a Tenstorrent card"):
        banks_of("cpu")


def test_each_card_holds_what_its_chip_has() -> None:
    assert chip_memory("n300:1") == chip_memory("n150") == 12 * 1_072_693_184
    with pytest.raises(ValueError, match="not a Tenstorrent card"):
        chip_memory("cpu")


def test_what_fits_is_counted() -> None:
    design = preset("nano-trickster")
    run = design.run.replace(device="n150", precision="bf16-mixed")
    peak = card_peak(design.model, run, run.batch_size)
    assert check_memory(design.model, run) == peak == 1_024_868_352


@pytest.mark.parametrize("batch", [64, 1024])
def test_the_way_out_of_a_memory_that_is_too_small_fits(batch: int) -> None:
    run = RUN.replace(batch_size=batch)
    with pytest.raises(SpecError, match=r"training needs .* one chip of which has 12\.0 GiB") as no:
        check_memory(SPEC, run)
    assert no.value.field in no.value.fix
    check_memory(SPEC, run.replace(**no.value.fix))


def test_blocks_are_computed_again_before_batches_shrink() -> None:
    with pytest.raises(SpecError) as caught:
        check_memory(SPEC, RUN.replace(batch_size=64))
    assert caught.value.fix == {"gradient_checkpointing": True}


def test_a_model_whose_weights_alone_are_too_large_has_no_way_out() -> None:
    model = preset("tinyllama-1.1b").model
    with pytest.raises(SpecError, match="the model is too large for it") as caught:
        check_memory(model, RUN.replace(batch_size=2))
    assert caught.value.fix == {}


def test_where_blocks_are_computed_again_already_batches_shrink() -> None:
    run = RUN.replace(gradient_checkpointing=True, batch_size=16_384)
    with pytest.raises(SpecError, match="training needs") as caught:
        check_memory(SPEC, run)
    assert set(caught.value.fix) == {"batch_size"}
    check_memory(SPEC, run.replace(**caught.value.fix))
