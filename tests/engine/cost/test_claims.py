"""What sources print beside what is exact: the figures here are known from elsewhere."""

from __future__ import annotations

import math
import re

import pytest

from engine.cost.claims import (
    QUANTITIES,
    Checked,
    Subject,
    checked_claims,
    exact,
    headline,
    preset_like,
)
from engine.cost.memory import training_memory
from engine.presets import Preset, load_presets, preset

WITH_CLAIMS = tuple(entry for entry in load_presets() if entry.claims)

# preset, figure, what the source prints, what is exact
KNOWN: list[tuple[str, str, str, float | tuple[float, ...]]] = [
    ("nano-trickster", "Parameters", "~11M", 5_180_672),
    ("nano-trickster", "Parameters of a block", "1.8M", 852_480),
    ("nano-trickster", "Blocks in all", "6 × 1.8M = 10.8M", 6 * 852_480),
    ("nano-trickster", "Output layer", "65K, weight-tied", 0),
    ("nano-trickster", "Norms of a block", "256 a norm", 512),
    ("nano-trickster", "Query, key and value of one attention head", "196K", 24_576),
    ("nano-trickster", "Attention of a layer", "8 × 196K = 1.57M", 262_144),
    ("nano-trickster", "Query matrix of one head", "32 × 32", (256, 32)),
    ("nano-trickster", "Feed-forward network, 256 → 1,024 → 256", "524K", 786_432),
    ("nano-trickster", "Token embedding", "65K", 65_536),
    ("nano-trickster", "Time: feed-forward / attention / other", "60 / 30 / 10 %",
     (52.4, 46.6, 1.0)),
    ("nano-trickster", "Doubled sequence: scores / projections / MLP", "attention 4×, FFN same",
     (4, 2, 2)),
    ("nano-trickster", "Speed beside TinyLlama, by depth", "6× faster", 3.67),
    ("nano-trickster", "Speed beside TinyLlama, by arithmetic", "6× faster", 160),
    ("good-design", "Parameters", "~11M", 5_180_672),
    ("bad-design-too-big", "Parameters", "2B+", 6_443_700_224),
    ("tinyllama-1.1b", "Parameters", "~1.1B", 1_100_048_384),
    ("tinyllama-1.1b", "Sum of the printed parts", "880M + 65.5M = 945.5M", 1_100_048_384),
    ("tinyllama-1.1b", "Attention of a block", "16.8M", 9_437_184),
    ("tinyllama-1.1b", "Feed-forward network of a block", "23.1M", 34_603_008),
    ("tinyllama-1.1b", "Parameters of a block", "40M", 44_044_288),
    ("tinyllama-1.1b", "Blocks in all", "22 × 40M = 880M", 22 * 44_044_288),
    ("tinyllama-1.1b", "Token embedding", "65.5M", 65_536_000),
    ("tinyllama-1.1b", "Output layer", "65.5M, weight-tied", 65_536_000),
    ("tinyllama-1.1b", "Shares of embedding / blocks / head", "6 / 80 / 6 %",
     (5.96, 88.08, 5.96)),
    ("tinyllama-1.1b", "Shares of a block, attention / feed-forward", "42 / 58 %", (21.4, 78.6)),
    ("tinyllama-1.1b", "Parameters in feed-forward networks", "~70 %", 69.2),
    ("tinyllama-1.1b", "Weights, gradients and AdamW", "~13 GB", 13_200_580_608),
    ("tinyllama-1.1b", "On an N150 with 12 GB", "tight", 13_200_580_608),
    ("llama-3-8b", "Parameters", "≈ 8B", 8_030_261_248),
    ("llama-3-8b", "Attention of a layer", "67M", 41_943_040),
    ("llama-3-8b", "Feed-forward network of a layer", "176M", 176_160_768),
    ("llama-3-8b", "Parameters in feed-forward networks", "~75 %", 70.2),
    ("troelsllm", "Parameters", "162M", 162_419_712),
    ("troelsllm", "File of the trained model", "623 MB", 4 * 162_419_712 + 12 * 256 * 256 * 4),
    ("nanollama3-char", "Parameters", "9.8M", 9_810_816),
    ("scaling-125m", "Parameters", "125M", 125_226_240),
    ("scaling-350m", "Parameters", "350M", 355_871_744),
    ("scaling-1.3b", "Parameters", "1.3B", 1_315_723_264),
    ("scaling-6.7b", "Parameters", "6.7B", 6_658_404_352),
    ("scaling-13b", "Parameters", "13B", 12_853_386_240),
    ("scaling-70b", "Parameters", "70B", 64_861_528_064),
    ("scaling-70b", "Tokens to train on", "1.4T", 20 * 64_861_528_064),
]  # fmt: skip


def claim(name: str, figure: str) -> Checked:
    return next(c for c in checked_claims(preset(name)) if c.figure == figure)


def subject(name: str) -> Subject:
    return Subject(preset(name).model, preset(name).run)


@pytest.mark.parametrize(("name", "figure", "printed", "value"), KNOWN)
def test_the_exact_figure_is_the_known_one(
    name: str, figure: str, printed: str, value: float | tuple[float, ...]
) -> None:
    found = claim(name, figure)
    assert found.printed == printed
    if isinstance(value, int):
        # Ratios are known to whole numbers, everything else to the last parameter and byte.
        computed = found.exact.value
        assert (round(computed) if isinstance(computed, float) else computed) == value
    elif isinstance(value, float):
        assert isinstance(found.exact.value, float)
        assert math.isclose(found.exact.value, value, abs_tol=0.05)
    else:
        assert found.exact.value == pytest.approx(value, abs=0.05)


@pytest.mark.parametrize("entry", WITH_CLAIMS, ids=lambda entry: entry.id)
def test_every_claim_can_be_checked_and_every_number_in_its_reason_is_filled_in(
    entry: Preset,
) -> None:
    for found in checked_claims(entry):
        assert found.exact.text
        assert not re.search(r"[{}]", found.why)


def test_every_quantity_is_needed() -> None:
    named = {c.exact for entry in WITH_CLAIMS for c in entry.claims}
    for entry in WITH_CLAIMS:
        for claim in entry.claims:
            named |= set(re.findall(r"\{([^{}]+)\}", claim.why))
    assert named == set(QUANTITIES)


@pytest.mark.parametrize(
    ("name", "quantity", "text"),
    [
        ("nano-trickster", "params.attention_heads", "196,608"),
        ("nano-trickster", "flops.share.projections", "23.3 %"),
        ("nano-trickster", "flops.share.scores", "23.3 %"),
        ("nano-trickster", "memory.states_12", "62.17 MB = 59.29 MiB"),
        ("tinyllama-1.1b", "params.block.attention.ungrouped", "16,777,216"),
        ("tinyllama-1.1b", "params.block.mlp.two_matrices", "23,068,672"),
        ("tinyllama-1.1b", "memory.states_12", "13.20 GB = 12.29 GiB"),
        ("llama-3-8b", "params.block.attention.ungrouped", "67,108,864"),
        ("bad-design-too-big", "params.total.two_matrices", "4,833,087,488"),
        ("troelsllm", "file.weights_32", "649.68 MB = 619.58 MiB"),
        ("troelsllm", "file.weights_and_masks", "652.82 MB = 622.58 MiB"),
    ],
)
def test_the_numbers_that_the_reasons_name(name: str, quantity: str, text: str) -> None:
    assert exact(quantity, subject(name)).text == text


def test_the_ffn_of_the_lesson_is_right_for_two_matrices_only() -> None:
    """256 → 1,024 → 256: 524,288 with ReLU, half as many again with SwiGLU."""
    found = claim("nano-trickster", "Feed-forward network, 256 → 1,024 → 256")
    assert found.why.startswith("524,288 are two matrices")


@pytest.mark.parametrize("name", ["nano-trickster", "tinyllama-1.1b"])
def test_training_memory_is_that_of_the_presets_own_run(name: str) -> None:
    entry = preset(name)
    found = next(c for c in checked_claims(entry) if c.figure.startswith("Training memory"))
    assert found.exact.value == training_memory(entry.model, entry.run).peak_bytes


def test_the_batch_that_the_memory_is_named_for() -> None:
    nano, tiny = preset("nano-trickster"), preset("tinyllama-1.1b")
    assert (nano.run.batch_size, nano.run.sequence_length(nano.model)) == (16, 512)
    assert (tiny.run.batch_size, tiny.run.sequence_length(tiny.model)) == (8, 512)
    assert (nano.run.precision, tiny.run.precision) == ("fp32", "bf16")


def test_small_sizes_stay_exact() -> None:
    tiny = preset("first-minute").model.replace(hidden_dim=8, num_heads=1, num_layers=1, mlp_dim=8)
    found = exact("memory.weights_16", Subject(tiny, preset("first-minute").run))
    assert found.text == f"{found.value:,} bytes"


def test_a_design_is_a_presets_only_to_the_last_parameter() -> None:
    entry = preset("nano-trickster")
    assert preset_like(entry.model) == entry
    assert preset_like(entry.model.replace(num_layers=7)) is None


def test_the_headline_is_the_first_claim() -> None:
    assert headline(preset("nano-trickster")) == "The lesson prints ~11M: exactly 5,180,672."
    assert headline(preset("first-minute")) == ""
    assert headline(preset("bad-design-heads")) == ""
