"""How far the formula of training memory is from the engine's own steps, traced.

python -m benchmarks.memory_formula [COUNT [FIRST]]

Designs and runs are drawn over every option; each is traced through a whole run (a step,
validation, a sample) without allocating. Its fullest moment, and that of its steps alone, are set
against the formula's; the worse counts. A device is drawn too, with a memory within a fifth of the
fullest moment: a verdict "fits" must never be false.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from dataclasses import dataclass

from benchmarks.measure import percentile
from engine.cost.fit import fit
from engine.cost.memory import training_memory
from engine.devices.card import Device
from engine.run_spec import RunSpec, check_run
from engine.spec import ModelSpec, check, divisors
from engine.training.traced_step import traced_run

_COUNT = 300
# Smaller ones are little more than scalars; larger ones are what people do on other machines.
_LEAST_BYTES, _MOST_BYTES = 2 << 20, 1 << 30
_WORST_SHOWN = 5


@dataclass(frozen=True)
class Trial:
    """One design against its trace."""

    seed: int
    predicted_bytes: int
    traced_bytes: int
    step_error: float
    phase: str
    verdict: str
    capacity_bytes: int
    what: str

    @property
    def error(self) -> float:
        """Part of the truth by which the formula is above it: of the run, or of its steps alone."""
        whole = self.predicted_bytes / self.traced_bytes - 1
        return max(whole, self.step_error, key=abs)

    @property
    def false_fit(self) -> bool:
        """The verdict says that it fits, and it doesn't."""
        return self.verdict == "fits" and self.traced_bytes > self.capacity_bytes

    @property
    def false_room(self) -> bool:
        """The same without the verdict's margin."""
        return self.predicted_bytes <= self.capacity_bytes < self.traced_bytes


def drawn(seed: int) -> tuple[ModelSpec, RunSpec]:
    """A random valid design and run whose memory is worth a thought; the same for a seed."""
    rng = random.Random(seed)
    while True:
        spec = random_design(rng)
        run = check_run(random_run(rng, spec), spec)
        if _LEAST_BYTES <= training_memory(spec, run).peak_bytes <= _MOST_BYTES:
            return spec, run


def random_design(rng: random.Random) -> ModelSpec:
    """A valid design with any option."""
    heads, size = rng.randint(1, 16), 2 * rng.randint(4, 64)
    own_size = rng.random() < 0.4
    width = 2 * rng.randint(16, 512) if own_size else heads * size
    return check(
        ModelSpec(
            hidden_dim=width,
            num_layers=rng.randint(1, 8),
            max_seq_len=1_024,
            num_heads=heads,
            num_kv_heads=rng.choice(divisors(heads)),
            head_dim=size if own_size else None,
            qkv_bias=rng.random() < 0.5,
            attention_output_bias=rng.random() < 0.5,
            mlp_dim=max(8, round(width * rng.uniform(0.5, 5))),
            activation=rng.choice(("relu", "gelu", "swiglu", "geglu")),
            mlp_bias=rng.random() < 0.5,
            position=rng.choice(("none", "sinusoidal", "learned", "rope", "alibi")),
            norm=rng.choice(("rmsnorm", "layernorm")),
            norm_position=rng.choice(("pre", "post")),
            dropout=rng.choice((0.0, 0.0, 0.1)),
            vocab_size=round(2 ** rng.uniform(6, 15.6)),
            tied_embeddings=rng.random() < 0.5,
            head_bias=rng.random() < 0.3,
        )
    )


def random_run(rng: random.Random, spec: ModelSpec) -> RunSpec:
    """A run of ``spec`` with any setting that memory depends on."""
    kernels = ("auto", "auto", "materialised", *(() if spec.dropout else ("fused",)))
    return RunSpec(
        batch_size=round(2 ** rng.uniform(0, 6)),
        seq_len=round(2 ** rng.uniform(0, 10)),
        accumulation_steps=rng.choice((1, 1, 2, 3)),
        precision=rng.choice(("fp32", "bf16-mixed", "bf16")),
        optimizer=rng.choice(("adamw", "adamw-8bit", "adafactor", "sgd-momentum", "sgd")),
        gradient_checkpointing=rng.random() < 0.3,
        attention=rng.choice(kernels),
        loss_chunk=rng.choice((None, None, round(2 ** rng.uniform(3, 9)))),
        device=rng.choice(("auto", "cpu")),
        validation_tokens=round(2 ** rng.uniform(4, 17)),
        prompts=("x" * rng.choice((1, 40, 900)),) if rng.random() < 0.5 else (),
        sample_tokens=rng.choice((1, 100, 600)),
    )


def trial(seed: int) -> Trial:
    """Trace one."""
    spec, run = drawn(seed)
    predicted, trace = training_memory(spec, run), traced_run(spec, run)
    capacity = round(trace.peak_bytes * random.Random(-seed - 1).uniform(0.8, 1.2))
    device = Device(run.device, "drawn", "card", 1, capacity, capacity)
    phase = trace.peak_phase
    if phase != predicted.peak_phase:
        phase += f" (predicted: {predicted.peak_phase})"
    return Trial(
        seed=seed,
        predicted_bytes=predicted.peak_bytes,
        traced_bytes=trace.peak_bytes,
        step_error=predicted.step_peak_bytes / trace.step_peak_bytes - 1,
        phase=phase,
        verdict=fit(spec, run, device).verdict,
        capacity_bytes=capacity,
        what=summary(spec, run),
    )


def summary(spec: ModelSpec, run: RunSpec) -> str:
    """Both in a line."""
    again = ", checkpointed" if run.gradient_checkpointing else ""
    again += f", loss by {run.loss_chunk}" if run.loss_chunk else ""
    return (
        f"{run.batch_size} × {run.sequence_length(spec)} × {run.accumulation_steps}, "
        f"{run.precision}, {run.optimizer}, attention {run.attention} on {run.device}{again}; "
        f"{spec.num_layers} layers, {spec.hidden_dim} wide, {spec.num_heads}/{spec.num_kv_heads} "
        f"heads of {spec.head_size}, {spec.activation}, {spec.norm} {spec.norm_position}, "
        f"{spec.position}, dropout {spec.dropout:g}, vocabulary {spec.vocab_size:,}"
    )


def main() -> int:
    """Print the distribution and the worst cases; 1 where the promise is broken."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else _COUNT
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    began = time.perf_counter()
    trials = [trial(seed) for seed in range(first, first + count)]
    errors = sorted(abs(t.error) for t in trials)
    false_fits = sum(t.false_fit for t in trials)
    print(f"{count} drawn designs (seeds from {first}), {time.perf_counter() - began:.0f} s")
    print(
        f"|formula ÷ trace − 1|: median {statistics.median(errors):.5%}, "
        f"95th percentile {percentile(errors, 95):.4%}, largest {errors[-1]:.3%}"
    )
    print(
        f"false verdicts 'fits': {false_fits}; fits by the bare number, but does not: "
        f"{sum(t.false_room for t in trials)}"
    )
    same = sum("predicted" not in t.phase for t in trials)
    print(f"the fullest phase is the predicted one: {same} of {count}")
    for worst in sorted(trials, key=lambda t: abs(t.error), reverse=True)[:_WORST_SHOWN]:
        size = worst.traced_bytes / 2**20
        print(f"  {worst.error:+.3%} of {size:.1f} MiB in {worst.phase}, seed {worst.seed}:")
        print(f"    {worst.what}")
    return int(false_fits > 0 or errors[-1] > 0.02 or statistics.median(errors) > 0.002)


if __name__ == "__main__":
    sys.exit(main())
