"""One update of the weights on a card, and what moves between a card and a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from engine.backends.card.model import StepResult
from engine.backends.tenstorrent.constants import PRECISIONS
from engine.backends.tenstorrent.decoder import Decoder, Ids
from engine.backends.tenstorrent.kernels import Array
from engine.backends.tenstorrent.ops import Ops
from engine.backends.tenstorrent.optimizers import build_optimizer, clip
from engine.backends.tenstorrent.parameters import Gradients
from engine.backends.tenstorrent.tensor import Tensor
from engine.run_spec import RunSpec
from engine.spec import ModelSpec


class Learner:
    """A model with its optimizer on a card: engine.training.update.Learner without torch.

    ``weights`` are arrays by published name, fp32; ``export`` gives them back, and the optimizer's
    state under the names of a checkpoint's files, so a run can move between backends.
    """

    def __init__(
        self, spec: ModelSpec, run: RunSpec, ops: Ops, weights: Mapping[str, Array]
    ) -> None:
        self.ops = ops
        self.decoder = Decoder(
            spec, ops, PRECISIONS[run.precision], weights,
            checkpointing=run.gradient_checkpointing,
        )  # fmt: skip
        self.optimizer = build_optimizer(ops, self.decoder.parameters, run)
        self._gradients = Gradients(ops)
        self._grad_clip = run.grad_clip

    def update(
        self, batches: Iterable[tuple[Ids, Ids]], count: int, rate: float, seed: int = 0
    ) -> StepResult:
        """Learn from ``count`` micro-batches (inputs (B, T), targets (B, T)) with rate ``rate``.

        ``seed`` chooses the masks of dropout. Waits for the card. A loss that is no finite number
        leaves the weights as they were.
        """
        loss = self.gradients(batches, count, seed)
        length = self.clip()
        result = StepResult(self.ops.number(loss), self.ops.number(length))
        if np.isfinite(result.loss) and np.isfinite(result.grad_norm):
            self.apply(rate)
        else:
            self._gradients.clear()
        return result

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

    def validation_loss(self, batches: Iterable[tuple[Ids, Ids]]) -> tuple[float, int]:
        """Mean loss in nats a token, and the number of tokens; each token weighs the same."""
        total, count, rows = 0.0, 0, 0
        for inputs_BT, targets_BT in batches:
            rows = max(rows, inputs_BT.shape[0])
            loss = self.ops.number(self.decoder.loss(inputs_BT, targets_BT, rows))
            total += loss * targets_BT.size
            count += targets_BT.size
        assert count, "there is no validation text"
        return total / count, count

    def export_weights(self) -> dict[str, Array]:
        """Weights by published name: a checkpoint's model.safetensors. fp32 from a card."""
        return self.decoder.parameters.export()

    def export_state(self) -> dict[str, Array]:
        """The optimizer's state: a checkpoint's optimizer.safetensors. fp32 from a card."""
        return self.optimizer.export()

    def load(self, weights: Mapping[str, Array], state: Mapping[str, Array], steps: int) -> None:
        """Go on from a checkpoint after ``steps`` updates, of whatever backend wrote it.

        An empty state is a new one. Raises ValueError, with nothing changed, for those of another
        model or optimizer.
        """
        placed_weights = self.decoder.parameters.placed(weights)
        placed_state = self.optimizer.placed(state or self.optimizer.new_state())
        self.decoder.parameters.take(placed_weights)
        self.optimizer.take(placed_state, steps)
