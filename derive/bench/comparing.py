"""One case: all contenders made, judged against float64, and timed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from derive.bench import own
from derive.bench.case import Case
from derive.bench.judging import difference, wrong
from derive.bench.machine import load
from derive.bench.measuring import QUICK, THOROUGH, measure
from derive.bench.peers import makers as makers_of
from derive.bench.peers.numpy import reference
from derive.bench.problem import Contender, Maker, Problem, problem_of
from derive.errors import BenchError
from derive.program.algorithms import programs
from derive.program.cost import cost_at


def compare(case: Case, threads: int, against: Iterable[str], quick: bool) -> dict[str, Any]:
    """Measure one case.

    Returns
    -------
    dict
        Plain data: the case, what :func:`measure` found, and what was ``refused``, with the reason.

    Raises
    ------
    BenchError
        When derive's own answer is wrong.
    """
    started = time.process_time()
    problem = problem_of(case)
    kernel = own.kernel_of(problem)
    mine = own.contender(problem, kernel, threads)
    refused: dict[str, str] = {}
    peers: dict[str, Maker] = {}
    for peer in against:
        try:
            peers |= makers_of(peer, problem, threads, quick)
        except BenchError as error:
            refused[peer] = str(error)
    right, worst = judged(problem, reference(problem), mine, peers, refused)
    runs = {c.name: c.run for c in (mine, *right)}
    found = measure(mine.name, runs, QUICK if quick else THOROUGH)
    return {
        "case": asdict(case),
        "key": case.key,
        "threads": threads,
        "quick": quick,
        "load": load(),
        "steps": case.steps,
        "connections": problem.net.wiring.size,
        "derive": mine.name,
        **counted(kernel, case),
        "differences": worst,
        "refused": refused,
        "processor_seconds_in_all": time.process_time() - started,
        **found,
    }


def judged(
    problem: Problem,
    expected: Any,
    mine: Contender,
    peers: Mapping[str, Maker],
    refused: dict[str, str],
) -> tuple[list[Contender], dict[str, float]]:
    """Peers whose answer is right, and how far each is off; others are noted in ``refused``.

    Raises
    ------
    BenchError
        When ``mine`` is wrong.
    """
    differences = {mine.name: difference(mine.read(mine.run()), expected)}
    if why := wrong(differences[mine.name], problem.case.dtype):
        raise BenchError(f"{problem.case.key}: {mine.name} {why}")
    right = []
    for name, make in peers.items():
        # What a peer cannot do, in whatever way, is said of it and does not end the run.
        try:
            contender = make()
            differences[name] = difference(contender.read(contender.run()), expected)
        except Exception as error:
            refused[name] = f"{type(error).__name__}: {_first_line(error)}"
            continue
        if why := wrong(differences[name], problem.case.dtype):
            refused[name] = why
        else:
            right.append(contender)
    return right, differences


def counted(kernel: Any, case: Case) -> dict[str, int | None]:
    """Arithmetic operations of a call, a function's value counted as one, before any schedule.

    Beside them the bytes that its Program reads from arrays and writes to them; None for a batch,
    where what lanes share is read once for all.
    """
    name = "forward" if case.what == "forward" else "gradient"
    tally = cost_at(kernel.programs[name], {"T": case.steps})
    needed = cost_at(programs(kernel.net, kernel.algorithm)[name], {"T": case.steps})
    moved = (tally.loads + tally.stores) * kernel.dtype.itemsize
    return {
        "operations": needed.operations * case.batch,
        "bytes": moved if case.batch == 1 else None,
    }


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else ""
