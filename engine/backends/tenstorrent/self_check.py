"""Whether a card computes what it should, asked before it is trusted with a run.

Two tiny designs, which together use every operation, learn for a few steps on the card and in
numpy's 64 bits. Drivers, firmware, compiler and ttnn all take part, so a pair of them that does
not fit shows here, and not as a loss that falls a little less than it could.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.backends.card.initial_weights import initial_weights
from engine.backends.tenstorrent import host_arrays
from engine.backends.tenstorrent.learner import Learner
from engine.backends.tenstorrent.numpy_kernels import NumpyKernels
from engine.card_graph.kernels import Array, Ids
from engine.card_graph.layout import placements
from engine.card_graph.ops import Ops
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

_LLAMA = ModelSpec(
    hidden_dim=64, num_layers=1, num_heads=2, num_kv_heads=1, mlp_dim=96, max_seq_len=32,
    vocab_size=65, init_std=0.1,
)  # fmt: skip
_GPT2 = ModelSpec(
    hidden_dim=64, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=96, max_seq_len=32,
    vocab_size=64, init_std=0.1, position="learned", norm="layernorm", activation="gelu",
    qkv_bias=True, mlp_bias=True,
)  # fmt: skip
_DESIGNS = {"llama": _LLAMA, "gpt-2": _GPT2, "relu": _GPT2.replace(activation="relu")}
_RUN = RunSpec(precision="bf16-mixed", batch_size=2, learning_rate=3e-3)
_STEPS = 4
# On simulated Wormhole and Blackhole chips the smallest cosine is 0.9973 (the ReLU design), and no
# loss is off by more than 0.14 %.
_LEAST_COSINE, _MOST_LOSS_ERROR = 0.99, 0.05
# Gradients shorter than this part of the whole are nothing but rounding (a key's bias).
_NEGLIGIBLE = 1e-4
_FP32_ERROR = 2.0**-22
_DROPPED, _DROPPED_TOLERANCE = 0.25, 0.02


@dataclass(frozen=True)
class SelfCheck:
    """What was found.

    Attributes:
        problem: what is wrong, in a sentence for a person; empty where nothing is.
        worst_cosine: the smallest cosine between a weight's gradient here and in numpy.
        worst_weight: the design and the weight that has it.
        worst_loss_error: the largest relative error of a loss.
    """

    problem: str
    worst_cosine: float
    worst_weight: str
    worst_loss_error: float


def self_check(ops: Ops) -> SelfCheck:
    """Compare ``ops`` with exact arithmetic. The first time on a card its programs are compiled."""
    cosines: dict[str, float] = {}
    errors: list[float] = []
    for name, spec in _DESIGNS.items():
        found, losses = _learn(ops, spec)
        expected, exact_losses = _learn(Ops(NumpyKernels()), spec)
        for weight, cosine in _cosines(found, expected).items():
            cosines[f"{name}: {weight}"] = cosine
        errors += [abs(loss / exact - 1) for loss, exact in zip(losses, exact_losses, strict=True)]
    worst = min(cosines, key=lambda weight: cosines[weight])
    error = max(errors)
    problem = (
        _gradient_problem(worst, cosines[worst]) or _loss_problem(error)
        or _precision_problem(ops) or _mask_problem(ops)
    )  # fmt: skip
    return SelfCheck(problem, cosines[worst], worst, error)


def _learn(ops: Ops, spec: ModelSpec) -> tuple[dict[str, Array], list[float]]:
    """Gradients of the first step by weight, and the losses of all."""
    learner = Learner(spec, _RUN, ops, initial_weights(spec, 0))
    inputs, targets = _batch(spec)
    loss = learner.gradients([(inputs, targets)], 1)
    ops.free(loss)
    gradients = {
        name: host_arrays.take(placements(spec)[name], ops.download(gradient))
        for name, gradient in learner.held_gradients().items()
    }
    updates = [learner.update([(inputs, targets)], 1, _RUN.learning_rate) for _ in range(_STEPS)]
    return gradients, [update.loss for update in updates]


def _batch(spec: ModelSpec) -> tuple[Ids, Ids]:
    ids = np.random.default_rng(1).integers(spec.vocab_size, size=(2, spec.max_seq_len + 1))
    return ids[:, :-1], ids[:, 1:]


def _cosines(found: dict[str, Array], expected: dict[str, Array]) -> dict[str, float]:
    """By weight; 0 where a gradient is zero or no number and should not be."""
    lengths = {name: float(np.linalg.norm(gradient)) for name, gradient in expected.items()}
    whole = float(np.linalg.norm(list(lengths.values())))
    cosines = {}
    for name, length in lengths.items():
        if length > _NEGLIGIBLE * whole:
            product = float(np.linalg.norm(found[name])) * length
            cosine = float((found[name] * expected[name]).sum()) / product if product else 0.0
            cosines[name] = cosine if np.isfinite(cosine) else 0.0
    return cosines


def _gradient_problem(weight: str, cosine: float) -> str:
    if cosine >= _LEAST_COSINE:
        return ""
    if cosine == 0:
        return (
            f"the gradient of {weight} is zero or no number: this is no working card (a mock "
            "device of ttnn computes nothing)"
        )
    return (
        f"the gradient of {weight} points elsewhere than it should (cosine {cosine:.3f}): the "
        "installed ttnn, firmware and driver do not compute correctly together"
    )


def _loss_problem(error: float) -> str:
    if error <= _MOST_LOSS_ERROR:  # false for NaN
        return ""
    return f"a loss is {error:.0%} off what it should be: the card's arithmetic cannot be trusted"


def _precision_problem(ops: Ops) -> str:
    """fp32 weights must keep 24 bits through upload, arithmetic and download.

    A matrix unit keeps 11 of them; whatever takes its path would let small updates vanish.
    """
    generator = np.random.default_rng(3)
    a, b = generator.standard_normal((2, 1, 1, 64, 64)).astype(np.float32)
    x, y = ops.upload(a, "fp32"), ops.upload(b, "fp32")
    results = {
        "moved to the card and back": (ops.download(x), a),
        "added": (ops.download(ops.add(x, y)), a + b),
        "subtracted": (ops.download(ops.subtract(x, y)), a - b),
        "multiplied": (ops.download(ops.multiply(x, y)), a * b),
        "multiplied by a number": (ops.download(ops.scale(x, 0.1)), a * np.float32(0.1)),
    }
    for done, (found, expected) in results.items():
        error = float(np.abs(found - expected).max())
        if not error <= _FP32_ERROR * float(np.abs(expected).max()):
            return f"fp32 numbers lose digits when they are {done}: weights would stop moving"
    large = np.arange(2**20 - 32, 2**20, dtype=np.float32)
    column = ops.upload(large.reshape(1, 1, 32, 1), "fp32")
    row = ops.upload(large.reshape(1, 1, 1, 32), "fp32")
    if not np.array_equal(ops.download(ops.equal(column, row, "bf16"))[0, 0], np.eye(32)):
        return "token ids are confused with their neighbours: a large vocabulary cannot be learned"
    return ""


def _mask_problem(ops: Ops) -> str:
    """Dropout needs masks that one seed repeats, another changes, and that drop enough."""
    shape = (1, 1, 256, 256)
    drawn = [ops.download(ops.keep_mask(shape, _DROPPED, seed)) for seed in (5, 5, 6)]
    if not np.array_equal(drawn[0], drawn[1]):
        return "the same seed draws two different masks for dropout: it cannot be trained with"
    if np.array_equal(drawn[0], drawn[2]):
        return "two seeds draw the same mask for dropout: it cannot be trained with"
    dropped = float((drawn[0] == 0).mean())
    if abs(dropped - _DROPPED) > _DROPPED_TOLERANCE:
        return f"dropout of {_DROPPED:.0%} drops {dropped:.0%}: it cannot be trained with"
    return ""
