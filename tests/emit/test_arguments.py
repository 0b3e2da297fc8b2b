"""What a compiled module refuses and takes, beside the same checks on NumPy: the same words."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import derive
from derive.interpreted import Interpreted
from derive.program.algorithms import programs

T = 4
NET = derive.Network(
    cell=derive.cells.semilinear("tanh"),
    units=2,
    inputs=1,
    connections=[(0, 2), (1, 0, 3), (0, 1), (1, 2)],
    objective=derive.SquaredError(targets=[0, 1]),
    name="checked",
)


def both(algorithm: str, dtype: str, batch: bool) -> tuple[Any, Any]:
    kernel = derive.compile(NET, algorithm, dtype=dtype, batch=batch)
    assert kernel.compiled
    made = programs(NET, kernel.algorithm)
    return kernel.module, Interpreted(NET, made, dtype, batch, algorithm)


def arguments(dtype: str, batch: bool, step: bool = False) -> dict[str, Any]:
    generator = np.random.default_rng(3)
    lead, tail = (() if step else (T,)), ((3,) if batch else ())
    shapes: dict[str, tuple[int, ...]] = {
        "theta": (NET.size,),
        "x": (*lead, 1, *tail),
        "target": (*lead, 2, *tail),
        "mask": (*lead, 2, *tail),
    }
    if not step:
        shapes |= {"y0": (2, *tail), "history": (2, 3, *tail)}
    return {k: generator.uniform(0.5, 1.5, size=s).astype(dtype) for k, s in shapes.items()}


class Float:
    """Converts itself, and says how when it cannot."""

    def __float__(self) -> float:
        raise ValueError("not today")


def unaligned(a: Any) -> Any:
    room = np.zeros(a.nbytes + 1, np.uint8)
    view = room[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    return view


def frozen(a: Any) -> Any:
    a = a.copy()
    a.flags.writeable = False
    return a


CHANGES: dict[str, Any] = {
    "as it is": lambda a: a,
    "list": lambda a: a.tolist(),
    "list of numbers and None": lambda a: [None, 1.0],
    "ragged": lambda a: [[1.0], [1.0, 2.0]],
    "text": lambda a: "abc",
    "object that objects": lambda a: [Float()],
    "single": lambda a: 1.5,
    "other real type": lambda a: a.astype("float32" if a.dtype == np.float64 else "float64"),
    "half": lambda a: a.astype("float16"),
    "whole": lambda a: a.astype(np.int64),
    "unsigned": lambda a: a.astype(np.uint8),
    "truth": lambda a: a > 1,
    "complex": lambda a: a.astype(complex),
    "objects": lambda a: a.astype(object),
    "swapped bytes": lambda a: a.astype(a.dtype.newbyteorder()),
    "one row more": lambda a: np.concatenate([a, a[:1]]),
    "empty": lambda a: a[:0],
    "axis more": lambda a: a[np.newaxis],
    "axis less": lambda a: a[0],
    "last axis doubled": lambda a: np.repeat(a, 2, axis=-1),
    "no last axis": lambda a: a[..., :0],
    "every second": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: a[::-1][::-1],
    "by columns": np.asfortranarray,
    "frozen": frozen,
    "unaligned": unaligned,
    "masked array": np.ma.masked_array,
    "subclass": lambda a: a.view(np.recarray),
}


def outcome(function: Any, given: dict[str, Any]) -> Any:
    try:
        return function(**given)
    except (TypeError, ValueError) as error:
        return type(error), str(error)


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@given(st.data())
@settings(max_examples=150)
def test_a_sequence_is_refused_in_the_same_words_or_gives_the_same(
    dtype: str, batch: bool, data: st.DataObject
) -> None:
    compiled, interpreted = both("epochwise", dtype, batch)
    given = arguments(dtype, batch)
    for name in data.draw(st.lists(st.sampled_from(sorted(given)), max_size=2, unique=True)):
        given[name] = CHANGES[data.draw(st.sampled_from(sorted(CHANGES)))](given[name])
    held = [sys.getrefcount(value) for value in given.values()]
    answer = outcome(compiled.gradient, given)
    assert held == [sys.getrefcount(value) for value in given.values()]
    expected = outcome(interpreted.gradient, given)
    if isinstance(expected[0], type):
        assert answer == expected
    else:
        close = 1e-12 if dtype == "float64" else 1e-4
        np.testing.assert_allclose(answer[0], expected[0], rtol=close)
        np.testing.assert_allclose(answer[1], expected[1], rtol=close, atol=close)


@pytest.mark.parametrize("batch", [False, True])
@given(st.data())
@settings(max_examples=150)
def test_a_step_is_refused_in_the_same_words_or_gives_the_same(
    batch: bool, data: st.DataObject
) -> None:
    compiled, interpreted = both("rtrl", "float64", batch)
    given: dict[str, Any] = arguments("float64", batch, step=True)
    for name in data.draw(st.lists(st.sampled_from(sorted(given)), max_size=2, unique=True)):
        given[name] = CHANGES[data.draw(st.sampled_from(sorted(CHANGES)))](given[name])
    answers = []
    for module in (compiled, interpreted):
        size = module.STATE * (8 if module is compiled else 3) if batch else module.STATE
        room = np.zeros(size + 8)
        skip = -room.ctypes.data % 64 // 8
        state = room[skip : skip + size]
        module.start(state, np.zeros((2, 3) if batch else 2))
        answers.append(outcome(module.step, {"state": state, "t": 1, **given}))
    answer, expected = answers
    if isinstance(expected[0], type):
        words = expected[1].startswith("state: ") and answer[1].startswith("state: ")
        assert words or answer == expected
    else:
        for one, other in zip(answer, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)


WRT = [
    None, "theta", "x", ("theta",), ("x", "y0"), ("y0", "theta", "x"), (), ("theta", "theta"),
    ("w",), (1,), 3, ["x"], "",
]  # fmt: skip


@pytest.mark.parametrize("algorithm", ["epochwise", "rtrl"])
@pytest.mark.parametrize("wrt", WRT, ids=repr)
def test_results_go_where_they_were_asked_to_or_are_refused_in_the_same_words(
    algorithm: str, wrt: Any
) -> None:
    compiled, interpreted = both(algorithm, "float64", False)
    given = arguments("float64", False)
    room = {"theta": (NET.size,), "x": (T, 1), "y0": (2,)}
    names = [wrt] if isinstance(wrt, str) else list(wrt) if isinstance(wrt, tuple | list) else []
    right = tuple(np.zeros(room.get(name, (1,))) for name in names) or (np.zeros(NET.size),)
    outs = [
        None, right, right[:-1], right[0], (*right, right[0]), (), 3, [1.0], right[0][:-1],
        np.zeros(2 * NET.size)[::2], np.zeros(NET.size, np.float32), given["theta"],
        np.zeros(NET.size, ">f8"), frozen(np.zeros(NET.size)), unaligned(np.zeros(NET.size)),
        given["x"], given["theta"][:0], (right[0],) * len(right),
    ]  # fmt: skip
    for out in outs:
        before = {name: value.copy() for name, value in given.items()}
        answer = outcome(compiled.gradient, {**given, "wrt": wrt, "out": out})
        expected = outcome(interpreted.gradient, {**given, "wrt": wrt, "out": out})
        for name, value in before.items():
            np.testing.assert_array_equal(value, given[name])
        if isinstance(expected[0], type):
            assert answer == expected
            continue
        for one, other in zip(answer, expected, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)
        if out is not None:
            written = out if isinstance(out, tuple) else (out,)
            assert all(any(w is a for a in answer) for w in written)


def test_what_is_refused_leaves_nothing_behind() -> None:
    compiled, _ = both("epochwise", "float64", False)
    given = arguments("float64", False)
    out = np.zeros(NET.size)
    watched = [*given.values(), out, None, compiled.DTYPE]
    for bad in ({"target": given["target"][:2]}, {"wrt": ("x", "x")}, {"out": given["theta"]}):
        outcome(compiled.gradient, {**given, **bad})
    held = [sys.getrefcount(a) for a in watched]
    for _ in range(1000):
        for bad in ({"target": given["target"][:2]}, {"wrt": ("x", "x")}, {"out": given["theta"]}):
            outcome(compiled.gradient, {**given, **bad})
        compiled.gradient(**given, out=out)
    after = [sys.getrefcount(a) for a in watched]
    assert max(abs(a - b) for a, b in zip(after, held, strict=True)) < 500  # a leak: 1000
