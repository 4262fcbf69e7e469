"""Devices, precisions and random states."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.backends import torch_backend
from engine.backends.cpu_threads import default_threads, quota_cores
from engine.backends.torch_backend import (
    check_precision,
    is_out_of_memory,
    open_backend,
    torch_can_use,
)
from engine.parameter import SpecError

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["tpu", "", "cuda:99", "cpu:x", "meta", "xla"])
def test_devices_that_are_not_here_are_refused(name: str) -> None:
    assert not torch_can_use(name)
    with pytest.raises(SpecError) as caught:
        open_backend(name, "fp32", threads=1)
    assert caught.value.field == "device"
    assert caught.value.fix == {"device": "auto"}


def test_a_random_state_comes_back() -> None:
    backend = open_backend("cpu", "fp32", threads=1, seed=3)
    state = backend.random_state()
    first = torch.rand(5)
    backend.set_random_state(state)
    assert torch.equal(torch.rand(5), first)


def test_what_is_drawn_inside_leaves_no_trace() -> None:
    backend = open_backend("cpu", "fp32", threads=1, seed=3)
    expected = torch.rand(5)
    backend = open_backend("cpu", "fp32", threads=1, seed=3)
    with backend.random_state_kept():
        torch.rand(7)
    assert torch.equal(torch.rand(5), expected)


@pytest.mark.parametrize("state", [{}, {"cpu": "AAAA"}, {"cpu": "ü"}, {"cpu": ""}])
def test_a_state_that_is_none_is_refused(state: dict[str, str]) -> None:
    backend = open_backend("cpu", "fp32", threads=1)
    with pytest.raises(ValueError, match="not a random state"):
        backend.set_random_state(state)


@pytest.mark.parametrize("precision", ["bf16", "bf16-mixed"])
def test_bf16_needs_hardware_that_has_it(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setattr(torch_backend, "_has_bf16", lambda device: False)
    with pytest.raises(SpecError, match="no bf16 arithmetic") as caught:
        check_precision(CPU, precision)
    assert caught.value.fix == {"precision": "fp32"}
    check_precision(CPU, "fp32")
    monkeypatch.setattr(torch_backend, "_has_bf16", lambda device: True)
    check_precision(CPU, precision)


def test_mixed_precision_computes_products_in_bf16_and_keeps_weights_in_fp32() -> None:
    backend = torch_backend.TorchBackend(CPU, "bf16-mixed")
    assert backend.weight_dtype == torch.float32
    with backend.autocast():
        assert (torch.ones(4, 4) @ torch.ones(4, 4)).dtype == torch.bfloat16
    assert torch_backend.TorchBackend(CPU, "bf16").weight_dtype == torch.bfloat16


def test_memory_errors_are_recognised() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_free_memory_is_told() -> None:
    free = open_backend("cpu", "fp32", threads=1).free_memory_bytes()
    assert free is not None
    assert free > 1 << 20


@pytest.mark.parametrize(
    ("text", "cores"),
    [("max 100000\n", None), ("250000 100000\n", 2), ("50000 100000\n", 1), ("junk", None),
     ("1 0", None), ("", None)],
)  # fmt: skip
def test_a_containers_quota_bounds_the_threads(
    tmp_path: Path, text: str, cores: int | None
) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert quota_cores(file) == cores
    assert 1 <= default_threads(file) <= (cores or 1_024)
    assert quota_cores(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("precision", "flags", "expected"),
    [
        ("fp32", {"avx512_bf16": True}, False),
        ("bf16-mixed", {"avx512_bf16": True}, True),
        ("bf16", {"avx512_bf16": True}, True),
        ("bf16", {"avx512_bf16": True, "amx_bf16": True}, False),
    ],
)
def test_attention_is_computed_in_fp32_where_16_bit_products_have_no_matrix_unit(
    monkeypatch: pytest.MonkeyPatch, precision: str, flags: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr(torch_backend, "_cpu_flags", lambda: flags)
    assert torch_backend.TorchBackend(CPU, precision).attention_in_fp32 is expected
