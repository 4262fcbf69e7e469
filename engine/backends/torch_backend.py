"""CPU, CUDA and MPS as training needs them: precision, random state, determinism, memory errors."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from engine.backends.cpu_threads import default_threads
from engine.devices.host import free_memory_bytes
from engine.locations import cache_home
from engine.parameter import SpecError

_OUT_OF_MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


@dataclass(frozen=True)
class TorchBackend:
    """A device with a precision. Make one with ``open_backend``."""

    device: torch.device
    precision: str

    @property
    def weight_dtype(self) -> torch.dtype:
        """What the model's weights are kept in (fp32 masters come on top for pure bf16)."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @property
    def attention_in_fp32(self) -> bool:
        """Whether attention's scores are computed in fp32 though the model is in 16 bits.

        On CPUs whose 16-bit products have no matrix unit (AMX), the backward pass of 16-bit
        attention takes longer than casting and the fp32 one. With AMX it was not measured.
        """
        if self.device.type != "cpu" or self.precision == "fp32":
            return False
        return not any(_cpu_flags().get(name) for name in ("amx_bf16", "amx_tile"))

    def autocast(self) -> AbstractContextManager[Any]:
        """What forward passes run in."""
        if self.precision == "bf16-mixed":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def random_state(self) -> dict[str, str]:
        """States of the global random generators that dropout draws from, as base64."""
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        elif self.device.type == "mps":
            states["mps"] = torch.mps.get_rng_state()
        return {name: _encode(state) for name, state in states.items()}

    def set_random_state(self, states: Mapping[str, str]) -> None:
        """Put back what ``random_state`` gave; raise ValueError for anything else."""
        try:
            torch.set_rng_state(_decode(states["cpu"]))
            if self.device.type == "cuda" and "cuda" in states:
                torch.cuda.set_rng_state(_decode(states["cuda"]), self.device)
            elif self.device.type == "mps" and "mps" in states:
                torch.mps.set_rng_state(_decode(states["mps"]))
        except (KeyError, TypeError, RuntimeError, ValueError) as error:
            raise ValueError(f"not a random state: {error}") from error

    @contextmanager
    def random_state_kept(self) -> Iterator[None]:
        """Whatever is drawn inside leaves no trace in the random numbers of training."""
        before = self.random_state()
        try:
            yield
        finally:
            self.set_random_state(before)

    def free_memory_bytes(self) -> int | None:
        """Memory that a new run could take now; None where the device does not tell."""
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[0])
        return free_memory_bytes()

    def synchronize(self) -> None:
        """Wait until the device has done everything asked of it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


def open_backend(
    device: str, precision: str, *, threads: int | None = None, seed: int = 0
) -> TorchBackend:
    """Make ``device`` (cpu, cuda:N, mps) ready for training in ``precision``.

    Sets the number of CPU threads, the seed of the global generators and deterministic kernels,
    all of which a resumed run needs to be the same. Raises SpecError for a device that is not
    there or a precision that it has no hardware for.
    """
    # cuBLAS is deterministic only with a fixed workspace, which it reads once, before its start.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    keep_compiled_code()
    chosen = _torch_device(device)
    torch.set_num_threads(threads or default_threads())
    check_precision(chosen, precision)
    if chosen.type == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(seed)
    return TorchBackend(chosen, precision)


def keep_compiled_code() -> None:
    """Give torch's compiler a lasting place: a resumed run does not compile again.

    Torch's own place is in the folder for temporary files, and it makes it as soon as the
    compiler is loaded, whether anything is compiled or not.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_home() / "torch-compile"))


def torch_can_use(name: str) -> bool:
    """Whether the installed torch can compute on ``name``."""
    try:
        _torch_device(name)
    except SpecError:
        return False
    return True


def _torch_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SpecError("device", f"{name[:40]!r} is not a device", {"device": "auto"}) from None
    if device.type == "cpu":
        return torch.device("cpu")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = device.index or 0
        if index < count:
            return torch.device("cuda", index)
        message = f"{name} is not here: torch sees {count} CUDA devices"
        raise SpecError("device", message, {"device": "auto"})
    if device.type == "mps" and torch.backends.mps.is_available():
        return torch.device("mps")
    raise SpecError("device", f"torch cannot train on {name} here", {"device": "auto"})


def check_precision(device: torch.device, precision: str) -> None:
    """Raise SpecError where ``device`` cannot compute in ``precision`` faster than in fp32."""
    if precision == "fp32" or _has_bf16(device):
        return
    what = {"cuda": "This CUDA device (compute capability below 8.0)", "cpu": "This processor"}
    who = what.get(device.type, f"This device ({device.type})")
    raise SpecError(
        "precision",
        f"{who} has no bf16 arithmetic: training would be slower and less exact than in fp32",
        {"precision": "fp32"},
    )


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "mps":
        return bool(torch.backends.mps.is_macos_or_newer(14, 0))
    flags = _cpu_flags()
    if any(flags.get(name) for name in ("avx512_bf16", "amx_bf16", "amx_tile")):
        return True
    return _measured_faster_in_bf16()


def _cpu_flags() -> Mapping[str, object]:
    """The processor's capabilities, where this torch tells them."""
    if not hasattr(torch.cpu, "get_capabilities"):
        return {}
    return dict(torch.cpu.get_capabilities())


def _measured_faster_in_bf16() -> bool:
    """Whether a matrix product is faster in bf16 here: for processors without known flags."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = torch.ones(384, 384, dtype=dtype), torch.ones(384, 384, dtype=dtype)
        torch.mm(a, b)
        times = []
        for _ in range(5):
            began = time.perf_counter()
            torch.mm(a, b)
            times.append(time.perf_counter() - began)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] < 0.9 * seconds[torch.float32]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that the device's or the computer's memory is used up."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in text for word in _OUT_OF_MEMORY_WORDS)


def _encode(state: torch.Tensor) -> str:
    return base64.b64encode(bytes(state.cpu().tolist())).decode("ascii")


def _decode(text: str) -> torch.Tensor:
    raw = base64.b64decode(text, validate=True)
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8)
