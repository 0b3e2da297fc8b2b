"""Sweeps over a long sequence in memory for a few of its steps: segments, computed twice.

The T steps are cut into segments. A first pass keeps only a *checkpoint* before each: the signals
that its first steps reach back to. Then, from the last segment to the first, the signals are
restored, the segment is computed again and kept, and swept back. With segments of about √T steps,
of which there are as many, space is Θ(√T) for one more pass forward (Chen et al. 2016). Both
passes forward do all that a step does where everything is kept, in the same order, so the results
are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from derive.program.ir import (
    Array,
    Index,
    Loop,
    Note,
    Ref,
    Statement,
    Var,
    least,
    plus,
    quotient,
    root,
    times,
)
from derive.program.layout import Layout
from derive.program.storage import copy

Body = tuple[Statement, ...]
Step = Callable[[Layout, Index], Body]
"""From a layout and t, what is done at step t."""

T, LENGTH, COUNT = Var("T"), Var("segment"), Var("segments")
"""Of the sequence, of a segment (the last may have fewer), and how many segments there are."""

SAVED = "checkpoint"


@dataclass(frozen=True, eq=False)
class Segments:
    """How a sequence is cut, and where its signals are kept.

    Attributes
    ----------
    layout : Layout
        With room for a segment; its origin is that of the first.
    length : int or None
        Steps of a segment; None for ⌈√T⌉.
    """

    layout: Layout
    length: int | None

    @property
    def derived(self) -> dict[str, Index]:
        """The sizes that follow from T."""
        steps = root(T) if self.length is None else least(self.length, T)
        return {LENGTH.name: steps, COUNT.name: quotient(plus(T, LENGTH, -1), LENGTH)}

    @property
    def arrays(self) -> dict[str, Array]:
        """The checkpoints."""
        shape = (COUNT, self.layout.longest, self.layout.width)
        return {SAVED: Array(SAVED, shape, "work", True, "signals before each segment")}

    def first_pass(self, ahead: Step) -> Body:
        """All segments but the last computed, and the signals before each of them saved."""
        b, t = Var("b"), Var("t")
        origin = times(b, LENGTH)
        steps = Loop("t", plus(origin, 1), plus(origin, LENGTH, 1), ahead(self._at(origin), t),
                     "time", turns="earlier")  # fmt: skip
        return (
            Note("the signals that the first steps of each segment reach back to"),
            self._save(0, 0),
            Loop("b", 0, plus(COUNT, -1),
                 (self._restore(b), steps, self._save(plus(b, 1), LENGTH)), "time"),
        )  # fmt: skip

    def back(self, ahead: Step, back: Step) -> Body:
        """Each segment, from the last to the first, computed again and swept back."""
        b, t = Var("b"), Var("t")
        # Counted upwards: within a loop back, passes would take steps ahead for steps back.
        segment = plus(COUNT, -1, times(b, -1))
        origin = times(segment, LENGTH)
        here, end = self._at(origin), plus(least(plus(origin, LENGTH), T), 1)
        each = (
            *self._hand_on(),
            self._restore(segment),
            Loop("t", plus(origin, 1), end, ahead(here, t), "time", turns="history"),
            Loop("t", plus(origin, 1), end, back(here, t), "time", backward=True, turns="history"),
        )
        return (
            Note("the last segment first: restored, computed again, and swept back"),
            Loop("b", 0, COUNT, each, "time"),
        )

    def _at(self, origin: Index) -> Layout:
        return replace(self.layout, memory=replace(self.layout.memory, origin=origin))

    def _save(self, segment: Index, steps: Index) -> Statement:
        """The checkpoint of a segment, whose origin is so many steps after that of what is kept."""
        return self._rows(lambda r, at: copy(self._saved(segment, r, at), self._kept(r, steps, at)))

    def _restore(self, segment: Index) -> Statement:
        """The signals before a segment, as its checkpoint has them."""
        return self._rows(lambda r, at: copy(self._kept(r, 0, at), self._saved(segment, r, at)))

    def _hand_on(self) -> Body:
        """The signals after a segment, for what looks at later ones: the first of the next one.

        From the last row on: in short segments the rows read are among those written.
        """
        pad, later = self.layout.pad, self.layout.memory.later
        if not later:
            return ()
        r, l = Var("r"), Var("l")  # noqa: E741 - the paper's letter
        put = copy(self._kept(r, plus(LENGTH, pad + 1), l), self._kept(r, pad + 1, l))
        row = Loop("l", 0, self.layout.width, (put,), "copy")
        return (Loop("r", 0, later, (row,), "copy", backward=True),)

    def _rows(self, put: Callable[[Index, Index], Statement]) -> Statement:
        row = Loop("l", 0, self.layout.width, (put(Var("r"), Var("l")),), "copy")
        return Loop("r", 0, self.layout.longest, (row,), "copy")

    def _kept(self, r: Index, further: Index, column: Index) -> Ref:
        return Ref("z", (plus(r, further), column))

    def _saved(self, segment: Index, r: Index, column: Index) -> Ref:
        return Ref(SAVED, (segment, r, column))


def segments(layout: Layout, length: int | None) -> Segments:
    """The segments of so many steps (None: ⌈√T⌉), for a layout that would keep all steps."""
    looks_on = any(kind.synapse.looked_at for kind in layout.kinds)
    later = max(layout.pad - 1, 0) if looks_on else 0
    memory = replace(layout.memory, steps=LENGTH, later=later)
    return Segments(replace(layout, memory=memory), length)
