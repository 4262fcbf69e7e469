"""How fast our training step is beside that of a plain, fused-QKV transformer of equal arithmetic.

    python -m benchmarks.training_step [--rounds 12] [--threads 1] [--batch 8]

Machines differ and are shared, so only ratios mean anything: the two take turns, step by step, and
each round gives one ratio (above 1: ours is faster). On one thread the clock counts the processor
time of this process only, which other programs disturb far less than elapsed time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 (its usual name)
from torch import Tensor, nn

from engine.backends.torch_backend import TorchBackend
from engine.models.decoder import build
from engine.spec import ModelSpec


@dataclass(frozen=True)
class Shape:
    """One size of model and batch."""

    name: str
    spec: ModelSpec
    batch_size: int
    seq_len: int


def shapes(batch_size: int) -> tuple[Shape, ...]:
    """The lesson's model, and the one of the first minute."""
    small = ModelSpec(
        hidden_dim=128, num_layers=4, num_heads=4, num_kv_heads=4, mlp_dim=352, max_seq_len=64,
        vocab_size=256,
    )  # fmt: skip
    return (
        Shape(f"nano-trickster {batch_size}×512", ModelSpec(), batch_size, 512),
        Shape("first-minute 12×64", small, 12, 64),
    )


class PlainBlock(nn.Module):
    """Pre-LayerNorm, one matrix for query, key and value, two-matrix GELU feed-forward."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        q, k, v = self.qkv(self.norm_1(x)).split(width, dim=2)
        q, k, v = (
            part.view(batch, count, self.heads, width // self.heads).transpose(1, 2)
            for part in (q, k, v)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, count, width))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class Plain(nn.Module):
    """Learned positions, tied head; as many multiplications as ``spec``'s design.

    Its feed-forward is 3/2 as wide, since it has two matrices where a gated one has three.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        width = spec.hidden_dim
        self.tokens = nn.Embedding(spec.vocab_size, width)
        self.positions = nn.Embedding(spec.max_seq_len, width)
        inner = spec.mlp_dim * 3 // 2
        self.blocks = nn.Sequential(
            *(PlainBlock(width, spec.num_heads, inner) for _ in range(spec.num_layers))
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        places = torch.arange(inputs.shape[1])
        x = self.blocks(self.tokens(inputs) + self.positions(places))
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def stepper(
    model: nn.Module, loss_of: Callable[[Tensor, Tensor], Tensor], shape: Shape, mixed: bool
) -> Callable[[], float]:
    """A function that does one update and returns its seconds."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    tokens = torch.randint(shape.spec.vocab_size, (shape.batch_size, shape.seq_len + 1))

    def step() -> float:
        began = clock()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext():
            loss = loss_of(tokens[:, :-1], tokens[:, 1:])
        loss.backward()
        optimizer.step()
        return clock() - began

    return step


def ratios(shape: Shape, mixed: bool, rounds: int) -> tuple[list[float], float]:
    """Plain time over ours, round by round, and the median seconds of our step."""
    ours, plain = build(shape.spec), Plain(shape.spec)
    ours.attention_in_fp32 = TorchBackend(
        torch.device("cpu"), "bf16-mixed" if mixed else "fp32"
    ).attention_in_fp32  # as training sets it
    steps = {
        "ours": stepper(ours, lambda x, y: ours(x, y).loss, shape, mixed),
        "plain": stepper(plain, plain, shape, mixed),
    }
    for step in steps.values():
        step()
        step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds):
        order = list(steps) if turn % 2 else list(reversed(steps))
        for name in order:
            times[name].append(steps[name]())
    found = [b / a for a, b in zip(times["ours"], times["plain"], strict=True)]
    return found, statistics.median(times["ours"])


def main() -> None:
    """Print one line a shape and precision: median ratio and its quartiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=12, help="turns of each shape and precision")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--batch", type=int, default=8, help="sequences of the larger shape")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    for shape in shapes(chosen.batch):
        rounds = chosen.rounds * max(1, 4096 // (shape.batch_size * shape.seq_len))
        for mixed in (False, True):
            found, step_s = ratios(shape, mixed, rounds)
            low, middle, high = statistics.quantiles(found, n=4)
            speed = shape.batch_size * shape.seq_len / step_s
            print(
                f"{shape.name:22} {'bf16 mixed' if mixed else 'fp32':10} ours/plain speed "
                f"{middle:.2f} ({low:.2f} – {high:.2f}), {speed:,.0f} tokens/s, {rounds} rounds"
            )


if __name__ == "__main__":
    main()
