"""The check of instruction counts: what it reads, and that it objects."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "instructions.py"

# As callgrind writes it: names once and numbers afterwards, calls with what they cost in all.
CALLGRIND = """\
events: Ir
fn=(1) caller
cfn=(2) __pyx_pw_5small_3gradient
calls=1 10
0 130

fn=(3) core
12 70
+1 20

fn=(2)
10 30
cfn=(3)
calls=1 12
* 90
-1 10
"""


@pytest.fixture(scope="module")
def instructions() -> ModuleType:
    spec = spec_from_file_location("instructions", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_call_counts_with_everything_it_calls(instructions: ModuleType) -> None:
    totals = instructions.inclusive(CALLGRIND)
    assert totals["__pyx_pw_5small_3gradient"] == 130
    assert totals["core"] == 90


def test_more_than_the_tolerance_is_named_and_less_is_not(instructions: ModuleType) -> None:
    accepted = {"small": 1000, "lanes": 1000, "gone": 5}
    most = int(1000 * (1 + instructions.TOLERANCE))
    assert instructions.compare({"small": most, "lanes": 1}, accepted) == []
    (line,) = instructions.compare({"small": most + 1, "lanes": 1000}, accepted)
    assert line.startswith("small: ") and "of the accepted 1000" in line


def test_one_processor_is_meant_whatever_this_one_is(instructions: ModuleType) -> None:
    flags = instructions.reference_profile().compile
    assert not [f for f in flags if "native" in f or "512" in f]
