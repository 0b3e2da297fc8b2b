"""Results as JSON, with the machine they are of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from derive.bench.machine import load, machine
from derive.files import write_whole

RESULTS = Path(__file__).with_name("results")


def keep(name: str, result: dict[str, Any]) -> Path:
    """Write ``results/<name>.json``; the path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    found = {"machine": {**machine(), "load": load()}, **result}
    write_whole(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return path
