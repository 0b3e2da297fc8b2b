"""Claims about sums of terms: what they are made of, how they add up, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy

import derive
from derive.errors import NetworkError
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.objectives import (
    LIBRARY,
    AbsoluteError,
    Activity,
    Huber,
    LogisticCrossEntropy,
    SoftmaxCrossEntropy,
    WeightDecay,
)
from derive.network.specfile import dumps, from_dict

d, y = sympy.symbols("d y", real=True)
POOLS = {"c": ("max", "y"), "P": ("sum", "exp(y - c)")}


def net_of(objective: Objective, units: int = 3, cell: Any = None) -> Network:
    cell = cell or derive.cells.semilinear("tanh", bias=True)
    return Network(cell, units, 1, derive.connect.full(), objective, name="net")


# --- adding up ------------------------------------------------------------------------------------


def test_columns_are_the_units_with_targets_in_order_of_first_mention() -> None:
    both = SquaredError([2, 0]) + Activity("-y**2") + LogisticCrossEntropy([1, 2])
    assert both.targets == (2, 0, 1)
    assert [term.over for term in both.terms] == ["targets", "units", "targets"]


def test_judged_units_are_those_with_targets_then_the_others() -> None:
    some = Activity("y", [3, 1]) + SquaredError([1])
    assert some.judged(5) == (1, 3)
    assert (SquaredError([1]) + Activity("y")).judged(3) == (1, 0, 2)


def test_adding_is_associative_and_takes_only_objectives() -> None:
    a, b, c = SquaredError([0]), Activity("-y**2"), WeightDecay(0.5)
    assert ((a + b) + c).to_spec() == (a + (b + c)).to_spec()
    with pytest.raises(TypeError):
        a + 1  # type: ignore[operator]


def test_one_term_has_an_expression_and_a_sum_says_how_many_it_has() -> None:
    with pytest.raises(NetworkError, match="it has 2 terms"):
        _ = (SquaredError([0]) + Activity("y")).expression


def test_only_the_default_of_the_mask_depends_on_the_end() -> None:
    late = SquaredError([1], at="end") + LogisticCrossEntropy([0])
    assert late.ends == (True, False)
    assert late.default_mask(3).tolist() == [[0, 1], [0, 1], [1, 1]]
    assert SquaredError([1]).default_mask(2).tolist() == [[1], [1]]


def test_terms_on_one_column_must_agree_on_the_end() -> None:
    with pytest.raises(NetworkError, match="unit 1 has a target at the end in one term"):
        SquaredError([1], at="end") + AbsoluteError([0, 1])


# --- the library ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "wanted"),
    [
        (SquaredError([0], [0.5]), -sympy.Symbol("c", real=True) * (d - y) ** 2 / 2),
        (LogisticCrossEntropy([0]), d * y - derive.softplus(y)),
        (AbsoluteError([0]), -sympy.Abs(d - y)),
    ],
)
def test_ready_made_objectives_say_what_they_are_called(objective: Any, wanted: Any) -> None:
    assert sympy.expand(objective.expression - wanted) == 0


def test_huber_is_a_square_within_and_a_line_beyond() -> None:
    delta = sympy.Symbol("delta", real=True)
    at = Huber([0], 0.5).expression.subs({delta: sympy.Rational(1, 2), y: 0})
    assert [at.subs(d, v) for v in (0, sympy.Rational(1, 4), 2, -2)] == [
        0, -sympy.Rational(1, 32), -sympy.Rational(7, 8), -sympy.Rational(7, 8),
    ]  # fmt: skip


@pytest.mark.parametrize("delta", [0, -1.0, [1.0, 0.0], "1", None])
def test_huber_refuses_a_corner_that_is_none(delta: Any) -> None:
    with pytest.raises(NetworkError, match="Huber: delta"):
        Huber([0, 1], delta)


def test_decay_counts_a_shared_weight_once_and_names_parameters() -> None:
    shared = [derive.Connection(0, 0, weight="a"), derive.Connection(0, 1, weight="a")]
    net = Network(derive.cells.semilinear("tanh", bias=True), 1, 1, shared,
                  SquaredError([0]) + WeightDecay(0.5, ["w", "b"]), name="net")  # fmt: skip
    assert net.objective.terms[1].entries(net) == (0, 1)


# --- spec files -----------------------------------------------------------------------------------

EVERY = [
    SquaredError([2]),
    SquaredError([2, 0], [0.5, 2.0]),
    Huber([1], 0.25) + WeightDecay(0.1, ["w", "b"]),
    SoftmaxCrossEntropy([0, 2]) + SoftmaxCrossEntropy([1], at="end"),
    LogisticCrossEntropy([1]) + Activity("-lam*y**2/2", constants={"lam": [0.1, 0.2, 0.3]}),
    AbsoluteError([0]) + Activity("-y**4", [1]),
]


@pytest.mark.parametrize("objective", EVERY, ids=str)
@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_a_spec_gives_the_same_objective_back(
    objective: Objective, suffix: str, tmp_path: Any
) -> None:
    net = net_of(objective)
    path = tmp_path / f"net{suffix}"
    path.write_text(dumps(net.to_spec(), suffix))
    again = Network.load(path)
    assert again.objective.to_spec() == objective.to_spec()
    assert again.digest == net.digest


def test_objectives_that_differ_have_other_digests() -> None:
    found = {net_of(o).digest for o in [*EVERY, SquaredError([2], at="end"), SquaredError([0])]}
    assert len(found) == len(EVERY) + 2


def spec(**objective: Any) -> dict[str, Any]:
    return {"spec": "derive/1", "cell": {"library": "semilinear"}, "objective": objective,
            "network": {"units": 3, "inputs": 1, "connections": "full"}}  # fmt: skip


def test_a_library_name_is_the_objective_spelled_out() -> None:
    by_name = from_dict(spec(library="softmax_cross_entropy", targets=[0, 1]))
    spelled = from_dict(spec(J="d*(y - c - log(P))", targets=[0, 1],
                             pools={"c": ["max", "y"], "P": ["sum", "exp(y - c)"]}))  # fmt: skip
    assert by_name.digest == spelled.digest


def test_every_objective_of_the_library_can_be_named() -> None:
    for name in LIBRARY:
        own = {"lam": 0.5} if name == "weight_decay" else {"targets": [1]}
        terms = [{"targets": [0]}, {"library": name, **own}]
        assert len(from_dict(spec(terms=terms)).objective.terms) == 2


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({"library": "hubert"}, r"objective.library: no objective 'hubert'; did you mean 'huber'"),
        ({"library": "huber"}, r"objective: targets is missing"),
        ({"library": "huber", "targets": [0], "delt": 1}, "unknown key 'delt'; did you mean 'delt"),
        ({"library": "huber", "targets": [0], "delta": -1}, "objective.library = 'huber': Huber: "),
        ({"terms": []}, "objective.terms: expected a list of tables"),
        ({"terms": [{"targets": [0]}, 3]}, r"objective.terms\[1\]: expected a table, got 3"),
        ({"terms": [{"J": "z", "targets": [0]}]}, r"objective.terms\[0\].J: column 1: undefined"),
        ({"terms": [{"J": "y"}]}, r"objective.terms\[0\]: targets is missing"),
        ({"terms": [{"J": "y", "units": "some"}]}, r"objective.terms\[0\].units: expected a list"),
        ({"terms": [{"J": "y", "units": [0]}]}, "objective: no term has targets"),
        ({"J": "y", "targets": [0], "units": [0]}, "give one of targets, units and parameters"),
        ({"J": "y", "targets": [0], "at": "start"}, "objective.at: expected 'every' or 'end'"),
        ({"J": "y", "units": [0], "at": "end"}, "objective.at: 'end' is for terms with targets"),
        ({"J": "c*y", "targets": [0], "constants": {"c": [1, 2]}},
         r"objective.constants.c: expected one number or 1 \(one per unit\), got 2"),
        ({"J": "c*y", "targets": [0], "constants": {"c": "1"}}, "constants.c must be a finite"),
        ({"J": "y", "targets": [0], "constants": {"m": 1}}, "constants: the name 'm' is taken"),
        ({"J": "y", "targets": [0], "constants": {"if": 1}}, "'if' is a keyword of Python"),
        ({"J": "P", "targets": [0], "pools": {"P": ["mean", "y"]}}, "pools.P: expected the kind"),
        ({"J": "P", "targets": [0], "pools": {"P": "y"}}, r"pools.P: expected \[kind, expression"),
        ({"J": "P", "targets": [0], "pools": {"P": ["sum", "d*y"]}}, "it cannot read targets d"),
        ({"J": "P", "targets": [0], "pools": {"P": ["sum", "Q"], "Q": ["sum", "y"]}},
         "objective.pools.P: column 1: undefined symbol 'Q'"),
        ({"terms": [{"targets": [0]}, {"J": "d", "units": [1]}]}, "undefined symbol 'd'"),
        ({"terms": [{"targets": [0]}, {"J": "y", "parameters": ["w"]}]}, "undefined symbol 'y'"),
        ({"terms": [{"targets": [0]}, {"J": "w", "parameters": ["tau"]}]},
         "objective.parameters: no learned parameter 'tau'; there is w"),
        ({"terms": [{"targets": [0]}, {"J": "w", "parameters": "w"}]},
         r"objective.terms\[1\].parameters: expected a list of names"),
        ({"terms": [{"targets": [0]}, {"J": "y", "units": [3]}]}, "unit 3 is out of range"),
        ({"terms": [{"targets": [0]}], "J": "y"}, "objective: unknown key 'J'"),
    ],
)  # fmt: skip
def test_a_bad_objective_is_one_clear_error(objective: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        from_dict(spec(**objective))


def test_constants_for_all_units_are_counted_by_the_network() -> None:
    few = SquaredError([0]) + Activity("c*y", constants={"c": [1.0, 2.0]})
    with pytest.raises(NetworkError, match=r"constants.c: expected one number or 3 \(one per unit"):
        net_of(few)
    assert net_of(few, units=2).objective is few


def test_constants_may_be_arrays() -> None:
    given = Objective("c*y", [0, 1], constants={"c": np.array([1.0, 2.0])})
    assert given.terms[0].values("c", 2) == (1.0, 2.0)
