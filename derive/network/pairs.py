"""Patterns that name pairs: unit by unit, listed, or read from a table in a file."""

from __future__ import annotations

import csv
import io
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from derive.errors import NetworkError
from derive.network.topology import (
    LEAST_DELAY,
    MOST_CONNECTIONS,
    MOST_DELAY,
    MOST_UNITS,
    Integers,
    Label,
    Places,
    whole,
)

LARGEST = 16 * 1024 * 1024
COLUMNS = ("target", "source", "delay", "weight")
UNSTATED = -1
"""Stands in a column of delays for a pair that takes the delay of its pattern."""


@dataclass(frozen=True)
class Links:
    """What a pattern makes: rows of a :class:`Block`, sources, and what a pair states itself."""

    row: Integers
    source: Integers
    delay: Integers | None = None
    weight: tuple[Label, ...] | None = None


@dataclass(frozen=True)
class Block:
    """So many targets, each with its net inputs, and so many sources, both counted from 0.

    ``target`` has one entry for each row, a row being a net input of a target, in ascending order.
    """

    targets: int
    sources: int
    target: Integers
    where: str = "connections"
    same: bool = False  # the sources are the targets themselves

    def spread(self, target: Integers, source: Integers) -> tuple[Integers, Integers, Integers]:
        """Rows and sources of pairs, for every net input of each target, and which pair it was."""
        first = np.searchsorted(self.target, target, side="left")
        count = np.searchsorted(self.target, target, side="right") - first
        pair = np.repeat(np.arange(target.size), count)
        within = np.arange(pair.size) - np.repeat(np.cumsum(count) - count, count)
        return first[pair] + within, source[pair], pair


@dataclass(frozen=True)
class OneToOne:
    """Source k to target k; in a whole network, input line k to unit k."""

    delay: int = 1

    def links(self, block: Block) -> Links:
        """The pairs (k, k)."""
        if block.targets != block.sources:
            raise NetworkError(
                f"{block.where}: one_to_one needs as many sources as targets; "
                f"there are {block.sources} and {block.targets}"
            )
        every = np.arange(block.targets, dtype=np.int64)
        row, source, _ = block.spread(every, every)
        return Links(row, source)

    def arrays(self, places: Places) -> tuple[Integers, Integers, Integers, Integers]:
        """Target, port, source and delay of each connection."""
        block, port = whole_network(places)
        block = replace(block, sources=places.inputs)
        links = self.links(block)
        delay = np.full(links.row.size, self.delay, dtype=np.int64)
        return block.target[links.row], port[links.row], places.units + links.source, delay

    def to_spec(self) -> Any:
        """``"one_to_one"``, or a table when the delay is not 1."""
        return "one_to_one" if self.delay == 1 else {"one_to_one": True, "delay": self.delay}


@dataclass(frozen=True, eq=False)
class Pairs:
    """Listed pairs (target, source[, delay[, weight id]]), to every net input of the target."""

    target: Integers
    source: Integers
    own_delay: Integers  # UNSTATED where the pattern's holds
    weight: tuple[Label, ...] | None = None
    origin: str = "pairs"
    lines: Integers | None = None  # of the file the pairs were read from
    delay: int = 1

    def links(self, block: Block) -> Links:
        """The pairs, each within the block."""
        for column, most in (("target", block.targets), ("source", block.sources)):
            values = getattr(self, column)
            far = np.flatnonzero(values >= most)
            if far.size:
                last = f"they are 0…{most - 1}" if most else "there are none"
                raise NetworkError(
                    f"{block.where}: {self._place(int(far[0]), column)}: {column} "
                    f"{values[far[0]]} is out of range; {last}"
                )
        delay = self.delays()
        self._check_distinct(delay, block)
        row, source, pair = block.spread(self.target, self.source)
        labels = None if self.weight is None else tuple(self.weight[i] for i in pair)
        return Links(row, source, delay[pair], labels)

    def arrays(
        self, places: Places
    ) -> tuple[Integers, Integers, Integers, Integers, list[Label] | None]:
        """Target, port, source, delay and weight id of each connection."""
        block, port = whole_network(places)
        links = self.links(block)
        assert links.delay is not None
        weight = None if links.weight is None else list(links.weight)
        return block.target[links.row], port[links.row], links.source, links.delay, weight

    def delays(self) -> Integers:
        """The delay of each pair."""
        return np.where(self.own_delay == UNSTATED, self.delay, self.own_delay)

    def to_spec(self) -> Any:
        """``{ pairs = [[target, source, …], …] }``."""
        spec: dict[str, Any] = {"pairs": [self._stated(i) for i in range(self.target.size)]}
        return spec if self.delay == 1 else {**spec, "delay": self.delay}

    def _stated(self, i: int) -> list[Any]:
        stated: list[Any] = [int(self.target[i]), int(self.source[i])]
        weight = None if self.weight is None else self.weight[i]
        if weight is not None:
            return [*stated, int(self.delays()[i]), weight]
        return stated if self.own_delay[i] == UNSTATED else [*stated, int(self.own_delay[i])]

    def _place(self, i: int, column: str) -> str:
        if self.lines is None:
            return f"{self.origin}[{i}]"
        return f"{self.origin}, line {self.lines[i]}, column {column!r}"

    def _check_distinct(self, delay: Integers, block: Block) -> None:
        key = (self.target * max(block.sources, 1) + self.source) * (MOST_DELAY + 1) + delay
        order = np.argsort(key, kind="stable")
        same = np.flatnonzero(key[order][1:] == key[order][:-1])
        if same.size:
            first, again = int(order[same[0]]), int(order[same[0] + 1])
            raise NetworkError(
                f"{block.where}: {self._place(again, 'target')}: target {self.target[again]}, "
                f"source {self.source[again]} and delay {delay[again]} already stand in "
                + (f"line {self.lines[first]}" if self.lines is not None else f"pair {first}")
            )


def whole_network(places: Places) -> tuple[Block, Integers]:
    """The block of all units that hear all units and input lines, and the port of each row."""
    counts = np.array([len(p) for p in places.ports], dtype=np.int64)
    target = np.repeat(np.arange(places.units, dtype=np.int64), counts)
    port = np.arange(target.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return Block(places.units, places.units + places.inputs, target), port.astype(np.int64)


def one_to_one(delay: int = 1) -> OneToOne:
    """Source k to target k; in a whole network, input line k to unit k."""
    return OneToOne(whole(delay, "connect.one_to_one: delay", LEAST_DELAY, MOST_DELAY))


def pairs(rows: Any, delay: int = 1) -> Pairs:
    """Listed pairs, to every net input of the target.

    Parameters
    ----------
    rows : sequence or integer array
        Each row is (target, source), (target, source, delay) or (target, source, delay, weight
        id). Between populations both are counted within them.
    delay : int
        Of the pairs that state none.

    Raises
    ------
    NetworkError
        Naming the row at fault.
    """
    return _pairs(rows, delay, "pairs", None)


def from_csv(path: str | Path, delay: int = 1) -> Pairs:
    """Pairs from a CSV file with the columns target, source[, delay[, weight]].

    A first line that names the columns may be there or not. An empty delay is that of the
    pattern, an empty weight a weight of the connection's own.

    Raises
    ------
    NetworkError
        With the file, and the line and column at fault.
    """
    rows: list[list[Any]] = []
    lines: list[int] = []
    try:
        for number, cells in enumerate_rows(csv.reader(io.StringIO(read_text(path)), strict=True)):
            if not rows and [c.strip().lower() for c in cells] == list(COLUMNS[: len(cells)]):
                continue
            rows.append(_row(cells, f"{path}, line {number}"))
            lines.append(number)
    except csv.Error as error:
        raise NetworkError(f"{path}: not CSV: {error}") from None
    return _pairs(rows, delay, str(path), np.array(lines, dtype=np.int64))


def enumerate_rows(reader: Any) -> Iterable[tuple[int, list[str]]]:
    """Line number and cells of each line that is not blank."""
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield reader.line_num, cells


def read_text(path: str | Path) -> str:
    """The text of a file of pairs: a regular file, of bounded size, in UTF-8.

    Raises
    ------
    NetworkError
        Naming the file and what is wrong with it.
    """
    if "\0" in str(path):
        raise NetworkError(f"{str(path)[:40]!r}: cannot be read: not the path of a file")
    try:
        # A pipe or a device never ends, whatever size it says it has.
        regular = stat.S_ISREG(Path(path).stat().st_mode)
        if not regular:
            raise NetworkError(f"{path}: cannot be read: not a regular file")
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise NetworkError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > LARGEST:
        raise NetworkError(f"{path}: larger than {LARGEST // 2**20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NetworkError(
            f"{path}: not UTF-8 text ({error.reason} at byte {error.start})"
        ) from None


def _row(cells: list[str], where: str) -> list[Any]:
    if not 2 <= len(cells) <= len(COLUMNS):
        raise NetworkError(
            f"{where}: {len(cells)} cell{'' if len(cells) == 1 else 's'}; expected "
            "target, source[, delay[, weight]]"
        )
    row: list[Any] = []
    for column, cell in zip(COLUMNS, map(str.strip, cells), strict=False):
        if column == "weight":
            row.append(_id(cell, f"{where}, column {column!r}") if cell else None)
        elif column == "delay" and not cell:
            row.append(None)
        elif re.fullmatch(r"[0-9]{1,9}", cell):
            row.append(int(cell))
        else:
            raise NetworkError(
                f"{where}, column {column!r}: expected a whole number of at least 0, "
                f"got {cell[:20]!r}"
            )
    return row


def _id(cell: str, where: str) -> Label:
    if re.fullmatch(r"[0-9]{1,9}", cell):
        return int(cell)  # the id that 7 is elsewhere
    return weight_id(cell, where)


def weight_id(value: Any, where: str) -> Label:
    """``value`` if it is a weight id: a plain name or a whole number."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return whole(value, f"{where}: a weight id", 0, 2**63 - 1)
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,63}", value):
        raise NetworkError(
            f"{where}: a weight id is a whole number or a name of ASCII letters, digits and "
            f"underscores, got {repr(value)[:40]}"
        )
    return value


def _pairs(rows: Any, delay: int, origin: str, lines: Integers | None) -> Pairs:
    delay = whole(delay, f"connect.{origin}: delay" if lines is None else f"{origin}: delay",
                  LEAST_DELAY, MOST_DELAY)  # fmt: skip
    if isinstance(rows, np.ndarray):
        rows = rows.tolist()
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Sequence):
        raise NetworkError(f"{origin}: expected rows of target and source, got {repr(rows)[:40]}")
    if len(rows) > MOST_CONNECTIONS:
        raise NetworkError(f"{origin}: {len(rows)} rows, more than {MOST_CONNECTIONS}")
    table = np.full((len(rows), 3), UNSTATED, dtype=np.int64)
    labels: list[Label] = []
    for i, row in enumerate(rows):
        where = f"{origin}[{i}]" if lines is None else f"{origin}, line {lines[i]}"
        if isinstance(row, (str, bytes)) or not isinstance(row, Sequence) or not 2 <= len(row) <= 4:
            raise NetworkError(
                f"{where}: expected [target, source], with a delay and a weight id if need be, "
                f"got {repr(row)[:40]}"
            )
        for column in (0, 1):
            place = f"{where}: {COLUMNS[column]}"
            table[i, column] = whole(row[column], place, 0, 2 * MOST_UNITS)
        if len(row) > 2 and row[2] is not None:
            table[i, 2] = whole(row[2], f"{where}: delay", LEAST_DELAY, MOST_DELAY)
        labelled = len(row) > 3 and row[3] is not None
        labels.append(weight_id(row[3], f"{where}: weight") if labelled else None)
    shared = None if all(v is None for v in labels) else tuple(labels)
    return Pairs(table[:, 0], table[:, 1], table[:, 2], shared, origin, lines, delay)
