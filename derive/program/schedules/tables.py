"""Loops over units and connections around static index tables: any net, one sequence or lanes."""

from __future__ import annotations

from dataclasses import replace

from derive.program.ir import Program
from derive.program.passes.defer_sums import defer_sums
from derive.program.passes.fold_tables import fold_tables
from derive.program.passes.jam import jam_sums
from derive.program.passes.jam_columns import jam_columns
from derive.program.passes.promote import promote
from derive.program.passes.split_units import split_units
from derive.program.passes.tile_sums import tile_sums

SUMS = 8
"""Sums side by side: as many vectors as half of a processor's registers hold."""


def tables(program: Program, lanes: bool = False) -> Program:
    """``program`` as loops; its text does not grow with the net, only its tables do."""
    laid_out = fold_tables(split_units(program))
    if lanes:
        laid_out = jam_sums(tile_sums(defer_sums(laid_out, lanes)), SUMS)
    laid_out = jam_columns(laid_out)
    return replace(promote(laid_out), schedule="tables")
