"""One update of the weights on a card, and what moves between a card and a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from engine.backends.card.model import StepResult
from engine.card_graph.kernels import Array, Ids
from engine.card_graph.update import Updater


class Learner(Updater):
    """A model with its optimizer on a card: engine.training.update.Learner without torch.

    ``weights`` are arrays by published name, fp32; ``export`` gives them back, and the optimizer's
    state under the names of a checkpoint's files, so a run can move between backends.
    """

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
        if math.isfinite(result.loss) and math.isfinite(result.grad_norm):
            self.apply(rate)
        else:
            self.drop()
        return result

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
