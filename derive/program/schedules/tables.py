"""Loops over units and connections around static index tables: any net, one sequence or lanes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from derive.blocks import BYTES, MANY, PAIRS, SHORT, SINGLE, WIDE, Block
from derive.program.ir import Program
from derive.program.passes.defer_sums import CACHE, defer_sums
from derive.program.passes.fold_rows import fold_rows
from derive.program.passes.fold_tables import fold_tables
from derive.program.passes.group_rows import group_rows
from derive.program.passes.jam import jam_rows, jam_sums
from derive.program.passes.jam_columns import jam_columns
from derive.program.passes.jam_ragged import jam_ragged
from derive.program.passes.look_up import look_up
from derive.program.passes.look_up_totals import look_up_totals
from derive.program.passes.near_sums import near_sums
from derive.program.passes.pages import GROUP
from derive.program.passes.promote import promote
from derive.program.passes.read_in_order import read_in_order
from derive.program.passes.share_units import share_units
from derive.program.passes.split_runs import split_runs
from derive.program.passes.split_units import split_units
from derive.program.passes.strip_columns import strip_columns
from derive.program.passes.sum_by_columns import sum_by_columns
from derive.program.passes.tile_sums import Tile, tile_sums
from derive.program.storage import is_heavy_program

SUMS = {SINGLE: 8, PAIRS: 6, MANY: 16, WIDE: 12}
"""Sums side by side: with what they are made of they fit the registers, and are enough that none
waits for an addition that is not done."""

TILES = {
    SINGLE: Tile(units=4, elements=3, alone=8),
    PAIRS: Tile(units=4, elements=3, alone=8),
    MANY: Tile(units=4, elements=4, alone=8),
    WIDE: Tile(units=6, elements=4, alone=8),
}
"""Sums over time at once, likewise."""

CACHES = {1: CACHE, 2: CACHE // 2}
"""Bytes that signals kept for such sums may take: processors with narrow registers have less."""

NEAR = 2**19
"""Bytes of signals of a block that sums of all units are made of before the next are read: about
what a core with the widest registers has near it."""

PAGES = {MANY: "pages, ", SHORT: "short pages, "}
"""Stands before the name of this schedule where sums look signals up in registers."""


def tables(
    program: Program,
    lanes: bool = False,
    block: Block = SINGLE,
    page: int | None = None,
    shared: bool = False,
) -> Program:
    """``program`` as loops; its text does not grow with the net, only its tables do.

    Parameters
    ----------
    program : Program
    lanes : bool
        Whether it is for a batch.
    block : Block
        How numbers stand in registers.
    page : int, optional
        Numbers of a page, wherever there can be pages and whether they pay or not: the same is then
        done on networks small enough for a proof. If not given, what registers hold where it pays.
    shared : bool
        Whether threads can do it together also where that does not pay.
    """
    by_page = bool(block.page) and not lanes
    itemsize = program.itemsize
    sizes: dict[str, Any] = {"size": block.page // itemsize, "group": GROUP // itemsize}
    if page is not None:
        sizes = {"size": page, "group": page, "product": math.inf}
    laid_out = split_runs(fold_tables(split_units(program)))
    laid_out = read_in_order(look_up(laid_out, **sizes) if by_page else laid_out)
    cache, heavy = CACHES[block.vectors], lanes and is_heavy_program(program)
    laid_out = defer_sums(laid_out, lanes, cache=cache, groups=block.groups, fitted=heavy)
    vectors = block.vectors * block.groups
    near = NEAR // (BYTES * vectors) if lanes else math.inf
    block = replace(block, groups=1)
    laid_out = look_up_totals(laid_out, **sizes, side=block.registers // 4) if by_page else laid_out
    laid_out = tile_sums(laid_out, TILES[block if lanes else SINGLE], near)
    if lanes:
        laid_out = jam_sums(laid_out, SUMS[block])
        laid_out = near_sums(laid_out, int(near)) if heavy else laid_out
    else:
        laid_out = strip_columns(sum_by_columns(laid_out))
    laid_out = jam_rows(jam_columns(group_rows(jam_ragged(laid_out), lanes)))
    each = vectors if lanes else itemsize / BYTES
    laid_out = share_units(laid_out, each, shared)
    words = PAGES[block] if laid_out.page else ""
    return replace(promote(fold_rows(laid_out)), schedule=f"{words}tables")
