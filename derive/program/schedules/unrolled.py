"""Straight-line code over units and connections, in registers: for small nets, one sequence.

Pays below a few hundred connections; beyond, the compiler drowns in one basic block.
"""

from __future__ import annotations

from dataclasses import replace

from derive.program.ir import Program
from derive.program.passes.fold_tables import fold_tables
from derive.program.passes.fuse_columns import fuse_columns
from derive.program.passes.promote import promote
from derive.program.passes.unroll import unroll


def unrolled(program: Program) -> Program:
    """``program`` with only its loops over time left."""
    laid_out = fuse_columns(unroll(fold_tables(program)))
    return replace(promote(laid_out), schedule="unrolled")
