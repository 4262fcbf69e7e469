"""How near the predicted time of a step comes to the measured one, over many designs.

This computer is calibrated first (about 10 s for each precision). Then every design is trained in
a process of its own, as a run is, for some dozens of steps or a few seconds, and its median step
is held against what was predicted for it. A product of matrices that is measured before each
design tells whether the machine itself has changed meanwhile: where it is far from its median,
the figure beside it says more about the machine than about the prediction.

    python -m benchmarks.step_time [--precision fp32 bf16-mixed] [--only NAME …] [--seconds 3]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.measure import spread
from engine.cost.calibration import Calibration
from engine.cost.parameters import count
from engine.cost.time import measured_step
from engine.launch import worker_environment
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

_WARM_UP, _MOST_STEPS, _LEAST_STEPS = 2, 80, 5


def _design(
    width: int, layers: int, seq_len: int, vocab_size: int, batch_size: int,
    run: dict[str, str | int | bool] | None = None, **others: str | bool | int,
) -> tuple[ModelSpec, RunSpec]:  # fmt: skip
    gated = others.get("activation", "swiglu") in ("swiglu", "geglu")
    heads = max(2, width // 64)
    spec = ModelSpec(
        hidden_dim=width, num_layers=layers, max_seq_len=seq_len, vocab_size=vocab_size,
        num_heads=heads, num_kv_heads=int(others.get("num_heads", heads)),
        mlp_dim=-(-8 * width // 3 // 32) * 32 if gated else 4 * width,
    )  # fmt: skip
    return spec.replace(**others), RunSpec(batch_size=batch_size).replace(**(run or {}))


_GPT = {
    "activation": "gelu", "norm": "layernorm", "position": "learned", "qkv_bias": True,
    "attention_output_bias": True, "mlp_bias": True,
}  # fmt: skip
# From half a million to sixty million parameters.
DESIGNS = {
    "first-minute": _design(
        128, 4, 64, 256, 12, num_heads=4, activation="gelu", norm="layernorm", position="learned"
    ),
    "smallest": _design(96, 4, 128, 80, 8, num_heads=3, activation="gelu", position="sinusoidal"),
    "narrow and deep": _design(64, 16, 128, 128, 8, num_heads=4),
    "wide and shallow": _design(512, 1, 64, 256, 8),
    "one sequence": _design(128, 6, 64, 256, 1, num_heads=4),
    "nano": _design(256, 6, 512, 256, 4, num_heads=8, mlp_dim=768),
    "large batch": _design(256, 6, 256, 256, 16, num_heads=8, mlp_dim=768),
    "accumulation": _design(
        256, 6, 256, 256, 4, {"accumulation_steps": 3}, num_heads=8, mlp_dim=768
    ),
    "checkpointing": _design(
        256, 6, 256, 256, 8, {"gradient_checkpointing": True}, num_heads=8, mlp_dim=768
    ),
    "8 k tokens": _design(192, 4, 128, 8_192, 8, num_heads=6),
    "32 k tokens": _design(256, 4, 128, 32_000, 4),
    "32 k tokens, untied": _design(320, 5, 256, 32_000, 4, tied_embeddings=False),
    "GPT, 10 M": _design(384, 6, 256, 512, 4, **_GPT),
    "post-norm": _design(
        256, 4, 128, 1_024, 8, num_heads=8, activation="relu", norm="layernorm",
        position="sinusoidal", norm_position="post",
    ),
    "ALiBi": _design(256, 4, 256, 1_024, 6, num_heads=8, activation="geglu", position="alibi"),
    "grouped heads": _design(384, 6, 256, 4_096, 4, num_kv_heads=2),
    "one key head, 1 k long": _design(256, 4, 1_024, 256, 2, num_heads=8, num_kv_heads=1),
    "2 k long": _design(192, 4, 2_048, 256, 1, num_heads=6),
    "many short": _design(192, 6, 32, 256, 64, num_heads=6),
    "GeGLU, 20 M": _design(512, 6, 256, 1_024, 3, activation="geglu"),
    "Llama, 25 M": _design(512, 6, 256, 8_192, 4, num_kv_heads=4),
    "GPT, 30 M": _design(576, 7, 128, 2_048, 4, **_GPT),
    "wide, 40 M": _design(768, 5, 128, 4_096, 4, activation="gelu"),
    "deep, 55 M": _design(640, 10, 128, 8_192, 4),
    "GPT, 57 M, checkpointing": _design(
        512, 10, 256, 50_257, 2, {"gradient_checkpointing": True}, activation="gelu",
        norm="layernorm", position="learned",
    ),
    "SGD": _design(320, 4, 128, 1_000, 8, {"optimizer": "sgd"}),
    "momentum": _design(320, 8, 64, 1_000, 4, {"optimizer": "sgd-momentum"}),
    "heads of 128": _design(384, 4, 256, 256, 4, num_heads=4, num_kv_heads=4, head_dim=128),
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """One design in one precision."""

    name: str
    predicted_s: float
    low_s: float
    high_s: float
    measured_s: float
    machine: float

    @property
    def error(self) -> float:
        """Predicted ÷ measured − 1."""
        return self.predicted_s / self.measured_s - 1

    @property
    def within(self) -> bool:
        """Whether the measured time lies in the predicted range."""
        return self.low_s <= self.measured_s <= self.high_s


def summary(outcomes: Sequence[Outcome]) -> str:
    """Median, quartiles and worst of the absolute errors, and how many ranges held."""
    found = spread([abs(outcome.error) for outcome in outcomes])
    worst = max(outcomes, key=lambda outcome: abs(outcome.error))
    held = sum(outcome.within for outcome in outcomes)
    return (
        f"error: median {found.median:.1%}, quartiles {found.low:.1%} to {found.high:.1%}, "
        f"worst {worst.error:+.1%} ({worst.name}); {held} of {len(outcomes)} within their range"
    )


def line(outcome: Outcome, spec: ModelSpec) -> str:
    """A design's own line."""
    mark = " " if outcome.within else "*"
    return (
        f"{outcome.name:26}{count(spec).total / 1e6:6.1f} M {1e3 * outcome.predicted_s:9.1f} ms "
        f"{1e3 * outcome.measured_s:9.1f} ms {outcome.error:+7.1%}{mark}  ×{outcome.machine:.2f}"
    )


# In a process of its own


def trained(name: str, precision: str, seconds: float) -> list[float]:
    """Times of single steps of a design, after the first ones."""
    import torch

    from engine.backends.torch_backend import open_backend
    from engine.models.decoder import build
    from engine.training.update import Learner

    spec, run = DESIGNS[name]
    run = run.replace(precision=precision)
    backend = open_backend("cpu", precision)
    model = build(spec, dtype=backend.weight_dtype)
    model.gradient_checkpointing = run.gradient_checkpointing
    model.attention_in_fp32 = backend.attention_in_fp32
    learner = Learner(model, run, backend.autocast)
    shape = (run.batch_size, run.sequence_length(spec))
    batches = [
        (torch.randint(spec.vocab_size, shape), torch.randint(spec.vocab_size, shape))
        for _ in range(run.accumulation_steps)
    ]
    times: list[float] = []
    end = math.inf
    while len(times) < _WARM_UP + _LEAST_STEPS or (
        time.perf_counter() < end and len(times) < _MOST_STEPS
    ):
        began = time.perf_counter()
        loss = learner.gradients(batches, run.accumulation_steps)
        torch.stack((loss, learner.clip())).tolist()
        learner.apply(1e-4)
        times.append(time.perf_counter() - began)
        if len(times) == _WARM_UP:
            end = time.perf_counter() + seconds
    return times[_WARM_UP:]


def anchor() -> float:
    """Seconds for the same product of matrices each time: what the machine itself does.

    On one thread: how long others take to wake is another matter.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    matrix, times = torch.ones(768, 768), []
    for _ in range(30):
        began = time.perf_counter()
        torch.mm(matrix, matrix)
        times.append(time.perf_counter() - began)
    torch.set_num_threads(threads)
    return statistics.median(times)


def in_its_own_process(*arguments: str) -> object:
    """What this module prints as JSON when it is run with ``arguments``."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.step_time", *arguments],
        env=worker_environment() | {"TRICKSTER_HOME": os.environ["TRICKSTER_HOME"]},
        stdout=subprocess.PIPE, check=True, text=True,
    )  # fmt: skip
    return json.loads(done.stdout.strip().splitlines()[-1])


def measured(name: str, precision: str, seconds: float, calibration: Calibration) -> Outcome:
    """Predict, then train."""
    spec, run = DESIGNS[name]
    predicted = measured_step(spec, run.replace(precision=precision), calibration)
    assert predicted is not None, "it was calibrated in this precision"
    answer = in_its_own_process("--train", name, precision, str(seconds))
    assert isinstance(answer, dict)
    times = statistics.median(answer["times"])
    ends = predicted.low, predicted.high
    return Outcome(name, predicted.seconds, *ends, times, answer["anchor"])


def compare(precision: str, names: Sequence[str], seconds: float) -> list[Outcome]:
    """Calibrate, then measure every design; prints as it goes on."""
    from engine.cost.calibration import load_calibration

    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "engine", "calibrate", "--precision", precision, "--device", "cpu"],
        env=worker_environment(), check=True,
    )  # fmt: skip
    print(f"calibrated in {time.perf_counter() - began:.1f} s, torch's start with it")
    calibration = load_calibration()
    assert calibration is not None, "it was just made"
    outcomes = [measured(name, precision, seconds, calibration) for name in names]
    usual = statistics.median(outcome.machine for outcome in outcomes)
    print(f"\n{precision:35}  predicted     measured   error   machine")
    for outcome in outcomes:
        relative = Outcome(**{**vars(outcome), "machine": outcome.machine / usual})
        print(line(relative, DESIGNS[outcome.name][0]))
    print(summary(outcomes), flush=True)
    return outcomes


def main() -> None:
    """Print a line a design and a summary for each precision."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16-mixed"])
    parser.add_argument("--only", nargs="+", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--seconds", type=float, default=3.0, help="for each design")
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.train:
        name, precision, seconds = chosen.train
        print(json.dumps({"anchor": anchor(), "times": trained(name, precision, float(seconds))}))
        return
    with tempfile.TemporaryDirectory() as home:
        os.environ["TRICKSTER_HOME"] = home  # a person's own calibration stays as it is
        for precision in chosen.precision:
            compare(precision, chosen.only, chosen.seconds)


if __name__ == "__main__":
    main()
