"""Workers started, one after another; what they find is kept as it comes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from derive.bench.case import Case
from derive.bench.pinning import cores, environment
from derive.bench.results import Results
from derive.errors import BenchError

CASES_A_PROCESS = 16
"""Compiled code of peers is never given back; a new process starts with none."""


def counts(threads: str) -> tuple[int, ...]:
    """Numbers of threads as a user writes them: ``1,2``.

    Raises
    ------
    BenchError
        For what is no number, or more than there are cores.
    """
    found = []
    for word in threads.split(","):
        if not word.strip().isdigit() or not 1 <= int(word) <= len(cores()):
            raise BenchError(
                f"threads: expected numbers from 1 to {len(cores())}, the cores there are, as 1,2; "
                f"got {threads!r}"
            )
        found.append(int(word))
    return tuple(found)


def run(
    cases: Sequence[Case],
    threads: Sequence[int],
    against: Sequence[str],
    quick: bool,
    results: Results,
    again: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[dict[str, Any]]:
    """Measure cases, with each number of threads; give each as it is done.

    Parameters
    ----------
    cases : sequence of Case
    threads : sequence of int
    against : sequence of str
        Names of :data:`derive.bench.peers.PEERS`.
    quick : bool
        Fewer and shorter rounds.
    results : Results
        Where they are kept. What is there already is not measured.
    again : bool
        Measure it all the same.
    say : callable
        Is told what is under way.

    Raises
    ------
    BenchError
        When no ceiling can be measured.
    """
    for count in threads:
        left = [c for c in cases if again or not results.has(c.key, count)]
        if left and (again or not results.has_ceilings(count)):
            say(f"ceilings of {count} thread{'s' * (count > 1)}")
            (ceilings,) = worker(None, count, against, quick)
            results.keep_ceilings(count, ceilings)
        done = 0
        for i in range(0, len(left), CASES_A_PROCESS):
            some = left[i : i + CASES_A_PROCESS]
            say(f"{some[0].key}, {count} thread{'s' * (count > 1)}; {done} of {len(left)} done")
            for found in measured(some, count, against, quick):
                done += 1
                results.keep(found)
                yield found
                say(f"after {found['key']}: {done} of {len(left)} done")


def measured(
    cases: Sequence[Case], threads: int, against: Sequence[str], quick: bool
) -> Iterator[dict[str, Any]]:
    """What is found of each case; one that takes its process with it is failed, others go on."""
    left = list(cases)
    while left:
        try:
            for found in worker(tuple(left), threads, against, quick):
                del left[0]
                yield found
        except BenchError as error:
            yield {"key": left.pop(0).key, "threads": threads, "failed": str(error)}


def worker(
    cases: Sequence[Case] | None, threads: int, against: Sequence[str], quick: bool
) -> Iterator[dict[str, Any]]:
    """What one process says; without cases it measures ceilings."""
    job = {
        "cases": None if cases is None else [asdict(c) for c in cases],
        "threads": threads,
        "against": list(against),
        "quick": quick,
    }
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "derive.bench.worker"],
            env=environment(threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=complaints, text=True, encoding="utf-8",
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        said = 0
        try:
            with suppress(BrokenPipeError):  # it died at once, and will have said why
                process.stdin.write(json.dumps(job))
                process.stdin.close()
            for line in process.stdout:
                said += 1
                yield json.loads(line)
            process.wait()
        finally:
            process.kill()
            process.wait()
        if said < (1 if cases is None else len(cases)):
            complaints.seek(0)
            last = complaints.read().strip().splitlines()[-1:]
            raise BenchError(
                f"bench: the process that measured ended with exit status {process.returncode}"
                f"{': ' + last[0] if last else ''}"
            )
