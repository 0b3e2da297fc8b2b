"""Who is connected to whom: connections, patterns of them, and how weights are shared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from derive.errors import NetworkError

Integers = np.ndarray[Any, np.dtype[np.int64]]
Label = str | int | None

# A spec may come from a stranger: one line of it must not ask for all memory.
MOST_UNITS = 1_000_000
MOST_CONNECTIONS = 2**25
MOST_DRAWS = 10**10
LEAST_DELAY = 0
MOST_DELAY = 2**20 - 1


@dataclass(frozen=True)
class Connection:
    """w·source(t+1−delay), added to a net input of the target at t+1.

    Parameters
    ----------
    target : int
        The unit it leads to, 0…n−1.
    source : int
        What it carries: 0…n−1 are units, n…n+m−1 input lines.
    delay : int
        Steps from source to target. With 0 the target hears what the source computes in the same
        step, which may not lead round to the target itself. An input line has delay 1 at least:
        with 1 it is heard in the step it is given for.
    net_input : str, optional
        Which net input of the target; may be left out where the target has only one.
    weight : str or int, optional
        Connections with an equal weight id share one weight.
    fixed : float, optional
        The weight's value, if it is not learnt: it is then no part of theta.
    """

    target: int
    source: int
    delay: int = 1
    net_input: str | None = None
    weight: str | int | None = None
    fixed: float | None = None


@dataclass(frozen=True)
class Hearing:
    """What the connections into one net input carry: which state, and how late from units."""

    hears: str | None = None
    delay: int = 1


@dataclass(frozen=True)
class Places:
    """What a pattern needs to know of the network: its units, inputs, and net inputs.

    ``hearing`` and ``states`` are by kind of unit: ``kind[k]`` is that of unit k. They are left
    out where every net input hears outputs one step late.
    """

    units: int
    inputs: int
    ports: tuple[tuple[str, ...], ...]  # the net inputs of each unit
    kind: Integers | None = None
    hearing: tuple[tuple[Hearing, ...], ...] = ()
    states: tuple[tuple[str, ...], ...] = ()

    def of(self, unit: int, port: int) -> Hearing:
        """What one net input of a unit hears."""
        return Hearing() if self.kind is None else self.hearing[self.kind[unit]][port]

    def has(self, unit: int, state: str | None) -> bool:
        """Whether a source unit has the state that a net input hears."""
        return state is None or self.kind is None or state in self.states[self.kind[unit]]


@dataclass(frozen=True)
class Wiring:
    """Connections as columns of one table, in canonical order (target, net input, source, delay).

    ``port`` counts the net inputs of the target's cell; ``weight`` is the index into theta, or,
    from ``weights`` on, into the values of fixed weights.
    """

    target: Integers
    port: Integers
    source: Integers
    delay: Integers
    weight: Integers
    labels: tuple[str | int | None, ...] | None  # the id each distinct weight was given, if any was
    fixed: Any = ()  # the values of those distinct weights that are not learnt

    @property
    def size(self) -> int:
        """The number of connections."""
        return int(self.target.size)

    @property
    def weights(self) -> int:
        """The number of distinct weights that are learnt."""
        return int(self.weight.max()) + 1 - len(self.fixed) if self.size else 0

    @property
    def longest_delay(self) -> int:
        """The longest delay; 1 where there is none longer."""
        return max(int(self.delay.max()), 1) if self.size else 1

    @property
    def learnt(self) -> Any:
        """For each connection whether its weight is learnt."""
        return self.weight < self.weights

    def all_weights(self, theta: Any) -> Any:
        """The value of every distinct weight, learnt ones first."""
        return np.concatenate([np.asarray(theta)[: self.weights], self.fixed])


class Pattern(Protocol):
    """A rule that makes connections once the network's size is known."""

    def arrays(self, places: Places) -> tuple[Integers, Integers, Integers, Integers]:
        """Target, port, source and delay of each connection."""
        ...

    def to_spec(self) -> Any:
        """The pattern as the value of ``connections`` in a spec file."""
        ...


def _every_port(places: Places) -> tuple[Integers, Integers]:
    counts = np.array([len(p) for p in places.ports], dtype=np.int64)
    target = np.repeat(np.arange(places.units), counts)
    port = np.concatenate([np.arange(c) for c in counts]) if places.units else target
    return target.astype(np.int64), port.astype(np.int64)


def _affordable(count: float) -> None:
    if count > MOST_CONNECTIONS:
        raise NetworkError(
            f"connections: the pattern makes {count:.0f} of them, more than {MOST_CONNECTIONS}"
        )


@dataclass(frozen=True)
class Full:
    """Every unit and input line to every net input of every unit."""

    delay: int = 1

    def arrays(self, places: Places) -> tuple[Integers, Integers, Integers, Integers]:
        """Target, port, source and delay of each connection."""
        target, port = _every_port(places)
        sources = places.units + places.inputs
        _affordable(target.size * sources)
        return (
            np.repeat(target, sources),
            np.repeat(port, sources),
            np.tile(np.arange(sources, dtype=np.int64), target.size),
            np.full(target.size * sources, self.delay, dtype=np.int64),
        )

    def to_spec(self) -> Any:
        """``"full"``, or a table when the delay is not 1."""
        return "full" if self.delay == 1 else {"full": True, "delay": self.delay}


@dataclass(frozen=True)
class Random:
    """Each of the connections of :class:`Full` is there with probability ``density``."""

    density: float
    seed: int
    delay: int = 1

    def arrays(self, places: Places) -> tuple[Integers, Integers, Integers, Integers]:
        """Target, port, source and delay of each connection."""
        target, port = _every_port(places)
        generator = np.random.Generator(np.random.PCG64(self.seed))
        sources = places.units + places.inputs
        _affordable(target.size * sources * self.density)
        if target.size * sources > MOST_DRAWS:
            raise NetworkError(
                f"connect.random: {target.size * sources} possible connections, more than "
                f"{MOST_DRAWS}; give the connections as a list"
            )
        # Row by row: 10⁴ units would otherwise need 10⁸ numbers at once.
        rows = [
            np.flatnonzero(generator.random(sources) < self.density) for _ in range(target.size)
        ]
        counts = np.array([r.size for r in rows], dtype=np.int64)
        source = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
        return (
            np.repeat(target, counts),
            np.repeat(port, counts),
            source.astype(np.int64),
            np.full(source.size, self.delay, dtype=np.int64),
        )

    def to_spec(self) -> Any:
        """``{ random = density, seed = … }``."""
        spec: dict[str, Any] = {"random": self.density, "seed": self.seed}
        return spec if self.delay == 1 else {**spec, "delay": self.delay}


@dataclass(frozen=True)
class Ring:
    """Unit k listens to unit k−1 (and unit 0 to the last); input lines reach every unit."""

    delay: int = 1

    def arrays(self, places: Places) -> tuple[Integers, Integers, Integers, Integers]:
        """Target, port, source and delay of each connection."""
        target, port = _every_port(places)
        _affordable(target.size * (1 + places.inputs))
        sources = np.empty((target.size, 1 + places.inputs), dtype=np.int64)
        sources[:, 0] = (target - 1) % max(places.units, 1)
        sources[:, 1:] = places.units + np.arange(places.inputs)
        width = 1 + places.inputs
        return (
            np.repeat(target, width),
            np.repeat(port, width),
            sources.ravel(),
            np.full(sources.size, self.delay, dtype=np.int64),
        )

    def to_spec(self) -> Any:
        """``"ring"``, or a table when the delay is not 1."""
        return "ring" if self.delay == 1 else {"ring": True, "delay": self.delay}


@dataclass(frozen=True)
class Layers:
    """Units in consecutive layers: inputs to the first, each fully to the next, and to itself.

    With delay 0 a layer hears the one before it in the same step; itself, and inputs, with delay 1.
    """

    sizes: tuple[int, ...]
    recurrent: bool = True
    delay: int = 1

    def arrays(self, places: Places) -> tuple[Integers, Integers, Integers, Integers]:
        """Target, port, source and delay of each connection."""
        if sum(self.sizes) != places.units:
            raise NetworkError(
                f"layers: sizes {list(self.sizes)} add up to {sum(self.sizes)}, "
                f"but the network has {places.units} units"
            )
        ends = np.cumsum(self.sizes)
        starts = ends - np.array(self.sizes)
        target, port = _every_port(places)
        between = sum(a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False))
        within = sum(size * size for size in self.sizes) if self.recurrent else 0
        _affordable(between + within + self.sizes[0] * places.inputs)
        rows = []
        for k in target:
            layer = int(np.searchsorted(ends, k, side="right"))
            own = range(starts[layer], ends[layer]) if self.recurrent else range(0)
            before = range(starts[layer - 1], ends[layer - 1]) if layer else range(0)
            lines = range(places.units, places.units + places.inputs) if layer == 0 else range(0)
            rows.append([*before, *own, *lines])
        counts = np.array([len(r) for r in rows], dtype=np.int64)
        source = np.array([s for r in rows for s in r], dtype=np.int64)
        heard_by = np.repeat(target, counts)
        delay = np.full(source.size, self.delay, dtype=np.int64)
        if self.delay == 0:
            layer_of = np.repeat(np.arange(len(self.sizes)), self.sizes)
            from_unit = source < places.units
            delay[~from_unit] = 1
            delay[from_unit] = layer_of[heard_by[from_unit]] == layer_of[source[from_unit]]
        return heard_by, np.repeat(port, counts), source, delay

    def to_spec(self) -> Any:
        """``{ layers = […], recurrent = … }``."""
        spec: dict[str, Any] = {"layers": list(self.sizes)}
        if not self.recurrent:
            spec["recurrent"] = False
        return spec if self.delay == 1 else {**spec, "delay": self.delay}


def full(delay: int = 1) -> Full:
    """Every unit and input line to every net input of every unit."""
    return Full(whole(delay, "connect.full: delay", 1))


def random(density: float, seed: int, delay: int = 1) -> Random:
    """Each possible connection with probability ``density``, drawn from ``seed``.

    Raises
    ------
    NetworkError
        For a density outside 0…1 or a seed that is not a whole number ≥ 0.
    """
    if isinstance(density, bool) or not isinstance(density, (int, float)) or not 0 <= density <= 1:
        raise NetworkError(f"connect.random: density must lie in 0…1, got {density!r}")
    return Random(
        float(density),
        whole(seed, "connect.random: seed", 0),
        whole(delay, "connect.random: delay", 1),
    )


def ring(delay: int = 1) -> Ring:
    """Unit k listens to unit k−1; input lines reach every unit."""
    return Ring(whole(delay, "connect.ring: delay", 1))


def layers(*sizes: int, recurrent: bool = True, delay: int = 1) -> Layers:
    """Consecutive layers of the given sizes, each feeding the next and (if recurrent) itself."""
    if not sizes:
        raise NetworkError("connect.layers: give the size of at least one layer")
    return Layers(
        tuple(whole(size, "connect.layers: a size", 1) for size in sizes),
        bool(recurrent),
        whole(delay, "connect.layers: delay", 0),
    )


def whole(value: Any, what: str, least: int, most: int | None = None) -> int:
    """``value`` as an int of at least ``least`` (and at most ``most``), or one clear error."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise NetworkError(f"{what} must be a whole number, got {value!r}")
    # Python refuses to print a number of very many digits.
    shown = value if -(10**20) < value < 10**20 else "a huge number"
    if value < least:
        raise NetworkError(f"{what} must be at least {least}, got {shown}")
    if most is not None and value > most:
        raise NetworkError(f"{what} must be at most {most}, got {shown}")
    return int(value)


def finite(value: Any, what: str) -> float:
    """``value`` as a float, or one clear error."""
    numbers = (int, float, np.integer, np.floating)
    try:
        if isinstance(value, numbers) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number beyond every float
        pass
    shown = repr(value) if not isinstance(value, int) or abs(value) < 10**20 else "a huge number"
    raise NetworkError(f"{what} must be a finite number, got {shown}")


def wire(connections: Any, places: Places) -> Wiring:
    """The canonical table of connections, from a pattern or a list.

    Raises
    ------
    NetworkError
        For an index out of range, a delay below 0 or not whole, an unknown net input, a source
        without the state that is to be heard, or two connections with equal (target, net input,
        source, delay).
    """
    labels: list[Label] | None = None
    if hasattr(connections, "arrays"):
        # A pattern that shares or fixes weights gives further columns: their ids, their values.
        target, port, source, delay, *further = connections.arrays(places)
        there, delay = _reaching(places, target, port, source, delay)
        ids, fixed = (*further, None, None)[:2]
        fixed = np.full(target.size, np.nan) if fixed is None else fixed
        target, port, source, delay, fixed = (
            a[there] for a in (target, port, source, delay, fixed)
        )
        labels = None if ids is None else [ids[i] for i in np.flatnonzero(there)]
    else:
        target, port, source, delay, labels, fixed = _listed(connections, places)
    order = np.lexsort((delay, source, port, target))
    target, port, source, delay = (a[order] for a in (target, port, source, delay))
    fixed = fixed[order]
    key = np.stack([target, port, source, delay])
    same = np.flatnonzero((key[:, 1:] == key[:, :-1]).all(axis=0))
    if same.size:
        i = int(same[0])
        raise NetworkError(
            f"connections: two lead from source {source[i]} to net input "
            f"{places.ports[target[i]][port[i]]!r} of unit {target[i]} with delay {delay[i]}; "
            "keep one, or give them different delays"
        )
    own = [None] * target.size if labels is None else [labels[int(i)] for i in order]
    weight, names, values = _weights(own, fixed)
    return Wiring(target, port, source, delay, weight, None if labels is None else names, values)


def _weights(labels: list[Label], fixed: Any) -> tuple[Integers, tuple[Label, ...], Any]:
    """Number the distinct weights, learnt ones first; with the fixed ones' values."""
    learnt = np.isnan(fixed)
    if all(label is None for label in labels):
        weight = np.empty(learnt.size, dtype=np.int64)
        first = int(learnt.sum())
        weight[learnt] = np.arange(first)
        weight[~learnt] = np.arange(first, learnt.size)
        return weight, (None,) * learnt.size, fixed[~learnt]
    numbers: dict[tuple[str, Label], int] = {}
    weight = np.empty(learnt.size, dtype=np.int64)
    names: list[Label] = []
    values: list[float] = []
    for chosen in (True, False):
        for place in np.flatnonzero(learnt == chosen).tolist():
            label = labels[place]
            # An own weight has no id: its key is the place, which no id can equal.
            key = ("own", place) if label is None else ("id", label)
            number = numbers.setdefault(key, len(names))
            if number == len(names):
                names.append(label)
                values.append(float(fixed[place]))
            if values[number] != fixed[place] and not (chosen and np.isnan(values[number])):
                raise NetworkError(
                    f"connections: weight id {label!r} is learnt in one place and fixed in "
                    "another, or fixed at two values; give them different ids"
                )
            weight[place] = number
    return weight, tuple(names), np.array([v for v in values if not np.isnan(v)])


def _reaching(
    places: Places, target: Integers, port: Integers, source: Integers, delay: Integers
) -> tuple[Any, Integers]:
    """Which of a pattern's connections there are, and their delays, as their net inputs hear.

    One that hears a state hears the units that have it; one that hears in the same step hears
    units with delay 0. Where all hear outputs one step late nothing changes.
    """
    there = np.ones(target.size, dtype=bool)
    if delay.size and delay.min() < 1 and (source[delay < 1] >= places.units).any():
        raise NetworkError(
            "connections: the pattern hears input lines with delay 0; they have delay 1 at least, "
            "with which they are heard in the step that they are given for"
        )
    if places.kind is None:
        return there, delay
    delay = delay.copy()
    from_unit = source < places.units
    kind = places.kind[target]
    for c, hearing in enumerate(places.hearing):
        for p, h in enumerate(hearing):
            into = from_unit & (kind == c) & (port == p)
            if h.delay == 0:
                delay[into & (delay == 1)] = 0
            if h.hears is not None:
                without = [i for i, states in enumerate(places.states) if h.hears not in states]
                sources = places.kind[np.minimum(source, places.units - 1)]
                there &= ~(into & np.isin(sources, without))
    return there, delay


def _listed(
    connections: Iterable[Any], places: Places
) -> tuple[Integers, Integers, Integers, Integers, list[Label] | None, Any]:
    if isinstance(connections, (str, bytes)) or not isinstance(connections, Iterable):
        raise NetworkError(
            f"connections: expected a pattern such as derive.connect.full() or a list, "
            f"got {connections!r}"
        )
    rows: list[tuple[int, int, int, int]] = []
    labels: list[Label] = []
    fixed: list[float] = []
    for i, item in enumerate(connections):
        c = as_connection(item, f"connections[{i}]")
        rows.append(_checked(c, places, f"connections[{i}]"))
        labels.append(c.weight)
        fixed.append(np.nan if c.fixed is None else finite(c.fixed, f"connections[{i}]: fixed"))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return (
        table[0],
        table[1],
        table[2],
        table[3],
        None if all(v is None for v in labels) else labels,
        np.array(fixed, dtype=np.float64),
    )


def as_connection(item: Any, where: str) -> Connection:
    """A Connection from itself, a ``(target, source[, delay])`` sequence, or a spec table."""
    if isinstance(item, Connection):
        return item
    if isinstance(item, dict):
        known = ("target", "source", "delay", "net_input", "weight", "fixed")
        extra = sorted(set(item) - set(known))
        if extra or not {"target", "source"} <= set(item):
            culprit = f"unknown key {extra[0]!r}" if extra else "target or source is missing"
            raise NetworkError(f"{where}: {culprit}; a connection has {', '.join(known)}")
        return Connection(**item)
    if isinstance(item, Sequence) and not isinstance(item, (str, bytes)) and len(item) in (2, 3):
        return Connection(*item)
    raise NetworkError(
        f"{where}: expected (target, source), (target, source, delay) or derive.Connection, "
        f"got {item!r}"
    )


def _checked(c: Connection, places: Places, where: str) -> tuple[int, int, int, int]:
    target = whole(c.target, f"{where}: target", 0)
    source = whole(c.source, f"{where}: source", 0)
    if target >= places.units:
        raise NetworkError(
            f"{where}: target {target} is out of range; units are 0…{places.units - 1}"
        )
    if source >= places.units + places.inputs:
        raise NetworkError(
            f"{where}: source {source} is out of range; units are 0…{places.units - 1}"
            + (
                f", input lines {places.units}…{places.units + places.inputs - 1}"
                if places.inputs
                else ", and there are no input lines"
            )
        )
    if isinstance(c.weight, bool) or not isinstance(c.weight, (str, int, type(None))):
        raise NetworkError(f"{where}: weight id {c.weight!r} is not a name or whole number")
    port = _port(c.net_input, places.ports[target], target, where)
    hearing = places.of(target, port)
    from_unit = source < places.units
    if from_unit and not places.has(source, hearing.hears):
        raise NetworkError(
            f"{where}: unit {source} has no state {hearing.hears!r}, which net input "
            f"{places.ports[target][port]!r} of unit {target} hears"
        )
    if c.delay == 0 and not from_unit and not isinstance(c.delay, bool):
        raise NetworkError(
            f"{where}: an input line has delay 1 at least; with 1 it is heard in the step that it "
            "is given for"
        )
    delay = whole(c.delay, f"{where}: delay", 0)
    if delay >= 2**20:
        raise NetworkError(f"{where}: delay {delay} is not below {2**20}")
    return target, port, source, delay


def _port(name: Any, ports: tuple[str, ...], target: int, where: str) -> int:
    """Which of a unit's net inputs is meant."""
    if not ports:
        raise NetworkError(f"{where}: unit {target} has no net input to connect to")
    if name is None:
        if len(ports) > 1:
            raise NetworkError(
                f"{where}: unit {target} has net inputs {', '.join(ports)}; say which"
            )
        return 0
    if name not in ports:
        raise NetworkError(
            f"{where}: unit {target} has no net input {name!r}; it has {', '.join(ports)}"
        )
    return ports.index(name)
