"""The memory of a chip in the course of a run: a running sum over what operations take and give.

engine.card_graph.recording has written down which tensors each part of a run takes and gives back.
Here the letters of their dimensions become numbers, and tensors become bytes in whole tiles spread
over the banks of a chip's DRAM, as ttnn deals them out. Each layer does the same, so a layer's part
of the list is summed up once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate
from types import MappingProxyType
from typing import NamedTuple

from engine.card_graph.layout import Sizes
from engine.card_graph.recording import (
    DIMENSIONS,
    Reading,
    Recording,
    Tape,
    WeightUpdate,
    values_of,
)
from engine.card_graph.tensor import NUMBER_BYTES, TILE
from engine.cost.tape import (
    BACKWARD_OF_EMBEDDING,
    BACKWARD_OF_FIRST,
    BACKWARD_OF_HEAD,
    BACKWARD_OF_LAST,
    BACKWARD_OF_LOSS,
    EMBEDDING,
    END_OF_FORWARD,
    FORWARD,
    KINDS,
    SAMPLING,
    UPDATE,
    VALIDATION,
)
from engine.spec import ModelSpec


class Filled(NamedTuple):
    """Bytes at some moment, and of what kinds they are."""

    bytes: int
    kinds: dict[str, int]


_FORWARD_ONLY = (EMBEDDING, FORWARD, VALIDATION, SAMPLING)


class _Stretch(NamedTuple):
    """A part of a step: its phase, what it takes and gives, how often in a row.

    ``updates``: of which weights, in order, where that is what it does.
    """

    name: str
    tape: Tape
    times: int = 1
    updates: tuple[WeightUpdate, ...] = ()


class _Moment(NamedTuple):
    """A moment that may be the fullest of its phase: bytes, and what tells their kinds."""

    bytes: int
    live: dict[str, int]  # when the stretch began
    net: Mapping[str, int] = MappingProxyType({})
    in_last_turn: bool = False
    stretch: _Stretch | None = None
    heights: Sequence[int] = ()
    sizes: Sequence[int] = ()


class _Part(NamedTuple):
    """A part of a run: what it goes through, what is alive before by kind, sizes of its tensors."""

    stretches: tuple[_Stretch, ...]
    live: dict[str, int]
    sizes: list[int]


class CardCourse:
    """The memory of one design on chips with so many ``banks``, in the course of a run.

    Sequences of ``length`` tokens are learned from, up to ``text`` tokens are read for a sample;
    both in whole tiles.
    """

    def __init__(
        self, spec: ModelSpec, recording: Recording, length: int, text: int, banks: int
    ) -> None:
        self._recording, self._layers, self._banks = recording, spec.num_layers, banks
        self._extents = _measured(spec, recording, length)
        fixed = _sizes(self._extents, 1, banks)  # of what does not grow with the batch
        self._text_sizes = fixed
        if text > length:
            self._text_sizes = _sizes(_measured(spec, recording, text), 1, banks)
        self._passes = _pass_stretches(recording, spec.num_layers)
        self.weights = self._total(recording.weights, recording.layer_weights, fixed)
        self.state = self._total(recording.state, recording.layer_state, fixed)
        others = (*_freed(recording.before), *_freed(recording.after))
        self.gradients = self._total(others, _freed(recording.layer), fixed)
        self._tables = _sum(recording.tables, fixed)
        self._fixed, self._longer_text = fixed, text > length

    def _total(self, once: Tape, layer: Tape, sizes: list[int]) -> int:
        return _sum(once, sizes) + self._layers * _sum(layer, sizes)

    @cached_property
    def _update_height(self) -> int:
        """The most bytes beyond those at the end of the passes."""
        update = _update_stretches(self._recording, self._layers)
        return _highest(0, update, self._fixed)[0]

    @cached_property
    def _sampling_peak(self) -> int:
        """With a text longer than what is learned from; a shorter one takes less than a step: 0."""
        if not self._longer_text:
            return 0
        held = self.weights + self.state + _sum(self._recording.tables, self._text_sizes)
        stretches = _reading_stretches(SAMPLING, self._recording.sampling, self._layers)
        return _highest(held, stretches, self._text_sizes)[0]

    def peak(self, batch_size: int) -> int:
        """The most bytes at any moment. Validation is a part of a step, and takes no more."""
        sizes = _sizes(self._extents, batch_size, self._banks)
        between = self.weights + self.state + self._tables
        learning, live, _ = _highest(between, self._passes, sizes)
        return max(learning, live + self._update_height, self._sampling_peak)

    def at_peak(self, batch_size: int) -> Filled:
        """The fullest moment of all, with the kinds."""
        sizes = _sizes(self._extents, batch_size, self._banks)
        step, _, sampling = self._parts(sizes)
        between = self.weights + self.state + self._tables
        learning, live, at = _highest(between, self._passes, sizes)
        stretches, kinds, of = step
        if self._sampling_peak > max(learning, live + self._update_height):
            stretches, kinds, of = sampling
            _, _, at = _highest(sum(kinds.values()), stretches, of)
        elif live + self._update_height > learning:
            _, _, at = _highest(between, stretches, of)
        for stretch in stretches[:at]:
            net = self._net(stretch, of)
            kinds = {kind: kinds[kind] + stretch.times * net[kind] for kind in KINDS}
        *_, (_, moment) = self._stretch_moments((stretches[at],), kinds, of)
        return self._filled(moment)

    def phases(self, batch_size: int) -> dict[str, Filled]:
        """Each phase at its fullest, by name.

        While weights are updated "optimizer" is also what that takes for a moment.
        """
        sizes = _sizes(self._extents, batch_size, self._banks)
        fullest: dict[str, _Moment] = {}
        for name, moment in self._moments(sizes):
            if name not in fullest or moment.bytes > fullest[name].bytes:
                fullest[name] = moment
        return {name: self._filled(moment) for name, moment in fullest.items()}

    def _moments(self, sizes: list[int]) -> Iterator[tuple[str, _Moment]]:
        """Each stretch at its fullest, and the end of every forward pass."""
        for stretches, live, of in self._parts(sizes):
            yield from self._stretch_moments(stretches, live, of)

    def _parts(self, sizes: list[int]) -> tuple[_Part, _Part, _Part]:
        """A step, validation, a sample."""
        recording, layers, text = self._recording, self._layers, self._text_sizes
        held = dict.fromkeys(KINDS, 0) | {"weights": self.weights, "optimizer": self.state}
        between = held | {"activations": self._tables}
        reading = held | {"activations": _sum(recording.tables, text)}
        validation = _reading_stretches(VALIDATION, recording.validation, layers)
        sampling = _reading_stretches(SAMPLING, recording.sampling, layers)
        return (
            _Part(_step_stretches(recording, layers), between, sizes),
            _Part(validation, between, sizes),
            _Part(sampling, reading, text),
        )

    def _stretch_moments(
        self, stretches: tuple[_Stretch, ...], live: dict[str, int], sizes: list[int]
    ) -> Iterator[tuple[str, _Moment]]:
        for stretch in stretches:
            alive = sum(live.values())
            if stretch.name == BACKWARD_OF_LOSS:
                yield END_OF_FORWARD, _Moment(alive, live)
            net = self._net(stretch, sizes)
            heights = list(accumulate(map(sizes.__getitem__, stretch.tape)))
            # What grows is fullest in its last turn, what shrinks in its first.
            grown = max(0, (stretch.times - 1) * heights[-1])
            size = alive + grown + max(heights)
            yield stretch.name, _Moment(size, live, net, grown > 0, stretch, heights, sizes)
            live = {kind: live[kind] + stretch.times * net[kind] for kind in KINDS}

    def _filled(self, moment: _Moment) -> Filled:
        """The moment's bytes by kind."""
        stretch, sizes = moment.stretch, moment.sizes
        if stretch is None:
            return Filled(moment.bytes, moment.live)
        until = moment.heights.index(max(moment.heights)) + 1
        inside = self._of_kinds(stretch, Counter(stretch.tape[:until]).items(), sizes)
        done = 0
        for update in stretch.updates:
            done += len(update.tape)
            if done <= until:
                _give_back(inside, sizes[update.gradient])
        turns = stretch.times - 1 if moment.in_last_turn else 0
        kinds = {
            kind: moment.live[kind] + turns * moment.net[kind] + inside[kind] for kind in KINDS
        }
        return Filled(moment.bytes, kinds)

    def _net(self, stretch: _Stretch, sizes: Sequence[int]) -> dict[str, int]:
        """What a stretch leaves behind in one turn, by kind."""
        net = self._of_kinds(stretch, _left(stretch.tape), sizes)
        for update in stretch.updates:
            _give_back(net, sizes[update.gradient])
        return net

    def _of_kinds(
        self, stretch: _Stretch, counts: Iterable[tuple[int, int]], sizes: Sequence[int]
    ) -> dict[str, int]:
        """Bytes of so many tensors of each number, by kind."""
        kinds, of_number = dict.fromkeys(KINDS, 0), _kinds(self._recording)
        for number, times in counts:
            kind = "optimizer" if stretch.updates else of_number[abs(number)]
            if kind == "gradients" and stretch.name in _FORWARD_ONLY:
                kind = "weights"  # a table of embeddings, for a moment in another layout
            kinds[kind] += times * sizes[number]
        return kinds


@lru_cache(maxsize=512)
def _pass_stretches(recording: Recording, layers: int) -> tuple[_Stretch, ...]:
    first = BACKWARD_OF_FIRST if layers > 1 else BACKWARD_OF_LAST
    found = [
        stretch
        for one in recording.passes
        for stretch in (
            _Stretch(EMBEDDING, one.start),
            _Stretch(FORWARD, one.forward, layers - 1),
            _Stretch(FORWARD, one.last_forward),
            _Stretch(BACKWARD_OF_LOSS, one.loss),
            _Stretch(BACKWARD_OF_HEAD, one.head_backward),
            _Stretch(BACKWARD_OF_LAST, one.backward, layers - 1),
            _Stretch(first, one.last_backward),
            _Stretch(BACKWARD_OF_EMBEDDING, one.embedding_backward),
            _Stretch(UPDATE, one.after),
        )
    ]
    return _that_take(found)


@lru_cache(maxsize=512)
def _step_stretches(recording: Recording, layers: int) -> tuple[_Stretch, ...]:
    return (*_pass_stretches(recording, layers), *_update_stretches(recording, layers))


@lru_cache(maxsize=512)
def _update_stretches(recording: Recording, layers: int) -> tuple[_Stretch, ...]:
    """The clip, then weight after weight; the layers behind the first one in one."""
    first = (*recording.before, *recording.layer)
    return _that_take([
        _Stretch(UPDATE, recording.clip),
        _Stretch(UPDATE, recording.numbers),
        _Stretch(UPDATE, _joined(first), 1, first),
        _Stretch(UPDATE, _joined(recording.layer), layers - 1, recording.layer),
        _Stretch(UPDATE, _joined(recording.after), 1, recording.after),
    ])  # fmt: skip


def _joined(updates: tuple[WeightUpdate, ...]) -> Tape:
    return tuple(number for update in updates for number in update.tape)


def _freed(updates: tuple[WeightUpdate, ...]) -> Tape:
    return tuple(update.gradient for update in updates)


@lru_cache(maxsize=1024)
def _reading_stretches(name: str, reading: Reading, layers: int) -> tuple[_Stretch, ...]:
    parts = (reading.start, 1), (reading.through, layers), (reading.finish, 1)
    return _that_take([_Stretch(name, tape, times) for tape, times in parts])


def _that_take(stretches: list[_Stretch]) -> tuple[_Stretch, ...]:
    return tuple(stretch for stretch in stretches if stretch.tape and stretch.times)


def _highest(live: int, stretches: tuple[_Stretch, ...], sizes: list[int]) -> tuple[int, int, int]:
    """The most bytes at any moment from ``live`` on, those alive at the end, and the number of the
    stretch with the most."""
    fullest, size_of, where = live, sizes.__getitem__, 0
    for at, (_, tape, times, _) in enumerate(stretches):
        heights = list(accumulate(map(size_of, tape)))
        highest, net = live + max(heights), heights[-1]
        if times > 1 and net > 0:
            highest += (times - 1) * net
        if highest > fullest:
            fullest, where = highest, at
        live += times * net
    return fullest, live, where


def _give_back(kinds: dict[str, int], gradient: int) -> None:
    """One weight is updated: what its update took is gone but for the gradient, which is too."""
    kinds["gradients"] -= gradient
    kinds["optimizer"] += gradient


@lru_cache(maxsize=4096)
def _left(tape: Tape) -> tuple[tuple[int, int], ...]:
    """Numbers of tensors that a tape leaves behind or takes away, and how many of each."""
    counts: Counter[int] = Counter()
    for number in tape:
        counts[abs(number)] += 1 if number > 0 else -1
    return tuple((number, times) for number, times in counts.items() if times)


def _sum(tape: Tape, sizes: list[int]) -> int:
    return sum(map(sizes.__getitem__, tape))


@lru_cache(maxsize=512)
def _kinds(recording: Recording) -> tuple[str, ...]:
    """Of each number (from 1) what its tensor is in a pass."""
    found = [""]
    for number, extent in enumerate(recording.extents, start=1):
        letters = {*extent.rows, *extent.columns}
        if number in recording.gradients:
            found.append("gradients")
        else:
            found.append("logits" if {"B", "V"} <= letters else "activations")
    return tuple(found)


class _Measured(NamedTuple):
    """A tensor's tiles (ids: numbers) with one sequence, the bytes of one, whether it grows."""

    units: int
    unit_bytes: int
    grows: bool
    in_tiles: bool


@lru_cache(maxsize=256)
def _measured(spec: ModelSpec, recording: Recording, length: int) -> tuple[_Measured, ...]:
    """Every extent of the recording with the sizes of a design, of sequences of ``length``."""
    sizes = Sizes(spec)
    letters = {
        "B": 1, "T": length, "D": spec.hidden_dim, "H": spec.num_heads, "K": spec.num_kv_heads,
        "G": sizes.group, "h": sizes.head, "M": sizes.mlp, "V": sizes.vocabulary,
        "P": sizes.positions, "tile": TILE,
    }  # fmt: skip
    counts = {dimension: values_of(letters, dimension) for dimension in DIMENSIONS}
    tiles = {dimension: -(-count // TILE) for dimension, count in counts.items()}
    found = []
    for rows, columns, dtype, grows in recording.extents:
        if dtype == "ids":  # one row of them, a copy in every bank
            found.append(_Measured(counts[columns], NUMBER_BYTES[dtype], grows, in_tiles=False))
        else:
            unit_bytes = NUMBER_BYTES[dtype] * TILE * TILE
            found.append(_Measured(tiles[rows] * tiles[columns], unit_bytes, grows, in_tiles=True))
    return tuple(found)


def _sizes(extents: tuple[_Measured, ...], batch_size: int, banks: int) -> list[int]:
    """Bytes by number: at n what tensor n takes, at -n what it gives back.

    As engine.card_graph.tensor.stored_bytes has it. Tokens come in whole tiles, so rows of ids
    are whole units of alignment.
    """
    taken = [
        (
            -(-(units * batch_size if grows else units) // banks) * banks
            if in_tiles
            else (units * batch_size if grows else units) * banks
        )
        * unit_bytes
        for units, unit_bytes, grows, in_tiles in extents
    ]
    return [0, *taken, *(-size for size in reversed(taken))]
