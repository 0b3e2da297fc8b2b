"""Reports as files: text, JSON or a page, by the name's ending."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from derive.errors import RecordError
from derive.files import write_whole
from derive.verify.page import page
from derive.verify.report import Report

SEVERAL = "derive/reports/1"
"""The schema of several reports together."""


def text(report: Report) -> str:
    """A report as plain text: the table, what failed and how to see it again, what it is of."""
    lines = [str(report)]
    for claim in report.failed:
        place = f", at {claim.at}" if claim.at else ""
        lines.append(f"FAILED: {claim.name} ({claim.method}){place}: {claim.detail or 'no detail'}")
        if again := report.reproduce(claim):
            lines.append(f"  reproduce: {again}")
    if report.command:
        lines.append(f"command: {report.command}")
    lines += [f"seed of {name}: {seed}" for name, seed in sorted(report.seeds.items())]
    lines += [f"{name}: {value}" for name, value in report.environment.items()]
    return "\n".join(lines) + "\n"


def as_data(reports: Sequence[Report]) -> dict[str, Any]:
    """One report as :meth:`Report.to_dict` gives it, several as a table of them.

    Several have ``schema`` (``derive/reports/1``), ``ok``: whether every one is, and ``reports``.
    """
    if len(reports) == 1:
        return reports[0].to_dict()
    return {
        "schema": SEVERAL,
        "ok": all(r.ok for r in reports),
        "reports": [r.to_dict() for r in reports],
    }


def as_json(reports: Sequence[Report]) -> str:
    """Reports as JSON text, without NaN or infinities."""
    return json.dumps(as_data(reports), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[Sequence[Report]], str]] = {
    ".txt": lambda reports: "\n".join(map(text, reports)),
    ".json": as_json,
    ".html": page,
}


def writer(path: str | Path) -> Callable[[Sequence[Report]], None]:
    """What writes reports to a file, whole or not at all; asked for before there are any.

    Raises
    ------
    RecordError
        For an ending that is no format, or a folder that is not there.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise RecordError(f"{path}: a report ends in {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise RecordError(f"{path}: there is no folder {str(path.parent)!r}")
    made = FORMATS[path.suffix.lower()]
    return lambda reports: write_whole(path, made(reports))
