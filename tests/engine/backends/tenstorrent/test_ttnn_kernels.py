"""The ttnn kernels: their calls against the installed package, and against a device.

Where ttnn is not installed (it needs Python 3.10 or 3.12) all of it is skipped. The last tests
need a device that ttnn can open: a card (TRICKSTER_TEST_CARD=1), a simulator
(TT_METAL_SIMULATOR), or a mock one (TT_METAL_MOCK_CLUSTER_DESC_PATH), whose results are all zero.
TRICKSTER_TEST_DEVICE names it, where it is no n150.
Nothing here needs torch: ttnn's interpreter may not have it.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.backends.card.initial_weights import initial_weights
from engine.backends.tenstorrent import host_arrays, ttnn_kernels
from engine.backends.tenstorrent.learner import Learner
from engine.backends.tenstorrent.model import open_model
from engine.backends.tenstorrent.numpy_kernels import NumpyKernels
from engine.card_graph.layout import placements
from engine.card_graph.ops import Ops
from engine.run_spec import RunSpec
from engine.spec import ModelSpec
from engine.training.failures import CardError
from tests.engine.card_graph.counting import graph_peak_memory

_MOCK = "TT_METAL_MOCK_CLUSTER_DESC_PATH" in os.environ
_COMPUTES = "TT_METAL_SIMULATOR" in os.environ or "TRICKSTER_TEST_CARD" in os.environ
needs_ttnn = pytest.mark.skipif(
    importlib.util.find_spec("ttnn") is None, reason="ttnn is not installed here"
)
needs_device = pytest.mark.skipif(
    not (_MOCK or _COMPUTES), reason="no Tenstorrent card, simulator or mock device was named"
)
ttnns_files = pytest.mark.leaves_behind("ttnn keeps reports and its MPI's files")
needs_arithmetic = pytest.mark.skipif(
    _MOCK or not _COMPUTES, reason="no Tenstorrent card or simulator was named"
)

SPECS = {
    "llama": ModelSpec(
        hidden_dim=64, num_layers=2, num_heads=4, num_kv_heads=2, mlp_dim=96, max_seq_len=64,
        vocab_size=65, dropout=0.1,
    ),
    "gpt-2": ModelSpec(
        hidden_dim=64, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=128, max_seq_len=40,
        vocab_size=96, position="learned", activation="gelu", norm="layernorm", qkv_bias=True,
        attention_output_bias=True, mlp_bias=True,
    ),
    "original": ModelSpec(
        hidden_dim=64, num_layers=1, num_heads=2, num_kv_heads=2, mlp_dim=128, max_seq_len=64,
        vocab_size=64, position="sinusoidal", activation="relu", norm="layernorm",
        norm_position="post", tied_embeddings=False, head_bias=True,
    ),
    "alibi": ModelSpec(
        hidden_dim=64, num_layers=1, num_heads=4, num_kv_heads=1, mlp_dim=96, max_seq_len=64,
        vocab_size=64, position="alibi", activation="geglu",
    ),
}  # fmt: skip


def uses() -> Iterator[tuple[str, ast.Call | None]]:
    """Every attribute of ttnn that the kernels name, with its call where it is called."""
    tree = ast.parse(Path(ttnn_kernels.__file__).read_text(encoding="utf-8"))
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found = re.fullmatch(r"(?:self\._)?ttnn\.([\w.]+)", ast.unparse(node))
            if found is not None:
                yield found[1], called.get(id(node))


def parameters_of(operation: Any) -> list[set[str]]:
    """Names of the parameters of each overload, from the signature that nanobind keeps."""
    function = getattr(operation, "function", operation)
    signed = function if hasattr(function, "__nb_signature__") else type(function).__call__
    if not hasattr(signed, "__nb_signature__"):  # a function written in Python
        code = function.__code__
        return [set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])]
    return [set(re.findall(r"(\w+): ", overload[0])) for overload in signed.__nb_signature__]


def test_the_kernels_name_ttnn_at_all() -> None:
    names = [name for name, _ in uses()]
    assert {"matmul", "softmax", "silu_bw", "eq", "rand"} < set(names)


@needs_ttnn
def test_every_operation_exists_and_takes_the_keywords_that_it_is_given() -> None:
    import ttnn

    for name, call in uses():
        operation = attrgetter(name)(ttnn)  # raises AttributeError
        if call is not None:
            given = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
            operation = ttnn.Tensor.__init__ if name == "Tensor" else operation
            overloads = parameters_of(operation)
            assert any(given <= overload for overload in overloads), (name, given, overloads)


@needs_ttnn
@needs_device
@ttnns_files
def test_a_device_is_opened_for_training_unless_it_is_a_mock() -> None:
    device = os.environ.get("TRICKSTER_TEST_DEVICE", "n150:0")
    run = RunSpec(precision="bf16-mixed", device=device)
    if _MOCK:
        with pytest.raises(CardError, match="mock device"):
            open_model(SPECS["llama"], run)
        return
    model = open_model(SPECS["llama"], run)
    assert "ttnn" in model.versions
    model.close()


@pytest.fixture(scope="module")
def card() -> Iterator[Ops]:
    with ttnn_kernels.opened(0) as ops:
        yield ops


def batch(spec: ModelSpec, seed: int) -> tuple[Any, Any]:
    ids = np.random.default_rng(seed).integers(spec.vocab_size, size=(2, spec.max_seq_len + 1))
    return ids[:, :-1], ids[:, 1:]


@needs_ttnn
@needs_device
@ttnns_files
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16"])
@pytest.mark.parametrize("name", SPECS)
def test_a_device_takes_every_operation_and_its_allocator_agrees_with_the_ledger(
    card: Ops, name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ttnn

    spec, run = SPECS[name], RunSpec(batch_size=2, accumulation_steps=2, precision=precision)
    device = card.kernels._device  # type: ignore[attr-defined]

    def allocated() -> int:
        view = ttnn.get_memory_view(device, ttnn.BufferType.DRAM)
        return int(view.total_bytes_allocated_per_bank * view.num_banks)

    before, known = allocated(), card.ledger.live_bytes
    learner = Learner(spec, run, card, initial_weights(spec, 0))
    learner.update([batch(spec, 0), batch(spec, 1)], 2, 1e-3)
    resident, most = allocated() - before, 0
    new = Ops._new

    def watched(self: Ops, *arguments: Any) -> Any:
        nonlocal most
        tensor, taken = new(self, *arguments), allocated() - before
        most = max(most, taken)
        assert taken == self.ledger.live_bytes - known
        return tensor

    card.ledger.watch()
    monkeypatch.setattr(Ops, "_new", watched)
    learner.update([batch(spec, 2), batch(spec, 3)], 2, 1e-3)
    monkeypatch.undo()
    counted = graph_peak_memory(spec, run, card.banks)
    assert counted.resident_bytes == resident
    said = card.ledger.allocated_peak_bytes
    assert said == most + before, "it was asked at the very moment of the peak"
    # What operations had for themselves, and gave back before anyone could look, comes on top.
    assert most <= counted.peak_bytes <= 1.05 * most
    inputs, targets = batch(spec, 4)
    assert learner.validation_loss([(inputs, targets)])[1] == targets.size
    assert learner.decoder.next_logits(inputs[0, :33]).shape == (spec.vocab_size,)
    learner.load(learner.export_weights(), learner.export_state(), 2)
    del learner
    assert allocated() == before


@needs_ttnn
@needs_arithmetic
@ttnns_files
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16"])
@pytest.mark.parametrize("name", SPECS)
def test_a_device_learns_as_numpy_does(card: Ops, name: str, precision: str) -> None:
    """Within bf16: gradients point the same way, and twelve steps lose as much."""
    spec = SPECS[name].replace(init_std=0.1, dropout=0.0)  # masks differ from numpy's
    run = RunSpec(batch_size=2, precision=precision, learning_rate=3e-3)
    start, losses, gradients = initial_weights(spec, 1), {}, {}
    for kind, ops in (("numpy", Ops(NumpyKernels())), ("card", card)):
        learner = Learner(spec, run, ops, start)
        learner.gradients([batch(spec, 0)], 1)
        gradients[kind] = {
            key: host_arrays.take(placements(spec)[key], ops.download(gradient))
            for key, gradient in learner.held_gradients().items()
        }
        losses[kind] = [learner.update([batch(spec, 0)], 1, 3e-3).loss for _ in range(12)]
    for key, exact in gradients["numpy"].items():
        found, length = gradients["card"][key], np.linalg.norm(exact)
        if length > 1e-6:  # a key's bias has no gradient but rounding
            cosine = float((found * exact).sum() / (np.linalg.norm(found) * length))
            assert cosine > 0.995, key
    np.testing.assert_allclose(losses["card"], losses["numpy"], rtol=0.05)
    assert losses["card"][-1] < 0.75 * losses["card"][0]
