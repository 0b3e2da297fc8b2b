"""A file of results that grows case by case, and its table and picture beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from derive.bench.heatmap import heatmap
from derive.bench.machine import machine
from derive.bench.table import page
from derive.errors import BenchError
from derive.files import write_whole


class Results:
    """``<stem>.json``, ``<stem>.md`` and ``<stem>.svg`` in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Made if it is not there.
    stem : str
    again : bool
        Leave behind what is there, where it is of another machine.

    Attributes
    ----------
    found : dict
        ``machine``, ``ceilings`` by threads, ``cases`` by key and threads.

    Raises
    ------
    BenchError
        When the file is no file of results, or of another machine: figures of two machines do not
        belong into one table.
    """

    def __init__(self, folder: Path, stem: str, again: bool = False) -> None:
        self.folder, self.path = folder, folder / f"{stem}.json"
        here = machine()
        self.found: dict[str, Any] = {"machine": here, "ceilings": {}, "cases": {}}
        if not self.path.exists():
            return
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            there = found["machine"]
            assert isinstance(found["cases"], dict) and isinstance(found["ceilings"], dict)
        except (ValueError, KeyError, TypeError, AssertionError):
            raise BenchError(
                f"{self.path} is no file of results; move it away, or use --out"
            ) from None
        if there == here:
            self.found = found
        elif not again:
            other = sorted(k for k in {*there, *here} if there.get(k) != here.get(k))
            raise BenchError(
                f"{self.path} was measured with another {', '.join(other)}; "
                "measure anew with --again, or elsewhere with --out"
            )

    def has(self, key: str, threads: int) -> bool:
        """Whether a case was measured, and did not fail."""
        kept = self.found["cases"].get(_name(key, threads))
        return kept is not None and "failed" not in kept

    def has_ceilings(self, threads: int) -> bool:
        """Whether ceilings were."""
        return str(threads) in self.found["ceilings"]

    def keep(self, case: dict[str, Any]) -> None:
        """Write a case."""
        self.found["cases"][_name(case["key"], case["threads"])] = case
        self._write()

    def keep_ceilings(self, threads: int, ceilings: dict[str, Any]) -> None:
        """Write ceilings."""
        self.found["ceilings"][str(threads)] = ceilings
        self._write()

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps(self.found, indent=1, ensure_ascii=False) + "\n")

    def finish(self) -> tuple[Path, ...]:
        """Write the table and the picture of all that is there; the paths."""
        table, picture = self.path.with_suffix(".md"), self.path.with_suffix(".svg")
        self._write()
        write_whole(table, page(self.found))
        write_whole(picture, heatmap(self.found))
        return self.path, table, picture


def _name(key: str, threads: int) -> str:
    return f"{key}, {threads}"
