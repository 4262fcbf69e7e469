"""A double of ttml and ttnn, written from their published signatures. For tests only.

It records every call, refuses what the real one would (unknown settings, wrong shapes and types,
several chips without a composer), rounds to bf16 where the real one does, and really learns: of a
model's parameters the embedding and the head take part, scores = embedding[token] · headᵀ.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType
from typing import Any

import numpy as np
import pytest

TILE = 32


def bf16(array: np.ndarray) -> np.ndarray:
    """fp32 numbers rounded to the nearest that bf16 has."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return rounded.astype(np.uint32).view(np.float32).reshape(array.shape)


class Layout(Enum):
    TILE = 0
    ROW_MAJOR = 1


class DataType(Enum):
    BFLOAT16 = 0
    FLOAT32 = 1
    UINT32 = 2


class RunnerType(Enum):
    Default = 0
    MemoryEfficient = 1


class WeightTyingType(Enum):
    Disabled = 0
    Enabled = 1


class ReduceType(Enum):
    NONE = 0
    MEAN = 1


class GradMode(Enum):
    DISABLED = 0
    ENABLED = 1


class Mapper:
    """Shards a tensor's first dimension among the chips."""


class Composer:
    """Puts what the chips hold one below the other."""


class Tensor:
    """``value`` is what all chips hold together: sharded, or the same on each."""

    def __init__(self, value: np.ndarray, kind: DataType, sharded: bool = False) -> None:
        self.value, self.kind, self.sharded = value, kind, sharded
        self.grad: np.ndarray | None = None
        self.grad_function: Any = None

    @staticmethod
    def from_numpy(
        numpy_tensor: np.ndarray, layout: Layout = Layout.TILE,
        new_type: DataType | None = None, mapper: Mapper | None = None,
    ) -> Tensor:  # fmt: skip
        assert numpy_tensor.flags.c_contiguous, "the raw buffer is read"
        assert isinstance(layout, Layout)
        assert isinstance(new_type, DataType)
        if new_type is DataType.UINT32:
            assert numpy_tensor.dtype == np.uint32
            assert layout is Layout.ROW_MAJOR, "the embedding wants rows"
            value = numpy_tensor
        else:
            assert numpy_tensor.dtype == np.float32
            assert layout is Layout.TILE
            assert numpy_tensor.ndim == 4
            value = bf16(numpy_tensor) if new_type is DataType.BFLOAT16 else numpy_tensor.copy()
        chips = CONTEXT.chips
        assert mapper is None or len(numpy_tensor) % chips == 0, "rows must share evenly"
        return Tensor(value, new_type, mapper is not None)

    def to_numpy(
        self, new_type: DataType | None = None, composer: Composer | None = None
    ) -> np.ndarray:
        assert new_type is DataType.FLOAT32
        if CONTEXT.chips == 1:
            assert composer is None
            return self.value.astype(np.float32)
        assert isinstance(composer, Composer), "a tensor on several chips needs a composer"
        copies = 1 if self.sharded else CONTEXT.chips
        return np.concatenate([self.value.astype(np.float32)] * copies)

    def assign(self, other: Tensor) -> None:
        assert other.value.shape == self.value.shape
        self.value = bf16(other.value)

    def shape(self) -> list[int]:
        return list(self.value.shape)

    def backward(self, retain_graph: bool) -> None:
        assert retain_graph is False
        assert CONTEXT.grad_mode is GradMode.ENABLED
        CONTEXT.log("backward")
        self.grad_function(1.0)


class NamedParameters(dict):  # type: ignore[type-arg]
    """Tensors by name."""


@dataclass
class AutoContext:
    """The one context of a process."""

    mesh: list[int] | None = None
    grad_mode: GradMode = GradMode.ENABLED
    fabric: int = 0
    parallel: Any = None
    calls: list[Any] = field(default_factory=list)

    def log(self, *call: Any) -> None:
        self.calls.append(call if len(call) > 1 else call[0])

    @property
    def chips(self) -> int:
        assert self.mesh is not None, "no device is open"
        return self.mesh[0] * self.mesh[1]

    @staticmethod
    def get_instance() -> AutoContext:
        return CONTEXT

    def open_device(
        self, mesh_shape: list[int] | None = None, device_ids: list[int] | None = None
    ) -> None:
        assert self.mesh is None, "a device is open already"
        assert mesh_shape is not None
        assert mesh_shape[0] == 1
        chips = mesh_shape[0] * mesh_shape[1]
        assert chips == 1 or self.fabric == chips, "the fabric comes first"
        self.mesh = mesh_shape
        self.log("open_device", mesh_shape, device_ids)

    def initialize_parallelism_context(self, config: DistributedConfig) -> None:
        self.parallel = config

    def get_device(self) -> str:
        assert self.mesh is not None
        return "device"

    def close_device(self) -> None:
        assert self.mesh is not None
        self.mesh = None
        self.log("close_device")

    def set_seed(self, seed: int) -> None:
        assert 0 <= seed < 1 << 32
        self.log("set_seed", seed)

    def reset_graph(self) -> None:
        self.log("reset_graph")

    def set_gradient_mode(self, mode: GradMode) -> None:
        self.grad_mode = mode


CONTEXT = AutoContext()


@dataclass
class DistributedConfig:
    enable_ddp: bool = False
    enable_tp: bool = False


class Module:
    """A model with parameters by path; it is in training mode or not."""

    def __init__(self, shapes: dict[str, tuple[int, int]]) -> None:
        chance = np.random.Generator(np.random.PCG64(9))
        self._parameters = NamedParameters(
            {
                name: Tensor(bf16(chance.normal(size=(1, 1, *shape))), DataType.BFLOAT16)
                for name, shape in shapes.items()
            }
        )
        self.training = True

    def parameters(self) -> NamedParameters:
        return NamedParameters(self._parameters)

    def train(self) -> None:
        self.training = True

    def eval(self) -> None:
        self.training = False

    def __call__(self, ids: Tensor, mask: Tensor) -> Tensor:
        batch, one, also_one, length = ids.shape()
        assert (one, also_one) == (1, 1)
        assert mask.shape() == [1, 1, length, length]
        assert np.array_equal(mask.value[0, 0], np.tril(np.ones((length, length))))
        assert self.training == (CONTEXT.grad_mode is GradMode.ENABLED)
        CONTEXT.log("forward", batch, self.training)
        name = type(self).__name__
        embedding = self._parameters.get(f"{name}/tok_emb/weight")
        head = self._parameters[f"{name}/fc/weight"]
        embedding = head if embedding is None else embedding
        hidden = embedding.value[0, 0][ids.value[:, 0, 0]]
        logits = Tensor(bf16(hidden @ head.value[0, 0].T)[:, None], DataType.BFLOAT16, ids.sharded)

        def backward(upper: np.ndarray) -> None:
            flat = upper.reshape(-1, upper.shape[-1])
            _add_grad(head, (flat.T @ hidden.reshape(len(flat), -1))[None, None])
            lower = np.zeros_like(embedding.value[0, 0])
            np.add.at(lower, ids.value.reshape(-1), flat @ head.value[0, 0])
            _add_grad(embedding, lower[None, None])

        logits.grad_function = backward
        return logits


def _add_grad(tensor: Tensor, grad: np.ndarray) -> None:
    tensor.grad = bf16(grad if tensor.grad is None else tensor.grad + grad)


@dataclass(frozen=True)
class LlamaRopeScalingConfig:
    scaling_factor: float = 0.0
    high_freq_factor: float = 4.0
    low_freq_factor: float = 1.0
    original_context_length: int = 0


@dataclass(frozen=True)
class LlamaConfig:
    hidden_size: int = 384
    intermediate_size: int | None = None
    num_hidden_layers: int = 6
    num_attention_heads: int = 6
    num_key_value_heads: int = 2
    vocab_size: int = 256
    max_position_embeddings: int = 256
    rope_theta: float = 10000.0
    attention_dropout: float = 0.0
    mlp_dropout: float = 0.0
    runner_type: RunnerType = RunnerType.Default
    weight_tying: WeightTyingType = WeightTyingType.Disabled
    rope_scaling: LlamaRopeScalingConfig = field(default_factory=LlamaRopeScalingConfig)

    def __post_init__(self) -> None:
        assert self.max_position_embeddings % TILE == 0
        assert self.hidden_size % TILE == 0
        assert self.hidden_size // self.num_attention_heads % TILE == 0
        assert self.vocab_size % TILE == 0


class Llama(Module):
    """``fused``: whether this version joins queries to keys and values."""

    fused = True

    def __init__(self, config: LlamaConfig) -> None:
        CONTEXT.log("Llama", config)
        d, m = config.hidden_size, config.intermediate_size
        assert m is not None
        keys = 2 * config.num_key_value_heads * (d // config.num_attention_heads)
        shapes = {"Llama/fc/weight": (config.vocab_size, d), "Llama/ln_fc/gamma": (1, d)}
        if config.weight_tying is WeightTyingType.Disabled:
            shapes["Llama/tok_emb/weight"] = (config.vocab_size, d)
        attention = {"qkv_linear": d + keys} if self.fused else {"q_linear": d, "kv_linear": keys}
        for layer in range(config.num_hidden_layers):
            block = f"Llama/blocks/{layer}"
            shapes |= {f"{block}/attention/{name}/weight": (rows, d)
                       for name, rows in attention.items()}  # fmt: skip
            shapes |= {
                f"{block}/attention/out_linear/weight": (d, d),
                f"{block}/attention_norm/gamma": (1, d),
                f"{block}/mlp_norm/gamma": (1, d),
                f"{block}/mlp/w1/weight": (m, d),
                f"{block}/mlp/w3/weight": (m, d),
                f"{block}/mlp/w2/weight": (d, m),
            }
        super().__init__(shapes)


@dataclass
class NanoGPTConfig:
    vocab_size: int = 50304
    block_size: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    dropout: float = 0.2
    bias: bool = True
    runner_type: RunnerType = RunnerType.Default
    weight_tying: WeightTyingType = WeightTyingType.Disabled
    positional_embedding_type: str = "trainable"


class NanoGPT(Module):
    def __init__(self, config: NanoGPTConfig) -> None:
        CONTEXT.log("NanoGPT", config)
        d = config.n_embd
        shapes = {
            "NanoGPT/fc/weight": (config.vocab_size, d),
            "NanoGPT/pos_emb/weight": (config.block_size, d),
            "NanoGPT/ln_f_gamma": (1, d),
            "NanoGPT/ln_f_beta": (1, d),
        }
        if config.weight_tying is WeightTyingType.Disabled:
            shapes["NanoGPT/tok_emb/weight"] = (config.vocab_size, d)
        linears = {"attention/qkv_linear": (3 * d, d), "attention/out_linear": (d, d),
                   "mlp/fc1": (4 * d, d), "mlp/fc2": (d, 4 * d)}  # fmt: skip
        for layer in range(config.n_layer):
            block = f"NanoGPT/blocks/{layer}"
            for norm in ("ln1", "ln2"):
                shapes |= {f"{block}/{norm}/gamma": (1, d), f"{block}/{norm}/beta": (1, d)}
            for name, shape in linears.items():
                shapes |= {f"{block}/{name}/weight": shape, f"{block}/{name}/bias": (1, shape[0])}
        super().__init__(shapes)


def create_nanogpt(config: NanoGPTConfig) -> NanoGPT:
    return NanoGPT(config)


def cross_entropy_loss(
    logits: Tensor, targets: Tensor, reduce: ReduceType = ReduceType.MEAN
) -> Tensor:
    assert reduce is ReduceType.MEAN
    assert targets.shape() == [logits.shape()[0], logits.shape()[2]]
    scores, wanted = logits.value[:, 0].astype(np.float64), targets.value
    scores -= scores.max(axis=-1, keepdims=True)
    chances = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    chosen = np.take_along_axis(chances, wanted[..., None].astype(np.int64), axis=-1)
    per_chip = -np.log(chosen).reshape(CONTEXT.chips if logits.sharded else 1, -1).mean(axis=1)
    loss = Tensor(bf16(per_chip.reshape(-1, 1, 1, 1)), DataType.BFLOAT16, logits.sharded)

    def backward(upper: float) -> None:
        grad = chances.copy()
        np.put_along_axis(grad, wanted[..., None].astype(np.int64), chosen - 1, axis=-1)
        logits.grad_function(upper * grad / wanted.size)

    loss.grad_function = backward
    return loss


def mul(tensor: Tensor, factor: float) -> Tensor:
    assert isinstance(factor, float)
    scaled = Tensor(bf16(tensor.value * factor), tensor.kind, tensor.sharded)
    scaled.grad_function = lambda upper: tensor.grad_function(upper * factor)
    return scaled


def clip_grad_norm(
    parameters: NamedParameters, max_norm: float, p_norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:  # fmt: skip
    assert (p_norm_type, error_if_nonfinite) == (2.0, False)
    grads = [tensor for tensor in parameters.values() if tensor.grad is not None]
    norm = float(np.sqrt(sum(float((t.grad**2).sum()) for t in grads)))
    for tensor in grads:
        tensor.grad = bf16(tensor.grad * min(1.0, max_norm / (norm + 1e-6)))
    CONTEXT.log("clip_grad_norm", max_norm)
    return Tensor(bf16(np.full((1, 1, 1, 1), norm, dtype=np.float32)), DataType.BFLOAT16)


@dataclass
class _AdamConfig:
    lr: float
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    amsgrad: bool = False


class AdamWFullPrecisionConfig(_AdamConfig):
    @staticmethod
    def make(**settings: Any) -> AdamWFullPrecisionConfig:
        return AdamWFullPrecisionConfig(**settings)


@dataclass
class AdamWConfig(_AdamConfig):
    stochastic_rounding: bool = False

    @staticmethod
    def make(**settings: Any) -> AdamWConfig:
        return AdamWConfig(**settings)


class _AdamW:
    full = False

    def __init__(self, parameters: NamedParameters, config: _AdamConfig) -> None:
        assert isinstance(parameters, NamedParameters)
        self.parameters, self.config, self.steps = parameters, config, 0
        kind = DataType.FLOAT32 if self.full else DataType.BFLOAT16
        self.state = {
            name: NamedParameters(
                {key: Tensor(np.zeros_like(p.value), kind) for key, p in parameters.items()}
            )
            for name in ("exp_avg", "exp_avg_sq")
        }
        if self.full:
            self.state["master_weights"] = NamedParameters(
                {key: Tensor(p.value.copy(), kind) for key, p in parameters.items()}
            )
        CONTEXT.log(type(self).__name__, sorted(parameters), config)

    def zero_grad(self) -> None:
        for tensor in self.parameters.values():
            tensor.grad = None if tensor.grad is None else np.zeros_like(tensor.grad)
        CONTEXT.log("zero_grad")

    def set_lr(self, lr: float) -> None:
        self.config.lr = lr

    def step(self) -> None:
        CONTEXT.log("step")
        self.steps += 1
        config, keep = self.config, (lambda x: x) if self.full else bf16
        for key, tensor in self.parameters.items():
            if tensor.grad is None:
                continue
            mean, square = self.state["exp_avg"][key], self.state["exp_avg_sq"][key]
            weight = self.state["master_weights"][key] if self.full else tensor
            mean.value = keep(mean.value + (1 - config.beta1) * (tensor.grad - mean.value))
            square.value = keep(square.value + (1 - config.beta2) * (tensor.grad**2 - square.value))
            spread = np.sqrt(square.value / (1 - config.beta2**self.steps)) + config.epsilon
            moved = mean.value / (1 - config.beta1**self.steps) / spread
            value = weight.value * (1 - config.lr * config.weight_decay) - config.lr * moved
            weight.value = keep(value).astype(np.float32)
            tensor.value = bf16(weight.value)

    def get_state_dict(self) -> dict[str, Any]:
        return {**self.state, "steps": self.steps, "lr": self.config.lr, "amsgrad": False}

    def set_state_dict(self, state: dict[str, Any]) -> None:
        assert state["amsgrad"] is False
        self.steps, self.config.lr = state["steps"], state["lr"]
        kind = DataType.FLOAT32 if self.full else DataType.BFLOAT16
        for name in self.state:
            assert isinstance(state[name], NamedParameters)
            assert state[name].keys() == self.parameters.keys()
            assert all(tensor.kind is kind for tensor in state[name].values())
            self.state[name] = state[name]


class AdamW(_AdamW):
    pass


class AdamWFullPrecision(_AdamW):
    full = True


def enable_fabric(chips: int) -> None:
    assert CONTEXT.mesh is None, "the fabric comes before the device"
    CONTEXT.fabric = chips


def shard_tensor_to_mesh_mapper(device: str, dim: int) -> Mapper:
    assert (device, dim) == ("device", 0)
    return Mapper()


def concat_mesh_to_tensor_composer(mesh_device: str, dim: int) -> Composer:
    assert (mesh_device, dim) == ("device", 0)
    return Composer()


def synchronize_gradients(parameters: NamedParameters) -> None:
    assert CONTEXT.parallel == DistributedConfig(enable_ddp=True)
    CONTEXT.log("synchronize_gradients")


def install(monkeypatch: pytest.MonkeyPatch, *, fused: bool = True) -> AutoContext:
    """Put the doubles where ``import ttml`` and ``import ttnn`` find them; return the context."""
    global CONTEXT  # noqa: PLW0603 - one context for a process, as in the real one
    CONTEXT = AutoContext()
    monkeypatch.setattr(Llama, "fused", fused)
    ttnn = _module("ttnn", Layout=Layout, DataType=DataType, __version__="0.81.1")
    llama = _module(
        "ttml.models.llama", Llama=Llama, LlamaConfig=LlamaConfig,
        LlamaRopeScalingConfig=LlamaRopeScalingConfig,
    )  # fmt: skip
    nanogpt = _module("ttml.models.nanogpt", NanoGPTConfig=NanoGPTConfig,
                      create_nanogpt=create_nanogpt)  # fmt: skip
    models = _module("ttml.models", RunnerType=RunnerType, WeightTyingType=WeightTyingType,
                     llama=llama, nanogpt=nanogpt)  # fmt: skip
    distributed = _module(
        "ttml.core.distributed", enable_fabric=enable_fabric,
        shard_tensor_to_mesh_mapper=shard_tensor_to_mesh_mapper,
        concat_mesh_to_tensor_composer=concat_mesh_to_tensor_composer,
        synchronize_gradients=synchronize_gradients,
    )  # fmt: skip
    ttml = _module(
        "ttml", models=models, NamedParameters=NamedParameters,
        autograd=_module("ttml.autograd", AutoContext=AutoContext, Tensor=Tensor,
                         GradMode=GradMode, DistributedConfig=DistributedConfig),
        core=_module("ttml.core", clip_grad_norm=clip_grad_norm, distributed=distributed),
        ops=_module("ttml.ops", ReduceType=ReduceType,
                    loss=_module("ttml.ops.loss", cross_entropy_loss=cross_entropy_loss),
                    binary=_module("ttml.ops.binary", mul=mul)),
        optimizers=_module(
            "ttml.optimizers", AdamW=AdamW, AdamWConfig=AdamWConfig,
            AdamWFullPrecision=AdamWFullPrecision,
            AdamWFullPrecisionConfig=AdamWFullPrecisionConfig,
        ),
    )  # fmt: skip
    for module in (ttnn, ttml, models, llama, nanogpt):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return CONTEXT


def _module(name: str, **contents: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(contents)
    return module
