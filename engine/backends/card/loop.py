"""The training loop of cards: how a CardModel makes an update. Needs no torch."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from engine.backends.card.checkpoint import write_card_checkpoint
from engine.backends.card.model import CardModel
from engine.schedule import learning_rate
from engine.training.progress import Progress
from engine.training.run_loop import Reading, RunLoop, RunParts, check_finite


def step_seed(seed: int, step: int) -> int:
    """31 bits for all that is random in the update that follows after ``step`` earlier ones."""
    digest = hashlib.blake2b(f"{seed}/{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 33


@dataclass(frozen=True)
class CardParts(RunParts):
    """Everything that a run on a card needs, ready (engine.backends.card.session)."""

    model: CardModel


class CardTrainer(RunLoop[CardParts]):
    """Runs one segment of a run on a card; the order is RunLoop's."""

    def _update(self) -> list[Reading]:
        parts, step = self.parts, self.progress.step
        began = time.perf_counter()
        rate = learning_rate(parts.run, step)
        batches = [
            parts.source.training_batch(step, micro)
            for micro in range(parts.run.accumulation_steps)
        ]
        result = parts.model.step(batches, rate, step_seed(parts.run.seed, step))
        check_finite(step + 1, result.loss, result.grad_norm)
        self._count_update()
        step_s = time.perf_counter() - began
        return [Reading(step + 1, rate, result.loss, result.grad_norm, max(step_s, 1e-9))]

    def _peak_bytes(self) -> int | None:
        return self.parts.model.peak_bytes()

    def _validation_loss(self) -> tuple[float, int] | None:
        """Each token weighs the same."""
        total, tokens = 0.0, 0
        for inputs_BT, targets_BT in self.parts.source.validation_batches(
            self.parts.run.validation_tokens
        ):
            if self._control.stopping():
                return None
            total += self.parts.model.validate(inputs_BT, targets_BT) * targets_BT.size
            tokens += targets_BT.size
        return total / tokens, tokens

    def _write_checkpoint(self, progress: Progress) -> Path:
        parts = self.parts
        # Torch's generators are of no use here: whoever goes on with torch starts its own.
        progress = progress.replace(random_states={})
        return write_card_checkpoint(
            parts.directory, parts.model, progress, parts.run, parts.versions
        )
