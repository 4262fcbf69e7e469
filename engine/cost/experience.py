"""How runs that were trained here correct what prices foretell.

A design that was trained takes what it took: the lower median of its latest few runs, so that
one run on a busy machine, which is only ever slower, does not count once another is there.
Other designs are drawn towards the ratio measured ÷ priced of similar ones: each weighs by how
near it is, none counts as more than ``MOST`` off, and a weight of one in favour of the prices is
always there.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import mul
from typing import NamedTuple

from engine.cost.calibration import MeasuredStep, place_of
from engine.cost.step_work import Work

# No run draws others by more than this factor.
MOST = 1.5
_MOST_LN = math.log(MOST)
# Distance (MeasuredStep.place) at which a run's weight has fallen to 1/e, and beyond which it
# is left out.
_REACH, _FAR = 0.8, 1.6
# So near it is the same design: rounding in the file.
_SAME = 1e-9


@dataclass(frozen=True)
class Drawn:
    """What experience says of a design.

    Attributes:
        shift: ln of the factor by which to correct the priced time.
        nearness: weight of the nearest run: 1 the same place, 0 nothing near.
        number: runs that had a say; of the same design, where there are any.
        seconds: what the same design took; 0 where it was not trained.
        spread: ln of slowest ÷ fastest of its runs, half.
    """

    shift: float = 0.0
    nearness: float = 0.0
    number: int = 0
    seconds: float = 0.0
    spread: float = 0.0

    @property
    def same(self) -> bool:
        """Whether this very design was trained here."""
        return self.seconds > 0


def cost_of(work: Work, prices: Work) -> float:
    """Seconds that ``work`` takes at ``prices``."""
    return math.fsum(map(mul, work, prices))


class Lesson(NamedTuple):
    """A run that was trained here: its place, its time, and ln(measured ÷ priced), bounded."""

    place: tuple[float, ...]
    seconds: float
    off: float


def lessons(runs: Iterable[MeasuredStep], prices: Work) -> tuple[Lesson, ...]:
    """What ``runs`` (of the same precision and threads) teach about ``prices``."""
    found = []
    for run in runs:
        off = math.log(run.seconds / cost_of(run.work, prices))
        found.append(Lesson(run.place, run.seconds, max(-_MOST_LN, min(_MOST_LN, off))))
    return tuple(found)


def experience(work: Work, known: Sequence[Lesson]) -> Drawn:
    """What ``known`` runs say of a step that does ``work``."""
    if not known:
        return Drawn()
    place = place_of(work)
    near = [
        (distance, lesson)
        for lesson in known
        if (distance := math.dist(place, lesson.place)) < _FAR
    ]
    same = [lesson.seconds for distance, lesson in near if distance < _SAME]
    if same:
        half = math.log(max(same) / min(same)) / 2
        return Drawn(0.0, 1.0, len(same), statistics.median_low(same), half)
    weights = total = nearest = 0.0
    for distance, lesson in near:
        weight = math.exp(-((distance / _REACH) ** 2))
        total += weight * lesson.off
        weights += weight
        nearest = max(nearest, weight)
    return Drawn(total / (1.0 + weights), nearest, len(near))
