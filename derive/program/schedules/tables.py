"""Loops over units and connections around static index tables: any net, one sequence or lanes."""

from __future__ import annotations

from dataclasses import replace

from derive.program.ir import Program
from derive.program.passes.defer_sums import defer_sums
from derive.program.passes.fold_tables import fold_tables
from derive.program.passes.group_rows import group_rows
from derive.program.passes.jam import jam_rows, jam_sums
from derive.program.passes.jam_columns import jam_columns
from derive.program.passes.jam_ragged import jam_ragged
from derive.program.passes.promote import promote
from derive.program.passes.split_units import split_units
from derive.program.passes.sum_by_columns import sum_by_columns
from derive.program.passes.tile_sums import tile_sums

SUMS = 8
"""Sums side by side: as many vectors as half of a processor's registers hold."""


def tables(program: Program, lanes: bool = False) -> Program:
    """``program`` as loops; its text does not grow with the net, only its tables do."""
    laid_out = tile_sums(defer_sums(fold_tables(split_units(program)), lanes))
    if lanes:
        laid_out = jam_sums(laid_out, SUMS)
    else:
        laid_out = sum_by_columns(laid_out)
    laid_out = jam_rows(jam_columns(group_rows(jam_ragged(laid_out), lanes)))
    return replace(promote(laid_out), schedule="tables")
