"""A model of tt-train as engine.backends.card's loop asks for it.

ttml's own trainer is not used: it passes the training loss off as the validation loss. All names
are from tt-train's sources; nobody has run this on a card yet (NOT_VERIFIED).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.backends.card.model import Arrays, Batch, StepResult
from engine.backends.tt_train.names import from_ttml, parameter_plan, to_ttml
from engine.backends.tt_train.requirements import check_tt_train, load_ttml
from engine.cost.tt_train_memory import tt_train_memory
from engine.devices.card import card_name
from engine.devices.card_rules import NOT_VERIFIED
from engine.families import decoder as family
from engine.families.weight import expand
from engine.interop.tt_train_rules import differences, mesh_shape, tt_train_kind
from engine.rotary import LLAMA3_HIGH_FREQ_FACTOR, LLAMA3_LOW_FREQ_FACTOR
from engine.run_spec import RunSpec
from engine.spec import ModelSpec

_EPSILON = 1e-8
# A clip that lets every gradient through: its length is told all the same.
_NO_CLIP = 1e30
# Scores of the vocabulary that are brought to the host at once: so many bytes in fp32.
_ROOM_BYTES = 32 << 20
_MOMENTS = ("exp_avg", "exp_avg_sq")


def open_tt_train(spec: ModelSpec, run: RunSpec) -> TtTrainModel:
    """Open the run's card and build its model there; raise SpecError for what cannot be."""
    check_tt_train(spec, run)
    ttml, ttnn = load_ttml()
    model = TtTrainModel(spec, run, ttml, ttnn)
    try:
        model.build()
    except BaseException:
        model.close()
        raise
    return model


class TtTrainModel:
    """A CardModel; make one with ``open_tt_train``.

    Weights are bf16. In full precision (every run's but pure bf16) the optimizer keeps them and
    its moments in fp32, and these are what checkpoints hold. What is not a matrix has an
    optimizer of its own, without decay, as in all our runs.
    """

    def __init__(self, spec: ModelSpec, run: RunSpec, ttml: Any, ttnn: Any) -> None:
        self._spec, self._run, self._ttml, self._ttnn = spec, run, ttml, ttnn
        self._full = run.precision != "bf16"
        self._chips = mesh_shape(run.device)[1]
        self._context = ttml.autograd.AutoContext.get_instance()
        self._mapper: Any = None
        self._composer: Any = None
        self._open_device()

    def _open_device(self) -> None:
        distributed = self._ttml.core.distributed
        if self._chips == 1:
            number = int(self.device.partition(":")[2])
            self._context.open_device([1, 1], [number])
            return
        distributed.enable_fabric(self._chips)
        self._context.open_device([1, self._chips])
        self._context.initialize_parallelism_context(
            self._ttml.autograd.DistributedConfig(enable_ddp=True)
        )
        device = self._context.get_device()
        self._mapper = distributed.shard_tensor_to_mesh_mapper(device, 0)
        self._composer = distributed.concat_mesh_to_tensor_composer(device, 0)

    def build(self) -> None:
        """Make the model and its optimizers; weights are what ttml draws until ``load``."""
        kind = tt_train_kind(self._spec)
        self._model = self._llama() if kind == "llama" else self._gpt2()
        self._parameters = self._model.parameters()
        self._plan = parameter_plan(self._spec, self._parameters.keys())
        matrices = {n: p for n, p in self._parameters.items() if n.endswith("weight")}
        vectors = {n: p for n, p in self._parameters.items() if n not in matrices}
        self._optimizers = [
            (tuple(group), self._optimizer(group, decay))
            for group, decay in ((matrices, self._run.weight_decay), (vectors, 0.0))
        ]
        length = self._spec.max_seq_len
        past = np.tril(np.ones((1, 1, length, length), dtype=np.float32))
        self._mask = self._tensor(past)

    def _llama(self) -> Any:
        spec, llama = self._spec, self._ttml.models.llama
        scaling = llama.LlamaRopeScalingConfig()
        if spec.rope_scaling == "llama3":
            scaling = llama.LlamaRopeScalingConfig(
                scaling_factor=spec.rope_factor,
                high_freq_factor=LLAMA3_HIGH_FREQ_FACTOR,
                low_freq_factor=LLAMA3_LOW_FREQ_FACTOR,
                original_context_length=spec.original_seq_len,
            )
        config = llama.LlamaConfig(
            hidden_size=spec.hidden_dim,
            intermediate_size=spec.mlp_dim,
            num_hidden_layers=spec.num_layers,
            num_attention_heads=spec.num_heads,
            num_key_value_heads=spec.num_kv_heads,
            vocab_size=spec.vocab_size,
            max_position_embeddings=spec.max_seq_len,
            rope_theta=spec.rope_theta,
            attention_dropout=spec.dropout,
            mlp_dropout=spec.dropout,
            runner_type=self._runner_type(),
            weight_tying=self._weight_tying(),
            rope_scaling=scaling,
        )
        return llama.Llama(config)

    def _gpt2(self) -> Any:
        spec, nanogpt = self._spec, self._ttml.models.nanogpt
        config = nanogpt.NanoGPTConfig(
            vocab_size=spec.vocab_size,
            block_size=spec.max_seq_len,
            n_embd=spec.hidden_dim,
            n_layer=spec.num_layers,
            n_head=spec.num_heads,
            dropout=spec.dropout,
            bias=True,
            runner_type=self._runner_type(),
            weight_tying=self._weight_tying(),
            positional_embedding_type="trainable",
        )
        return nanogpt.create_nanogpt(config)

    def _runner_type(self) -> Any:
        kinds = self._ttml.models.RunnerType
        return kinds.MemoryEfficient if self._run.gradient_checkpointing else kinds.Default

    def _weight_tying(self) -> Any:
        kinds = self._ttml.models.WeightTyingType
        return kinds.Enabled if self._spec.tied_embeddings else kinds.Disabled

    def _optimizer(self, group: Mapping[str, Any], decay: float) -> Any:
        run, optimizers = self._run, self._ttml.optimizers
        settings = {
            "lr": run.learning_rate, "beta1": run.beta1, "beta2": run.beta2,
            "epsilon": _EPSILON, "weight_decay": decay,
        }  # fmt: skip
        named = self._ttml.NamedParameters(dict(group))
        if self._full:
            config = optimizers.AdamWFullPrecisionConfig.make(**settings)
            return optimizers.AdamWFullPrecision(named, config)
        # Without it, a step smaller than half a bf16 number's last place would never move it.
        config = optimizers.AdamWConfig.make(**settings, stochastic_rounding=True)
        return optimizers.AdamW(named, config)

    # What the loop asks for

    @property
    def device(self) -> str:
        """The card's full name, n150:0."""
        return card_name(self._run.device)

    @property
    def precision(self) -> str:
        """What it really computes in, in the words of RunSpec.precision."""
        return "bf16-mixed" if self._full else "bf16"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of how this run is computed: a warning each."""
        told = (
            f"training by tt-train is {NOT_VERIFIED}",
            "training losses are bf16 numbers, of two to three digits; validation losses are not",
        )
        return (*told, *(f"tt-train: {text}" for text in differences(self._spec, self._run)))

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the libraries that compute."""
        modules = {"ttml": self._ttml, "ttnn": self._ttnn}
        return {
            name: str(getattr(module, "__version__", "built from source"))
            for name, module in modules.items()
        }

    @property
    def predicted(self) -> Mapping[str, float]:
        """The peak of one chip's memory, by engine.cost.tt_train_memory."""
        on_chip = self._run.replace(batch_size=max(1, self._run.batch_size // self._chips))
        return {"peak_bytes": float(tt_train_memory(self._spec, on_chip).peak_bytes)}

    def step(self, batches: Sequence[Batch], rate: float, seed: int) -> StepResult:
        """One update from the mean gradient of ``batches``, with learning rate ``rate``."""
        ttml, losses = self._ttml, []
        self._context.set_seed(seed)
        self._model.train()
        for _, optimizer in self._optimizers:
            optimizer.zero_grad()
            optimizer.set_lr(rate)
        for inputs_BT, targets_BT in batches:
            logits = self._model(self._ids(inputs_BT, four=True), self._mask)
            loss = ttml.ops.loss.cross_entropy_loss(
                logits, self._ids(targets_BT), ttml.ops.ReduceType.MEAN
            )
            losses.append(self._number(loss))
            if len(batches) > 1:
                loss = ttml.ops.binary.mul(loss, 1.0 / len(batches))
            loss.backward(False)
            self._context.reset_graph()
        if self._chips > 1:
            ttml.core.distributed.synchronize_gradients(self._parameters)
        limit = self._run.grad_clip or _NO_CLIP
        norm = ttml.core.clip_grad_norm(self._parameters, limit, 2.0, False)
        for _, optimizer in self._optimizers:
            optimizer.step()
        return StepResult(float(np.mean(losses)), self._number(norm))

    def validate(self, inputs_BT: npt.NDArray[Any], targets_BT: npt.NDArray[Any]) -> float:
        """Mean loss with dropout off, nats a token: from the scores, in fp64 on the host.

        Always so many rows at once, filled up where there are fewer: another shape would have
        kernels compiled anew.
        """
        rows, total = self._rows_at_once(), 0.0
        for first in range(0, len(inputs_BT), rows):
            inputs, targets = inputs_BT[first : first + rows], targets_BT[first : first + rows]
            filled = np.zeros((rows, inputs_BT.shape[1]), dtype=np.int64)
            filled[: len(inputs)] = inputs
            scores = self._scores(self._ids(filled, four=True))[: len(inputs)]
            total += _cross_entropy(scores, targets)
        return total / targets_BT.size

    def _rows_at_once(self) -> int:
        fitting = _ROOM_BYTES // (4 * self._spec.max_seq_len * self._spec.vocab_size)
        return max(1, min(fitting, self._run.batch_size) // self._chips) * self._chips

    def next_logits(self, tokens: Sequence[int]) -> npt.NDArray[Any]:
        """Scores (V,) of the token that follows 1 to T ``tokens``; dropout off.

        The places after the last token are filled with anything: nothing looks forward.
        """
        filled = np.zeros((1, self._spec.max_seq_len), dtype=np.int64)
        filled[0, : len(tokens)] = tokens
        scores = self._scores(self._ids(filled, four=True, shared=False))
        last: npt.NDArray[Any] = scores[0, len(tokens) - 1]
        return last

    def _scores(self, ids: Any) -> npt.NDArray[Any]:
        """Scores (B, T, V) of all tokens, without a graph."""
        modes = self._ttml.autograd.GradMode
        self._model.eval()
        self._context.set_gradient_mode(modes.DISABLED)
        try:
            array = self._array(self._model(ids, self._mask))
        finally:
            self._context.set_gradient_mode(modes.ENABLED)
            self._context.reset_graph()
        return array.reshape(-1, self._spec.max_seq_len, self._spec.vocab_size)

    def weights(self) -> Arrays:
        """All weights: the optimizer's fp32 ones, or the bf16 ones in pure bf16."""
        if self._full:
            return self._of_optimizers("master_weights")
        arrays = {name: self._replicated(tensor) for name, tensor in self._parameters.items()}
        return from_ttml(self._spec, arrays, self._plan)

    def optimizer_state(self) -> Arrays:
        """What the optimizer remembers of each weight, as "exp_avg/<weight>"."""
        return {
            f"{kind}/{name}": array
            for kind in _MOMENTS
            for name, array in self._of_optimizers(kind).items()
        }

    def optimizer_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of everything in ``optimizer_state``."""
        weights = tuple(expand(family.weights(self._spec)))
        return {f"{kind}/{name}": shape for kind in _MOMENTS for name, shape in weights}

    def _of_optimizers(self, kind: str) -> Arrays:
        arrays = {
            name: self._replicated(tensor)
            for _, optimizer in self._optimizers
            for name, tensor in optimizer.get_state_dict()[kind].items()
        }
        return from_ttml(self._spec, arrays, self._plan)

    def load(self, weights: Arrays, optimizer_state: Arrays, steps: int) -> None:
        """Take these weights and this state of ``steps`` updates; an empty state is a new one."""
        theirs = to_ttml(self._spec, weights, self._plan)
        for name, array in theirs.items():
            self._parameters[name].assign(self._tensor(array))
        kinds = {"master_weights": theirs} if self._full else {}
        for kind in _MOMENTS:
            ours = {
                name: optimizer_state.get(f"{kind}/{name}", np.zeros_like(array))
                for name, array in weights.items()
            }
            kinds[kind] = to_ttml(self._spec, ours, self._plan)
        for names, optimizer in self._optimizers:
            state: dict[str, Any] = {
                kind: self._ttml.NamedParameters(
                    {name: self._tensor(arrays[name], exact=self._full) for name in names}
                )
                for kind, arrays in kinds.items()
            }
            optimizer.set_state_dict(
                {**state, "steps": steps, "lr": self._run.learning_rate, "amsgrad": False}
            )

    def peak_bytes(self) -> int | None:
        """None: ttml tells its memory only by tracing every step, which slows it."""
        return None

    def close(self) -> None:
        """Give the device back."""
        self._context.reset_graph()
        self._context.close_device()

    # Between numpy and the device

    def _ids(self, ids: npt.NDArray[Any], *, four: bool = False, shared: bool = True) -> Any:
        """Token ids (B, T), as the embedding wants them in four dimensions; rows by chip."""
        array = ids.astype(np.uint32)
        if four:
            array = array.reshape(len(ids), 1, 1, -1)
        return self._ttml.autograd.Tensor.from_numpy(
            np.ascontiguousarray(array), self._ttnn.Layout.ROW_MAJOR, self._ttnn.DataType.UINT32,
            self._mapper if shared else None,
        )  # fmt: skip

    def _tensor(self, array: npt.NDArray[np.float32], *, exact: bool = False) -> Any:
        """On every chip, in bf16; ``exact``: in fp32."""
        types = self._ttnn.DataType
        return self._ttml.autograd.Tensor.from_numpy(
            array, self._ttnn.Layout.TILE, types.FLOAT32 if exact else types.BFLOAT16
        )

    def _array(self, tensor: Any) -> npt.NDArray[Any]:
        """What all chips hold, one below the other."""
        found: npt.NDArray[Any] = tensor.to_numpy(self._ttnn.DataType.FLOAT32, self._composer)
        return found

    def _replicated(self, tensor: Any) -> npt.NDArray[Any]:
        """What every chip holds alike, once."""
        return self._array(tensor)[:1]

    def _number(self, tensor: Any) -> float:
        """The mean of a number of each chip."""
        return float(self._array(tensor).mean())


def _cross_entropy(scores_BTV: npt.NDArray[Any], targets_BT: npt.NDArray[Any]) -> float:
    """Sum over all tokens, nats."""
    scores = scores_BTV.astype(np.float64)
    highest = scores.max(axis=-1, keepdims=True)
    total = highest[..., 0] + np.log(np.exp(scores - highest).sum(axis=-1))
    chosen = np.take_along_axis(scores, targets_BT[..., None], axis=-1)[..., 0]
    return float((total - chosen).sum())
