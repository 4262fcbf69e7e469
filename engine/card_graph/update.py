"""One update of the weights on a card: gradients of micro-batches, their clip, the optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.card_graph.constants import PRECISIONS
from engine.card_graph.decoder import Decoder
from engine.card_graph.kernels import Array, Ids
from engine.card_graph.ops import Ops
from engine.card_graph.optimizers import build_optimizer, clip
from engine.card_graph.parameters import Gradients
from engine.card_graph.tensor import Tensor
from engine.run_spec import RunSpec
from engine.spec import ModelSpec


class Updater:
    """A model with its optimizer on a card. ``weights`` are arrays by published name, fp32."""

    def __init__(
        self, spec: ModelSpec, run: RunSpec, ops: Ops, weights: Mapping[str, Array],
        decoder: type[Decoder] = Decoder,
    ) -> None:  # fmt: skip
        self.ops = ops
        self.decoder = decoder(
            spec, ops, PRECISIONS[run.precision], weights,
            checkpointing=run.gradient_checkpointing,
        )  # fmt: skip
        self.optimizer = build_optimizer(ops, self.decoder.parameters, run)
        self._gradients = Gradients(ops)
        self._grad_clip = run.grad_clip

    def gradients(self, batches: Iterable[tuple[Ids, Ids]], count: int, seed: int = 0) -> Tensor:
        """Gather the mean gradient of ``count`` micro-batches of one size; their mean loss."""
        self._gradients.clear()
        total: Tensor | None = None
        for micro, (inputs_BT, targets_BT) in enumerate(batches):
            loss = self.decoder.loss_and_gradients(
                self._gradients, inputs_BT, targets_BT, count,
                key=(seed, micro),
            )  # fmt: skip
            if total is None:
                total = loss
            else:
                before, total = total, self.ops.add(total, loss)
                self.ops.free(before, loss)
        assert total is not None, "an update needs at least one batch"
        return total

    def held_gradients(self) -> Mapping[str, Tensor]:
        """What ``gradients`` left, by name; ``apply`` and the next ``gradients`` free them."""
        return self._gradients.by_name

    def clip(self) -> Tensor:
        """Cut the gradient to ``grad_clip``; its true length."""
        return clip(self.ops, self._gradients, self._grad_clip)

    def apply(self, rate: float) -> None:
        """Update the weights and free the gradients."""
        self.optimizer.step(self._gradients, rate)

    def apply_to(self, name: str, numbers: Mapping[str, Tensor]) -> None:
        """The part of ``apply`` that updates one weight, with the optimizer's numbers."""
        self.optimizer.update(name, self._gradients.by_name.pop(name), numbers)

    def drop(self) -> None:
        """Free the gradients instead of using them."""
        self._gradients.clear()
