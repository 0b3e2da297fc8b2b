"""The other side of a proof: what is written out, and what is constant in it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import sympy
from sympy import Expr

from derive.network import connect
from derive.network.library import leaky, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.verify import differentials, references, unrolling
from derive.verify.expectation import Expectation
from derive.verify.forms import WHOLE, Form
from derive.verify.references import Reference
from derive.verify.unrolling import unrolled
from tests.verify.examples import NETS

# Identity units: everything is a polynomial and can be expanded.
LINEAR = Network(semilinear("identity"), 2, 1, connect.full(), SquaredError([0, 1]), name="linear")


def symbols(net: Network, steps: int) -> dict[str, Any]:
    return Expectation(net, steps).data


def put_in(reference: Reference) -> list[list[Expr]]:
    """The gradients with what the fresh symbols stand for."""
    meaning = dict(reference.meaning)
    return [[sympy.expand(e.subs(meaning)) for e in g] for g in reference.gradients]


@pytest.mark.parametrize("module", [unrolling, references, differentials])
def test_the_other_side_knows_nothing_of_calculus_or_program(module: Any) -> None:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imported = {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }
    assert {m for m in imported if m.startswith("derive.")} <= {
        "derive.functions",
        "derive.network.cell",
        "derive.network.network",
        "derive.network.objective",
        "derive.network.topology",
        "derive.verify.differentials",
        "derive.verify.forms",
        "derive.verify.unrolling",
    }


def test_windows_of_an_exact_form_sum_to_the_whole_sequence() -> None:
    data = symbols(LINEAR, 3)
    windows = put_in(Reference(LINEAR, Form(2), data, 3))
    assert len(windows) == 2
    whole = Reference(LINEAR, WHOLE, data, 3).gradient("theta")
    for a, b, total in zip(*windows, whole, strict=True):
        assert sympy.expand(a + b - total) == 0


def test_a_window_as_long_as_the_history_is_exact_and_a_shorter_one_is_not() -> None:
    data = symbols(LINEAR, 3)
    exact = put_in(Reference(LINEAR, Form(1), data, 3))
    assert put_in(Reference(LINEAR, Form(1, back=3), data, 3)) == exact
    cut = put_in(Reference(LINEAR, Form(1, back=2), data, 3))
    assert cut[:2] == exact[:2]
    assert cut[2] != exact[2]


def test_one_group_is_exact_and_two_hear_one_another_as_constants() -> None:
    data = symbols(LINEAR, 3)
    exact = put_in(Reference(LINEAR, Form(1), data, 3))
    assert put_in(Reference(LINEAR, Form(1, groups=((0, 1),)), data, 3)) == exact
    apart = put_in(Reference(LINEAR, Form(1, groups=((0,), (1,))), data, 3))
    assert apart[0] == exact[0]  # nothing has been heard that a weight could have moved
    assert apart[2] != exact[2]


def test_a_weight_shared_by_groups_has_the_sum_of_their_terms() -> None:
    net = NETS["sharing"]
    of_both = Network(
        semilinear("identity"), 2, 1, net.connections, SquaredError([0, 1]), name="both"
    )
    data = symbols(of_both, 2)
    (_, second) = put_in(Reference(of_both, Form(1, groups=((0,), (1,))), data, 2))
    b = next(
        int(i)
        for c, i in zip(of_both.connections, of_both.wiring.weight, strict=True)
        if c.weight == "b"
    )
    of = {j for j in range(2) if second[b].has(data["mask"][1][j])}
    assert of == {0, 1}


def test_a_target_takes_the_place_of_an_output_in_all_that_follows() -> None:
    net = Network(leaky("identity"), 1, 0, [(0, 0)], SquaredError([0]), name="leak")
    data = symbols(net, 2)
    free, forced = (unrolled(net, data, 2, forced=f) for f in (False, True))
    d = data["target"][0][0]
    assert forced.y[1] == free.y[1]
    assert forced.terms[0] == free.terms[0]  # the error is taken before
    assert forced.seen[1] == [d]
    own = {data["y0"][0]: d}
    assert forced.y[2][0] == free.y[1][0].xreplace(own)  # its own leak included


def test_a_target_that_is_missing_forces_nothing() -> None:
    net = Network(leaky("identity"), 1, 0, [(0, 0)], SquaredError([0]), name="leak")
    data = symbols(net, 2)
    data["mask"][0][0] = sympy.S.Zero
    assert unrolled(net, data, 2, forced=True).y == unrolled(net, data, 2).y
