"""Connections stated between populations by name, and the patterns they are made by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from derive.errors import NetworkError
from derive.network.fixed import FixedWeights, fixed_weights
from derive.network.identifiers import check_collisions
from derive.network.pairs import Block, Links, OneToOne, Pairs, weight_id
from derive.network.populations import INPUTS, nearest, shown
from derive.network.topology import (
    LEAST_DELAY,
    MOST_CONNECTIONS,
    MOST_DELAY,
    MOST_DRAWS,
    Full,
    Integers,
    Label,
    Places,
    Random,
    Ring,
    whole,
)

MOST_ENTRIES = 10_000
PER = ("net_input", "target", "source", "offset")
"""What a weight id may be one for each of; the offset is source − target."""


@dataclass(frozen=True)
class Between:
    """Connections from populations or input lines to populations; see :func:`between`."""

    source: tuple[str, ...]
    target: tuple[str, ...]
    pattern: Any = Full()
    delay: int = 1
    net_inputs: tuple[str, ...] | None = None
    weight: Label = None
    weight_per: tuple[str, ...] = ()
    self_loops: bool = True
    fixed: FixedWeights | None = None

    def to_spec(self) -> dict[str, Any]:
        """The entry of ``[[connections]]`` in a spec file."""
        spec: dict[str, Any] = {"from": _one_or_list(self.source), "to": _one_or_list(self.target)}
        stated = replace(self.pattern, delay=self.delay).to_spec()
        if isinstance(stated, dict):
            stated.pop("delay", None)
            kind = next(iter(stated))
            stated = kind if stated == {kind: True} else stated
        if stated != "full":
            spec["pattern"] = stated
        if self.delay != 1:
            spec["delay"] = self.delay
        if self.net_inputs is not None:
            spec["net_inputs"] = list(self.net_inputs)
        if self.weight is not None:
            spec["weight"] = self.weight
        if self.weight_per:
            spec["weight_per"] = _one_or_list(self.weight_per)
        if not self.self_loops:
            spec["self"] = False
        if self.fixed is not None:
            spec["fixed"] = self.fixed.to_spec()
        return spec


def between(
    source: str | Sequence[str],
    target: str | Sequence[str],
    pattern: Any = None,
    *,
    delay: int | None = None,
    net_inputs: Sequence[str] | None = None,
    weight: str | int | None = None,
    weight_per: str | Sequence[str] = (),
    self_loops: bool = True,
    fixed: Any = None,
) -> Between:
    """Connections from populations or input lines to populations.

    Parameters
    ----------
    source : str or sequence of str
        Populations, groups of input lines, or ``"inputs"`` for all of these; several count on.
    target : str or sequence of str
        Populations.
    pattern : pattern, optional
        ``derive.connect.full()`` if not given; or ``random``, ``one_to_one``, ``ring`` (within one
        population), ``pairs`` or ``from_csv``, whose numbers count within source and target.
    delay : int, optional
        Of each connection; the pattern's own if not given.
    net_inputs : sequence of str, optional
        Which net inputs of the targets; all if not given.
    weight : str or int, optional
        A weight id: connections with an equal id share one weight.
    weight_per : str or sequence of str
        One shared weight for each ``"net_input"``, ``"target"``, ``"source"`` or ``"offset"``
        (source − target), or for each combination of several of these.
    self_loops : bool
        Whether a unit may be connected to itself.
    fixed : number or mapping, optional
        Values of the weights, if these are not learnt; see :func:`derive.connect.fixed`.

    Raises
    ------
    NetworkError
        Naming the argument at fault.
    """
    pattern = Full() if pattern is None else pattern
    if type(pattern) not in LINKS:
        raise NetworkError(
            f"pattern: between populations it is full, random, one_to_one, ring, pairs or csv, "
            f"got {shown(pattern)}"
        )
    if delay is None:
        delay = pattern.delay
    elif pattern.delay not in (1, delay):
        raise NetworkError(f"delay: {delay!r} here and {pattern.delay} in the pattern; give one")
    if not isinstance(self_loops, bool):
        raise NetworkError(f"self: expected true or false, got {shown(self_loops)}")
    per = _names(weight_per, "weight_per", empty=True)
    for name in per:
        if name not in PER:
            raise NetworkError(f"weight_per: no {shown(name)}; {nearest(name, PER)}")
    if weight is not None:
        weight = weight_id(weight, "weight")
    elif per:
        raise NetworkError('weight_per: give the weight\'s id too, as in weight = "kernel"')
    return Between(
        source=_names(source, "from"),
        target=_names(target, "to"),
        pattern=replace(pattern, delay=1),
        delay=whole(delay, "delay", LEAST_DELAY, MOST_DELAY),
        net_inputs=None if net_inputs is None else _names(net_inputs, "net_inputs"),
        weight=weight,
        weight_per=per,
        self_loops=self_loops,
        fixed=None if fixed is None else fixed_weights(fixed),
    )


@dataclass(frozen=True)
class Joined:
    """The connections between populations, as one pattern of the whole network."""

    between: tuple[Between, ...]
    populations: Mapping[str, range]
    groups: Mapping[str, range]

    def to_spec(self) -> list[dict[str, Any]]:
        """The ``[[connections]]`` of a spec file."""
        return [b.to_spec() for b in self.between]

    def arrays(
        self, places: Places
    ) -> tuple[Integers, Integers, Integers, Integers, list[Label] | None, Any]:
        """Target, port, source, delay, weight id and fixed value of each connection."""
        blocks = self._blocks(places)
        made: list[Made] = []
        count = 0
        for b, (block, targets, sources, port) in zip(self.between, blocks, strict=True):
            made.append(_made(b, block, targets, sources, port, places))
            count += made[-1].target.size
            if count > MOST_CONNECTIONS:
                raise NetworkError(
                    f"{block.where}: {count} connections up to here, more than {MOST_CONNECTIONS}"
                )
        target, port, source, delay = (
            np.concatenate([getattr(m, column) for m in made])
            for column in ("target", "port", "source", "delay")
        )
        _check_distinct(made, places)
        labels: list[Label] | None = None
        if any(m.labels for m in made):
            labels = [v for m in made for v in (m.labels or [None] * m.target.size)]
        fixed = None
        if any(b.fixed for b in self.between):
            fixed = np.concatenate(
                [
                    np.full(m.target.size, np.nan)
                    if b.fixed is None
                    else b.fixed.values(m.target, m.source, places, f"connections[{i}].fixed")
                    for i, (b, m) in enumerate(zip(self.between, made, strict=True))
                ]
            )
        return target, port, source, delay, labels, fixed

    def _blocks(self, places: Places) -> list[tuple[Block, Integers, Integers, Integers]]:
        """Of each entry: its block, the units and sources in it, the ports of the block's rows."""
        found = []
        rows: dict[Any, tuple[Integers, Integers]] = {}
        draws = 0
        for i, b in enumerate(self.between):
            where = f"connections[{i}]"
            targets = self._units(b.target, f"{where}.to", self.populations)
            sources = self._units(b.source, f"{where}.from", self._sources(places))
            reached = b.target, b.net_inputs
            if reached not in rows:
                rows[reached] = _rows(targets, b, where, places)
            target, port = rows[reached]
            # Counted for all entries before one is drawn.
            draws += target.size * sources.size if isinstance(b.pattern, Random) else 0
            if draws > MOST_DRAWS:
                raise NetworkError(
                    f"{where}: random among {draws} possible connections up to here, more than "
                    f"{MOST_DRAWS}; give them as pairs"
                )
            block = Block(targets.size, sources.size, target, where, b.source == b.target)
            found.append((block, targets, sources, port))
        return found

    def _sources(self, places: Places) -> dict[str, range]:
        n = places.units
        lines = {name: range(n + r.start, n + r.stop) for name, r in self.groups.items()}
        return {**self.populations, INPUTS: range(n, n + places.inputs), **lines}

    def _units(self, names: tuple[str, ...], where: str, known: Mapping[str, range]) -> Integers:
        for name in names:
            if name not in known:
                if name == INPUTS or name in self.groups:
                    raise NetworkError(f"{where}: {name!r} are input lines; nothing leads to them")
                raise NetworkError(f"{where}: no population {shown(name)}; {nearest(name, known)}")
            if not known[name]:
                raise NetworkError(f"{where}: the network has no input lines")
        found = [known[name] for name in names]
        units = np.concatenate([np.arange(r.start, r.stop, dtype=np.int64) for r in found])
        if np.unique(units).size < units.size:
            raise NetworkError(f"{where}: {', '.join(names)} name some unit twice")
        return units


@dataclass(frozen=True)
class Made:
    """Connections of one entry, numbered in the network."""

    target: Integers
    port: Integers
    source: Integers
    delay: Integers
    labels: list[Label] | None

    def where(self, keep: Any) -> Made:
        """Those that are to be kept."""
        labels = self.labels
        if labels is not None:
            labels = [labels[i] for i in np.flatnonzero(keep)]
        return Made(self.target[keep], self.port[keep], self.source[keep], self.delay[keep], labels)


def _made(
    b: Between, block: Block, targets: Integers, sources: Integers, port: Integers, places: Places
) -> Made:
    links = LINKS[type(b.pattern)](replace(b.pattern, delay=b.delay), block)
    made = Made(
        targets[block.target[links.row]],
        port[links.row],
        sources[links.source],
        np.full(links.row.size, b.delay) if links.delay is None else links.delay,
        _labels(b, links, block.target, port, targets, places),
    )
    return made if b.self_loops else made.where(made.target != made.source)


def _check_distinct(made: list[Made], places: Places) -> None:
    """Name both entries where two make the same connection."""
    target, port, source, delay = (
        np.concatenate([getattr(m, column) for m in made])
        for column in ("target", "port", "source", "delay")
    )
    if not target.size:
        return
    widths = [int(a.max()) + 1 for a in (port, source, delay)]
    if (int(target.max()) + 1) * math.prod(widths) >= 2**63:
        return  # too large for one key; what is found later names the connection alone
    key = ((target * widths[0] + port) * widths[1] + source) * widths[2] + delay
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order][1:] == key[order][:-1])
    if not same.size:
        return
    i = int(order[same[0]])
    starts = np.cumsum([m.target.size for m in made])
    first, again = np.searchsorted(starts, [i, int(order[same[0] + 1])], side="right").tolist()
    raise NetworkError(
        f"connections[{again}]: source {source[i]} to net input "
        f"{places.ports[target[i]][port[i]]!r} of unit {target[i]} with delay {delay[i]} is "
        f"already in connections[{first}]; keep one, or give them different delays"
    )


def joined(connections: Any, populations: Mapping[str, range], groups: Mapping[str, range]) -> Any:
    """``connections`` as they are, or one pattern where they are stated between populations."""
    for name in groups:
        if name in populations:
            raise NetworkError(f"inputs.{name}: a population has this name; rename one")
    check_collisions([*populations, *groups])
    if isinstance(connections, Between):
        connections = [connections]
    if not isinstance(connections, (list, tuple)):
        return connections
    named = [isinstance(c, Between) for c in connections]
    if not any(named):
        return connections
    if not populations:
        raise NetworkError("connections: between() leads from and to populations; none is stated")
    if len(connections) > MOST_ENTRIES:
        raise NetworkError(f"connections: {len(connections)} entries, more than {MOST_ENTRIES}")
    if not all(named):
        raise NetworkError(
            f"connections[{named.index(False)}]: connections between populations and numbered "
            "ones do not mix; use connect.between(…, connect.pairs(…))"
        )
    return Joined(tuple(connections), populations, groups)


# --- patterns within a block ------------------------------------------------------------------


def _full(pattern: Full, block: Block) -> Links:
    _affordable(block, block.target.size * block.sources)
    every = np.arange(block.sources, dtype=np.int64)
    rows = np.arange(block.target.size, dtype=np.int64)
    return Links(np.repeat(rows, block.sources), np.tile(every, rows.size))


def _random(pattern: Random, block: Block) -> Links:
    possible = block.target.size * block.sources
    _affordable(block, possible * pattern.density)
    generator = np.random.Generator(np.random.PCG64(pattern.seed))
    drawn = [
        np.flatnonzero(generator.random(block.sources) < pattern.density) for _ in block.target
    ]
    row = np.repeat(np.arange(len(drawn), dtype=np.int64), [r.size for r in drawn])
    return Links(row, np.concatenate([np.zeros(0, dtype=np.int64), *drawn]))


def _ring(pattern: Ring, block: Block) -> Links:
    if not block.same:
        raise NetworkError(f"{block.where}: a ring is within one population; let from be to")
    rows = np.arange(block.target.size, dtype=np.int64)
    return Links(rows, (block.target - 1) % block.targets)


LINKS: dict[type, Any] = {
    Full: _full,
    Random: _random,
    Ring: _ring,
    OneToOne: OneToOne.links,
    Pairs: Pairs.links,
}


def _affordable(block: Block, count: float) -> None:
    if count > MOST_CONNECTIONS:
        raise NetworkError(
            f"{block.where}: the pattern makes {count:.0f} connections, more than "
            f"{MOST_CONNECTIONS}"
        )


def _rows(targets: Integers, b: Between, where: str, places: Places) -> tuple[Integers, Integers]:
    """Of each row of the block: the target, counted within the block, and the port."""
    ports_of: dict[tuple[str, ...], list[int]] = {}
    chosen = []
    for k in targets.tolist():
        names = places.ports[k]
        if names not in ports_of:
            ports_of[names] = _ports(names, b, where)
        chosen.append(ports_of[names])
    target = np.repeat(np.arange(targets.size, dtype=np.int64), [len(c) for c in chosen])
    return target, np.array([p for c in chosen for p in c], dtype=np.int64)


def _ports(names: tuple[str, ...], b: Between, where: str) -> list[int]:
    to = ", ".join(b.target)
    if not names:
        raise NetworkError(f"{where}.to: the cell of {to} has no net input to connect to")
    for wanted in b.net_inputs or ():
        if wanted not in names:
            raise NetworkError(
                f"{where}.net_inputs: {to} has no net input {shown(wanted)}; "
                + nearest(wanted, names)
            )
    return [i for i, n in enumerate(names) if b.net_inputs is None or n in b.net_inputs]


def _labels(
    b: Between,
    links: Links,
    target: Integers,
    port: Integers,
    targets: Integers,
    places: Places,
) -> list[Label] | None:
    """The weight id of each connection; a pair's own holds before that of the entry."""
    if b.weight is None and links.weight is None:
        return None
    own = links.weight or [None] * links.row.size
    if b.weight is None or not b.weight_per:
        return [b.weight if v is None else v for v in own]
    within = target[links.row]
    columns: dict[str, Iterable[Any]] = {
        "net_input": (
            places.ports[k][p]
            for k, p in zip(targets[within].tolist(), port[links.row].tolist(), strict=True)
        ),
        "target": within.tolist(),
        "source": links.source.tolist(),
        "offset": (links.source - within).tolist(),
    }
    parts = zip(*(columns[name] for name in b.weight_per), strict=True)
    # No id that a person can give has a colon in it.
    return [
        f"{b.weight}:{','.join(map(str, part))}" if v is None else v
        for v, part in zip(own, parts, strict=True)
    ]


# --- names ---------------------------------------------------------------------------


def _names(value: Any, where: str, empty: bool = False) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
        raise NetworkError(f"{where}: expected a name or a list of names, got {shown(value)}")
    if not value and not empty:
        raise NetworkError(f"{where}: the list is empty; name at least one")
    if len(set(value)) < len(value):
        twice = next(v for v, count in Counter(value).items() if count > 1)
        raise NetworkError(f"{where}: {shown(twice)} stands twice")
    return tuple(value)


def _one_or_list(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)
