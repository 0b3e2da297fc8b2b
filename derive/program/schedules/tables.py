"""Loops over units and connections around static index tables: any net, one sequence."""

from __future__ import annotations

from dataclasses import replace

from derive.program.ir import Program
from derive.program.passes.fold_tables import fold_tables
from derive.program.passes.jam_columns import jam_columns
from derive.program.passes.promote import promote
from derive.program.passes.split_units import split_units


def tables(program: Program) -> Program:
    """``program`` as loops; its text does not grow with the net, only its tables do."""
    laid_out = jam_columns(fold_tables(split_units(program)))
    return replace(promote(laid_out), schedule="tables")
