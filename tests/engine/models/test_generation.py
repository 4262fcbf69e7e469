"""Writing text token by token."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch

from engine.models.decoder import Decoder, build
from engine.models.generation import Step, stream
from engine.models.sampling import BrokenModelError
from engine.parameter import SpecError
from tests.engine.models.designs import POSITIONS, tiny


def written(model: Decoder, prompt: list[int], count: int, **options: object) -> list[int]:
    steps = stream(model, prompt, max_new_tokens=count, **options)  # type: ignore[arg-type]
    return [step.token for step in steps]


def last_logits(model: Decoder, window: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([window])).logits_BTV[0, -1]


@pytest.mark.parametrize("context", [1, 2, 5, 12])
@pytest.mark.parametrize("position", POSITIONS)
def test_what_is_read_is_one_piece_of_text_of_at_most_a_context(
    position: str, context: int
) -> None:
    """Greedy text against a loop that has no cache and reads its whole window each time."""
    model = build(tiny(position=position, max_seq_len=context, init_std=0.5)).eval()
    prompt = [3, 1, 4, 1, 5, 9, 2, 6]
    window, expected = prompt[-context:], []
    for _ in range(40):
        if len(window) > context:
            window = window[-max(1, context // 2) :]
        token = int(last_logits(model, window).argmax())
        expected.append(token)
        window.append(token)
    assert written(model, prompt, 40, temperature=0) == expected


def test_a_step_tells_its_probability_and_the_likeliest_alternatives() -> None:
    model = build(tiny()).eval()
    step = next(stream(model, [1, 2], max_new_tokens=1, temperature=0.7, alternatives=3, seed=1))
    probabilities = (last_logits(model, [1, 2]).double() / 0.7).softmax(0)
    assert step.probability == pytest.approx(probabilities[step.token].item(), rel=1e-5)
    top = probabilities.topk(3)
    assert [token for token, _ in step.alternatives] == top.indices.tolist()
    assert [p for _, p in step.alternatives] == pytest.approx(top.values.tolist(), rel=1e-5)


def test_tokens_come_as_often_as_the_model_expects_them() -> None:
    """Chi-square over the transitions of a model whose context is a single token."""
    vocab, count, temperature = 5, 4_000, 0.9
    spec = tiny(vocab_size=vocab, max_seq_len=1, position="none", num_layers=1, init_std=0.4)
    model = build(spec, seed=2).eval()
    tokens = [0, *written(model, [0], count, temperature=temperature, seed=11)]
    seen = Counter(itertools.pairwise(tokens))
    chi_square, degrees = 0.0, 0
    for before in range(vocab):
        visits = sum(seen[before, after] for after in range(vocab))
        expected = (last_logits(model, [before]).double() / temperature).softmax(0) * visits
        assert expected.min() > 5  # chi-square's condition
        for after in range(vocab):
            chi_square += (seen[before, after] - expected[after].item()) ** 2 / expected[
                after
            ].item()
        degrees += vocab - 1
    # Wilson & Hilferty's approximation of the 99.9 % quantile
    limit = degrees * (1 - 2 / (9 * degrees) + 3.09 * math.sqrt(2 / (9 * degrees))) ** 3
    assert chi_square < limit


def test_greedy_text_is_always_the_same() -> None:
    model = build(tiny()).eval()
    assert written(model, [1], 20, temperature=0, seed=1) == written(
        model, [1], 20, temperature=0, seed=2
    )


def test_a_seed_names_a_text_whatever_the_global_random_state() -> None:
    model = build(tiny())
    torch.manual_seed(1)
    first = written(model, [1], 20, temperature=1.5, seed=7)
    state = torch.get_rng_state()
    assert written(model, [1], 20, temperature=1.5, seed=7) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert written(model, [1], 20, temperature=1.5, seed=8) != first


def test_the_consumer_of_a_stream_keeps_its_own_modes() -> None:
    """Between two tokens the model trains and gradients flow, as before."""
    model = build(tiny(dropout=0.5))
    texts = []
    for _ in range(2):
        tokens = []
        for step in stream(model, [1], max_new_tokens=8, temperature=0):
            assert model.training
            assert torch.is_grad_enabled()
            tokens.append(step.token)
        texts.append(tokens)
    assert texts[0] == texts[1]  # dropout was off


def test_an_empty_prompt_begins_anywhere_evenly() -> None:
    model = build(tiny())
    first = next(stream(model, [], max_new_tokens=3, allowed=4, seed=5))
    assert first.probability == pytest.approx(1 / 4)
    starts = Counter(written(model, [], 1, allowed=4, seed=seed)[0] for seed in range(200))
    assert set(starts) == {0, 1, 2, 3}
    assert len(written(model, [], 7)) == 7


def test_an_empty_prompt_can_begin_after_a_given_token() -> None:
    model = build(tiny())
    assert written(model, [], 9, start_id=3, seed=1) == written(model, [3], 9, seed=1)


def test_tokens_that_the_tokenizer_lacks_are_never_written() -> None:
    model = build(tiny())
    assert max(written(model, [10, 9], 60, temperature=5.0, allowed=4)) == 3
    assert written(model, [1], 5, allowed=1) == [0] * 5


def test_stop_sees_what_was_written_and_ends_the_text() -> None:
    model = build(tiny())
    whole = written(model, [1], 30, seed=3)
    seen: list[list[int]] = []

    def after_four(tokens: object) -> bool:
        seen.append(list(tokens))  # type: ignore[call-overload]
        return len(seen[-1]) == 4

    assert written(model, [1], 30, seed=3, stop=after_four) == whole[:4]
    assert seen == [whole[: n + 1] for n in range(4)]


def test_a_heavy_penalty_stops_repetition() -> None:
    model = build(tiny(max_seq_len=64, vocab_size=30))
    plain = written(model, [1], 25, temperature=0)
    penalized = written(model, [1], 25, temperature=0, repetition_penalty=1e6)
    assert len(set(penalized)) > len(set(plain))


def test_no_tokens_wanted_none_written() -> None:
    assert written(build(tiny()), [1], 0) == []


def test_bf16_models_write_too() -> None:
    model = build(tiny(), dtype=torch.bfloat16)
    assert len(written(model, [1, 2], 30)) == 30
    with torch.autocast("cpu", torch.bfloat16):
        assert len(written(build(tiny()), [1, 2], 30)) == 30


def test_a_broken_model_says_so() -> None:
    model = build(tiny())
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    with pytest.raises(BrokenModelError, match="weights are broken"):
        written(model, [1], 1)


@pytest.mark.parametrize(
    ("prompt", "options", "field"),
    [
        ([11], {}, "prompt"), ([-1], {}, "prompt"), ([], {"start_id": 11}, "prompt"),
        ([1], {"allowed": 0}, "allowed"), ([1], {"allowed": 12}, "allowed"),
        ([1], {"temperature": -1.0}, "temperature"), ([1], {"top_p": 0.0}, "top_p"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_before_the_first_token(
    prompt: list[int], options: dict[str, object], field: str
) -> None:
    with pytest.raises(SpecError) as caught:
        stream(build(tiny()), prompt, max_new_tokens=1, **options)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_steps_are_plain_numbers() -> None:
    step = next(stream(build(tiny()), [1], max_new_tokens=1))
    assert isinstance(step, Step)
    assert type(step.token) is int
    assert type(step.probability) is float
    assert all(type(i) is int and type(p) is float for i, p in step.alternatives)
