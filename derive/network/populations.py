"""Populations: named runs of units with one cell each, and named groups of input lines."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from derive.errors import NetworkError
from derive.network.cell import Cell
from derive.network.identifiers import check_collisions, validate_identifier
from derive.network.topology import MOST_UNITS, whole

INPUTS = "inputs"
"""The name of all input lines."""
RESERVED = {INPUTS: "the input lines", "all": "all units in an objective"}


class Populations(Mapping[str, range]):
    """Named populations: which cell, how many units. Maps each name to its range of units.

    Units are numbered population by population, in the order given.

    Parameters
    ----------
    stated : mapping of str to (Cell, int), optional
        The cell and the size of each.
    **named : (Cell, int)
        The same by keyword.

    Raises
    ------
    NetworkError
        Naming the population at fault.

    Examples
    --------
    >>> populations = derive.Populations(hidden=(cell, 16), out=(readout, 3))
    >>> populations["out"]
    range(16, 19)
    """

    def __init__(
        self, stated: Mapping[str, tuple[Cell, int]] | None = None, **named: tuple[Cell, int]
    ) -> None:
        stated = {} if stated is None else stated
        if not isinstance(stated, Mapping):
            raise NetworkError(
                f"populations: expected name: (cell, size) for each, got {shown(stated)}"
            )
        both = {**stated, **named}
        if not both:
            raise NetworkError("populations: none is given; name at least one")
        self.cells: dict[str, Cell] = {}
        self._ranges: dict[str, range] = {}
        self.units = 0
        for name, value in both.items():
            validate_identifier(name, "population")
            if name in RESERVED:
                raise NetworkError(
                    f"population {name!r}: the name stands for {RESERVED[name]}; choose another"
                )
            if not isinstance(value, (tuple, list)) or len(value) != 2:
                raise NetworkError(f"population {name!r}: expected (cell, size), got {value!r}")
            cell, size = value
            if not isinstance(cell, Cell):
                raise NetworkError(f"population {name!r}: expected a derive.Cell, got {cell!r}")
            size = whole(size, f"populations.{name}.size", 1, MOST_UNITS)
            if self.units + size > MOST_UNITS:
                raise NetworkError(
                    f"populations.{name}.size: {self.units + size} units in all, more than "
                    f"{MOST_UNITS}"
                )
            self.cells[name] = cell
            self._ranges[name] = range(self.units, self.units + size)
            self.units += size
        check_collisions(self.cells)

    def __getitem__(self, name: str) -> range:
        return self._ranges[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def __repr__(self) -> str:
        return f"Populations({', '.join(f'{n}: {len(r)}' for n, r in self.items())})"

    def by_unit(self) -> list[Cell]:
        """The cell of each unit."""
        return [self.cells[name] for name, units in self.items() for _ in units]


def input_groups(stated: Any) -> tuple[Any, dict[str, range]]:
    """The number of input lines, and the columns of ``x`` of each named group of them."""
    if not isinstance(stated, Mapping):
        return stated, {}
    groups: dict[str, range] = {}
    count = 0
    for name, size in stated.items():
        validate_identifier(name, "group of input lines")
        if name == INPUTS:
            raise NetworkError(f"inputs.{INPUTS}: the name stands for all input lines")
        groups[name] = range(count, count + whole(size, f"inputs.{name}", 1, MOST_UNITS))
        count = groups[name].stop
    if count > MOST_UNITS:
        raise NetworkError(f"inputs: {count} input lines in all, more than {MOST_UNITS}")
    check_collisions(groups)
    return count, groups


def nearest(name: Any, known: Iterable[str]) -> str:
    """What may have been meant by a name that is not known."""
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"


def shown(value: Any) -> str:
    """A stranger's value, short enough for a message."""
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print a number of very many digits
        text = "a huge number"
    return text if len(text) <= 60 else f"{text[:57]}…"
