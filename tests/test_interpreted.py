"""What a call is refused for, and what it takes: the same for compiled and interpreted kernels.

One table of calls is put to both, and what they say must be word for word the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import derive
from derive.interpreted import Interpreted
from derive.program.algorithms import programs

WZ3X5 = Path(__file__).parents[1] / "examples" / "wz3x5.toml"
T, B = 5, 3
EVERYTHING = ("theta", "x", "y0")


@functools.cache
def network() -> derive.Network:
    return derive.Network.load(WZ3X5)


@functools.cache
def subject(kind: str, batch: bool) -> Any:
    """Something with ``forward`` and ``gradient`` for the network of 3 units and 2 lines."""
    if kind == "compiled":
        return derive.compile(network(), batch=batch)
    return Interpreted(network(), programs(network(), {"name": "epochwise"}), "float64", batch)


def valid(batch: bool) -> dict[str, Any]:
    """Arguments of a call that is right."""
    generator = np.random.default_rng(7)
    tail = (B,) if batch else ()
    return {
        "theta": generator.normal(size=15),
        "x": generator.normal(size=(T, 2, *tail)),
        "target": generator.normal(size=(T, 1, *tail)),
        "mask": (generator.random((T, 1, *tail)) < 0.6).astype(float),
        "y0": generator.normal(size=(3, *tail)),
    }


class Bad(NamedTuple):
    """A call that is refused: what is changed, and what is said."""

    case: str
    change: dict[str, Any]
    error: type[Exception]
    message: str


def zeros(*shape: int) -> Any:
    return np.zeros(shape)


SINGLE = [
    Bad("theta too long", {"theta": zeros(16)}, ValueError, "theta: expected (P=15,), got (16,)"),
    Bad("theta too short", {"theta": zeros(0)}, ValueError, "theta: expected (P=15,), got (0,)"),
    Bad("theta a matrix", {"theta": zeros(3, 5)}, ValueError,
        "theta: expected (P=15,), got (3, 5)"),
    Bad("theta a number", {"theta": 1.0}, ValueError, "theta: expected (P=15,), got ()"),
    Bad("theta None", {"theta": None}, ValueError, "theta: expected (P=15,), got ()"),
    Bad("theta of integers", {"theta": np.zeros(15, int)}, TypeError,
        "theta: expected float64, got int64"),
    Bad("theta in single precision", {"theta": zeros(15).astype("f4")}, TypeError,
        "theta: expected float64, got float32"),
    Bad("x too wide", {"x": zeros(10, 3)}, ValueError, "x: expected (T, m=2), got (10, 3)"),
    Bad("x transposed", {"x": zeros(2, 5)}, ValueError, "x: expected (T, m=2), got (2, 5)"),
    Bad("x without lines", {"x": zeros(5)}, ValueError, "x: expected (T, m=2), got (5,)"),
    Bad("x with a batch", {"x": zeros(5, 2, 1)}, ValueError, "x: expected (T, m=2), got (5, 2, 1)"),
    Bad("T = 0", {"x": zeros(0, 2), "target": zeros(0, 1), "mask": None}, ValueError,
        "x: expected (T, m=2) with T ≥ 1, got (0, 2)"),
    Bad("x complex", {"x": zeros(5, 2) + 0j}, TypeError, "x: expected float64, got complex128"),
    Bad("x in the other byte order", {"x": zeros(5, 2).astype(">f8")}, TypeError,
        "x: expected float64, got >f8"),
    Bad("x of objects", {"x": zeros(5, 2).astype(object)}, TypeError,
        "x: expected float64, got object"),
    Bad("x of truth values", {"x": zeros(5, 2).astype(bool)}, TypeError,
        "x: expected float64, got bool"),
    Bad("x of words", {"x": [["a", "b"]]}, TypeError,
        "x: expected an array of float64, got list ("),
    Bad("x ragged", {"x": [[1.0, 2.0], [3.0]]}, TypeError,
        "x: expected an array of float64, got list ("),
    Bad("x a function", {"x": zeros}, TypeError, "x: expected an array of float64, got function ("),
    Bad("target too short", {"target": zeros(4, 1)}, ValueError,
        "target: expected (T=5, n_T=1), got (4, 1)"),
    Bad("target too long", {"target": zeros(6, 1)}, ValueError,
        "target: expected (T=5, n_T=1), got (6, 1)"),
    Bad("target for all units", {"target": zeros(5, 3)}, ValueError,
        "target: expected (T=5, n_T=1), got (5, 3)"),
    Bad("target flat", {"target": zeros(5)}, ValueError,
        "target: expected (T=5, n_T=1), got (5,)"),
    Bad("target None", {"target": None}, ValueError, "target: expected (T=5, n_T=1), got ()"),
    Bad("target in single precision", {"target": zeros(5, 1).astype("f4")}, TypeError,
        "target: expected float64, got float32"),
    Bad("mask flat", {"mask": zeros(5)}, ValueError, "mask: expected (T=5, n_T=1), got (5,)"),
    Bad("mask of one row", {"mask": zeros(1, 1)}, ValueError,
        "mask: expected (T=5, n_T=1), got (1, 1)"),
    Bad("mask in single precision", {"mask": zeros(5, 1).astype("f4")}, TypeError,
        "mask: expected float64, got float32"),
    Bad("y0 too short", {"y0": zeros(2)}, ValueError, "y0: expected (N=3,), got (2,)"),
    Bad("y0 a matrix", {"y0": zeros(3, 1)}, ValueError, "y0: expected (N=3,), got (3, 1)"),
    Bad("y0 of integers", {"y0": np.zeros(3, int)}, TypeError, "y0: expected float64, got int64"),
]  # fmt: skip
BATCHED = [
    Bad("theta too long", {"theta": zeros(16)}, ValueError, "theta: expected (P=15,), got (16,)"),
    Bad("theta with a batch", {"theta": zeros(15, 3)}, ValueError,
        "theta: expected (P=15,), got (15, 3)"),
    Bad("x without a batch", {"x": zeros(5, 2)}, ValueError, "x: expected (T, m=2, B), got (5, 2)"),
    Bad("x batch first", {"x": zeros(3, 5, 2)}, ValueError,
        "x: expected (T, m=2, B), got (3, 5, 2)"),
    Bad("B = 0", {"x": zeros(5, 2, 0)}, ValueError,
        "x: expected (T, m=2, B) with T, B ≥ 1, got (5, 2, 0)"),
    Bad("T = 0", {"x": zeros(0, 2, 3)}, ValueError,
        "x: expected (T, m=2, B) with T, B ≥ 1, got (0, 2, 3)"),
    Bad("target of another batch", {"target": zeros(5, 1, 2)}, ValueError,
        "target: expected (T=5, n_T=1, B=3), got (5, 1, 2)"),
    Bad("target without a batch", {"target": zeros(5, 1)}, ValueError,
        "target: expected (T=5, n_T=1, B=3), got (5, 1)"),
    Bad("mask without a batch", {"mask": zeros(5, 1)}, ValueError,
        "mask: expected (T=5, n_T=1, B=3), got (5, 1)"),
    Bad("y0 without a batch", {"y0": zeros(3)}, ValueError, "y0: expected (N=3, B=3), got (3,)"),
    Bad("y0 of another batch", {"y0": zeros(3, 4)}, ValueError,
        "y0: expected (N=3, B=3), got (3, 4)"),
    Bad("no threads", {"threads": 0}, ValueError,
        "threads: expected a whole number of at least 1, got 0"),
    Bad("half a thread", {"threads": 2.5}, TypeError,
        "threads: expected a whole number of at least 1, got 2.5"),
]  # fmt: skip
WHAT = [
    Bad("wrt unknown", {"wrt": ("theta", "w")}, ValueError,
        "wrt: expected some of ('theta', 'x', 'y0'), each once, got ('theta', 'w')"),
    Bad("wrt twice", {"wrt": ("x", "x")}, ValueError,
        "wrt: expected some of ('theta', 'x', 'y0'), each once, got ('x', 'x')"),
    Bad("wrt nothing", {"wrt": ()}, ValueError,
        "wrt: expected some of ('theta', 'x', 'y0'), each once, got ()"),
    Bad("wrt a number", {"wrt": 3}, TypeError, "wrt: expected some of ('theta', 'x', 'y0'), got 3"),
    Bad("wrt of numbers", {"wrt": (1, 2)}, ValueError,
        "wrt: expected some of ('theta', 'x', 'y0'), each once, got (1, 2)"),
    Bad("wrt of arrays", {"wrt": zeros(3)}, ValueError, "wrt: expected some of"),
    Bad("too few out", {"wrt": ("theta", "x"), "out": zeros(15)}, ValueError,
        "out: expected an array for each of ('theta', 'x'), got 1"),
    Bad("too many out", {"out": (zeros(15), zeros(15))}, ValueError,
        "out: expected an array for each of ('theta',), got 2"),
    Bad("empty out", {"out": ()}, ValueError,
        "out: expected an array for each of ('theta',), got 0"),
    Bad("out of another shape", {"out": zeros(14)}, ValueError,
        "out (theta): expected (15,), got (14,)"),
    Bad("out of another type", {"out": zeros(15).astype("f4")}, TypeError,
        "out (theta): expected an array of float64, got float32"),
    Bad("out a list", {"out": [0.0] * 15}, TypeError,
        "out (theta): expected an array of float64, got <class 'list'>"),
    Bad("out with gaps", {"out": zeros(30)[::2]}, ValueError,
        "out (theta): must be C-contiguous, aligned and writeable"),
    Bad("out unaligned", {"out": np.zeros(121, "u1")[1:].view("f8")}, ValueError,
        "out (theta): must be C-contiguous, aligned and writeable"),
]  # fmt: skip
CASES = [
    pytest.param(batch, bad, id=f"{'batch' if batch else 'single'}: {bad.case}")
    for batch, table in [(False, SINGLE + WHAT), (True, BATCHED + WHAT)]
    for bad in table
]
both = pytest.mark.parametrize("kind", ["compiled", "interpreted"])
either = pytest.mark.parametrize("batch", [False, True], ids=["single", "batch"])


def refused(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Exception:
    with pytest.raises((TypeError, ValueError)) as raised:
        call(*args, **kwargs)
    return raised.value


@pytest.mark.parametrize("batch, bad", CASES)
def test_bad_call_is_refused_in_the_same_words_by_both(batch: bool, bad: Bad) -> None:
    args = {**valid(batch), **bad.change}
    errors = [refused(subject(k, batch).gradient, **args) for k in ("compiled", "interpreted")]
    for error in errors:
        assert type(error) is bad.error
        assert str(error).startswith(bad.message)
    assert str(errors[0]) == str(errors[1])


@pytest.mark.parametrize(
    "batch, bad",
    [c for c in CASES if set(c.values[1].change) <= {"theta", "x", "y0"}],
)
def test_bad_call_of_forward_is_refused_in_the_same_words_by_both(batch: bool, bad: Bad) -> None:
    args = {k: v for k, v in {**valid(batch), **bad.change}.items() if k in ("theta", "x", "y0")}
    for kind in ("compiled", "interpreted"):
        error = refused(subject(kind, batch).forward, **args)
        assert type(error) is bad.error and str(error).startswith(bad.message)


@pytest.mark.parametrize("batch, bad", [c for c in CASES if "out" not in c.values[1].change])
def test_refused_call_leaves_out_and_inputs_as_they_were(batch: bool, bad: Bad) -> None:
    tail = (B,) if batch else ()
    shapes = {"theta": (15,), "x": (T, 2, *tail), "y0": (3, *tail)}
    for kind in ("compiled", "interpreted"):
        args = {**valid(batch), **bad.change}
        wrt = args.pop("wrt", EVERYTHING)
        outs = tuple(np.full(shape, 7.5) for shape in shapes.values())
        before = {k: np.array(v, copy=True) for k, v in args.items() if isinstance(v, np.ndarray)}
        refused(subject(kind, batch).gradient, **args, wrt=wrt, out=outs)
        assert all((out == 7.5).all() for out in outs)
        for name, value in before.items():
            np.testing.assert_array_equal(args[name], value)


@both
@either
def test_one_bad_out_leaves_the_good_ones_as_they_were(kind: str, batch: bool) -> None:
    tail = (B,) if batch else ()
    good = [np.full(s, 7.5) for s in ((15,), (T, 2, *tail), (3, *tail))]
    for bad in range(3):
        outs: list[Any] = list(good)
        outs[bad] = np.zeros((1, 1))
        error = refused(subject(kind, batch).gradient, **valid(batch), wrt=EVERYTHING,
                        out=tuple(outs))  # fmt: skip
        assert f"out ({EVERYTHING[bad]}): expected" in str(error)
        assert all((g == 7.5).all() for g in good)


# --- what is taken ------------------------------------------------------------------------------


def same(a: Any, b: Any) -> None:
    """Equal to the last bit."""
    assert a.J == b.J
    for name in EVERYTHING:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@both
@either
@pytest.mark.parametrize(
    "form",
    [
        np.asfortranarray,
        lambda a: np.repeat(a, 2, axis=0)[::2],
        lambda a: np.stack([a, a + 1], axis=-1)[..., 0],
        lambda a: np.ascontiguousarray(a[::-1])[::-1],
        lambda a: a.tolist(),
        lambda a: np.frombuffer(b"0" + a.tobytes(), "u1")[1:].view("f8").reshape(a.shape),
    ],
    ids=["Fortran order", "every second row", "inner stride", "backwards", "lists", "unaligned"],
)
def test_every_memory_layout_gives_the_same_numbers(
    kind: str, batch: bool, form: Callable[[Any], Any]
) -> None:
    args = valid(batch)
    formed = {name: form(value) for name, value in args.items()}
    k = subject(kind, batch)
    same(k.gradient(**formed, wrt=EVERYTHING), k.gradient(**args, wrt=EVERYTHING))
    three = ("theta", "x", "y0")
    np.testing.assert_array_equal(
        k.forward(*(formed[n] for n in three)), k.forward(*(args[n] for n in three))
    )


@both
@either
def test_read_only_inputs_are_taken_and_never_written(kind: str, batch: bool) -> None:
    args = valid(batch)
    before = {name: value.copy() for name, value in args.items()}
    expected = subject(kind, batch).gradient(**args, wrt=EVERYTHING)
    for value in args.values():
        value.flags.writeable = False
    same(subject(kind, batch).gradient(**args, wrt=EVERYTHING), expected)
    for name, value in args.items():
        np.testing.assert_array_equal(value, before[name])


@both
@either
@pytest.mark.parametrize("dtype", [bool, int, "u1"])
def test_mask_may_be_of_truth_values_or_whole_numbers(kind: str, batch: bool, dtype: Any) -> None:
    args = valid(batch)
    k = subject(kind, batch)
    expected = k.gradient(**args, wrt=EVERYTHING)
    args["mask"] = args["mask"].astype(dtype)
    same(k.gradient(**args, wrt=EVERYTHING), expected)


@both
@either
def test_no_mask_is_a_mask_of_ones_and_no_y0_is_zero(kind: str, batch: bool) -> None:
    args = valid(batch)
    k = subject(kind, batch)
    bare = k.gradient(args["theta"], args["x"], args["target"], wrt=EVERYTHING)
    args["mask"][...] = 1
    args["y0"][...] = 0
    same(bare, k.gradient(**args, wrt=EVERYTHING))


@both
@either
@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_masked_target_is_not_read(kind: str, batch: bool, missing: float) -> None:
    args = valid(batch)
    k = subject(kind, batch)
    expected = k.gradient(**args, wrt=EVERYTHING)
    assert (args["mask"] == 0).any()
    args["target"][args["mask"] == 0] = missing
    same(k.gradient(**args, wrt=EVERYTHING), expected)


@both
@either
def test_mask_weights_the_term(kind: str, batch: bool) -> None:
    args = valid(batch)
    k = subject(kind, batch)
    once = k.gradient(**args, wrt=EVERYTHING)
    args["mask"] *= 2
    twice = k.gradient(**args, wrt=EVERYTHING)
    assert twice.J == 2 * once.J
    for name in EVERYTHING:
        np.testing.assert_allclose(getattr(twice, name), 2 * getattr(once, name), rtol=1e-12)


@both
@either
@pytest.mark.parametrize("where", ["theta", "x", "target", "y0", "mask"])
def test_nan_in_gives_nan_out(kind: str, batch: bool, where: str) -> None:
    args = valid(batch)
    args["mask"][...] = 1
    args[where].flat[0] = np.nan
    k = subject(kind, batch)
    J, g = k.gradient(**args)
    assert np.isnan(J) and np.isnan(g).any()
    if where in ("theta", "x", "y0"):
        assert np.isnan(k.forward(args["theta"], args["x"], args["y0"])).any()


@both
def test_infinite_weight_saturates_and_its_difference_is_nan(kind: str) -> None:
    args = valid(False)
    args["theta"][:] = 0
    args["theta"][3] = np.inf  # unit 0 from input line 0
    args["x"][:, 0] = 1
    y = subject(kind, False).forward(args["theta"], args["x"])
    assert (y[1:, 0] == 1).all()
    args["x"][1, 0] = 0  # inf·0
    y = subject(kind, False).forward(args["theta"], args["x"])
    assert np.isnan(y[2, 0]) and y[1, 0] == 1


# --- out ----------------------------------------------------------------------------------------


@both
@either
def test_out_is_written_and_returned(kind: str, batch: bool) -> None:
    args, tail = valid(batch), (B,) if batch else ()
    k = subject(kind, batch)
    expected = k.gradient(**args, wrt=EVERYTHING)
    y = np.full((T + 1, 3, *tail), 7.5)
    assert k.forward(args["theta"], args["x"], args["y0"], out=y) is y
    np.testing.assert_array_equal(y, k.forward(args["theta"], args["x"], args["y0"]))
    g = np.full(15, 7.5)
    J, returned = k.gradient(**args, out=g)
    assert returned is g and J == expected.J
    np.testing.assert_array_equal(g, expected.theta)
    # In the order of wrt, not of the result.
    outs = (np.full((3, *tail), 7.5), np.full(15, 7.5), np.full((T, 2, *tail), 7.5))
    r = k.gradient(**args, wrt=("y0", "theta", "x"), out=outs)
    assert r.y0 is outs[0] and r.theta is outs[1] and r.x is outs[2]
    same(r, expected)
    again = k.gradient(**args, wrt=("x",), out=(outs[2],))
    assert again.x is outs[2] and again.theta is None


@both
@either
def test_out_may_be_used_again_without_adding_up(kind: str, batch: bool) -> None:
    args, g = valid(batch), np.zeros(15)
    first = subject(kind, batch).gradient(**args, out=g)[1].copy()
    np.testing.assert_array_equal(subject(kind, batch).gradient(**args, out=g)[1], first)


@both
@either
@pytest.mark.parametrize("name, wrt", [("theta", "theta"), ("x", "x"), ("y0", "y0")])
def test_out_that_overlaps_an_input_is_refused(kind: str, batch: bool, name: str, wrt: str) -> None:
    args = valid(batch)
    before = args[name].copy()
    error = refused(subject(kind, batch).gradient, **args, wrt=wrt, out=args[name])
    assert str(error) == f"out ({name}): shares memory with another argument"
    np.testing.assert_array_equal(args[name], before)


@both
def test_partly_overlapping_out_is_refused(kind: str) -> None:
    args = valid(False)
    memory = np.zeros(40)
    args["theta"] = memory[:15]
    error = refused(subject(kind, False).gradient, **args, out=memory[14:29])
    assert "out (theta): shares memory" in str(error)
    subject(kind, False).gradient(**args, out=memory[15:30])
    y = memory[:18].reshape(6, 3)
    error = refused(subject(kind, False).forward, memory[:15], args["x"], out=y)
    assert "out (y): shares memory" in str(error)


@both
def test_outs_that_overlap_one_another_are_refused(kind: str) -> None:
    memory = np.zeros(20)
    outs = (memory[:15], memory[14:17])
    error = refused(subject(kind, False).gradient, **valid(False), wrt=("theta", "y0"), out=outs)
    assert str(error) == "out (y0): shares memory with another argument"
    assert not memory.any()


@both
def test_read_only_out_is_refused(kind: str) -> None:
    g = np.zeros(15)
    g.flags.writeable = False
    error = refused(subject(kind, False).gradient, **valid(False), out=g)
    assert str(error) == "out (theta): must be C-contiguous, aligned and writeable"


# --- the two agree ------------------------------------------------------------------------------


@either
def test_interpreted_and_compiled_give_the_same_numbers(batch: bool) -> None:
    args = valid(batch)
    a, b = (subject(kind, batch).gradient(**args, wrt=EVERYTHING)
            for kind in ("compiled", "interpreted"))  # fmt: skip
    assert a._fields == b._fields
    assert type(a.J) is type(b.J) is float
    assert b.J == pytest.approx(a.J, rel=1e-12)
    for name in EVERYTHING:
        np.testing.assert_allclose(getattr(b, name), getattr(a, name), rtol=1e-12, atol=1e-13)


def test_network_without_inputs_connections_or_parameters_runs() -> None:
    net = derive.Network(
        derive.cells.semilinear("cos(s)"), 2, 0, [], derive.SquaredError([0]), name="bare"
    )
    assert net.size == 0
    interpreted = Interpreted(net, programs(net, {"name": "epochwise"}), "float64", False)
    x, target = np.zeros((3, 0)), np.full((3, 1), 3.0)
    for k in (derive.compile(net), interpreted):
        y = k.forward([], x)
        assert (y[1:] == 1).all() and (y[0] == 0).all()
        r = k.gradient([], x, target, wrt=EVERYTHING)
        assert r.J == -6.0
        assert (r.theta.shape, r.x.shape, r.y0.tolist()) == ((0,), (3, 0), [0, 0])
