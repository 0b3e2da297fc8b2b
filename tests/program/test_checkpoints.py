"""Epochwise backpropagation from checkpoints: the same to the bit, in memory for √T steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import derive
from derive.errors import DerivationError, DeriveError
from derive.network import connect
from derive.network.cell import Cell, NetInputDeclaration
from derive.network.library import lstm, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.network.specfile import load, to_spec
from derive.options import read_options
from derive.program.algorithms import programs, settle
from derive.program.cost import held_at
from derive.program.interpret import numpy_arithmetic, run
from derive.program.ir import Root, Var, evaluate, root
from tests.strategies import data, networks


def looking(delay: int = 4) -> Network:
    """A synapse that looks at its target, over a long delay: at signals after a segment."""
    port = NetInputDeclaration("s", None, 1, "w*x*(2 - y)")
    cell = Cell.from_text({"y": "tanh(s)"}, net_inputs=(port,), name="looking")
    wires = [(0, 0, delay), (1, 0), (0, 1, 2), (1, 2), (1, 1, delay - 1)]
    return Network(cell, 2, 1, wires, SquaredError([1]), name="looking")


NETS = {
    "full": Network(semilinear("tanh"), 12, 2, connect.full(), SquaredError([2, 5]), name="full"),
    "delayed": Network(
        semilinear("tanh", bias=True), 3, 1, [(0, 1, 5), (1, 0), (2, 1, 3), (2, 3, 2), (0, 3)],
        SquaredError([2]), name="delayed",
    ),
    "lstm": Network(lstm(), 1, 1, connect.full(), SquaredError([0]), name="gates"),
    "looking": looking(),
}  # fmt: skip

MEMORIES = st.sampled_from([1, 2, 3, 5, 100, "sqrt"])


def outputs(net: Network, options: dict[str, Any], given: dict[str, Any], T: int) -> dict[str, Any]:
    """Everything the gradient's Programs give, on NumPy numbers."""
    found = programs(net, settle(net, "epochwise", options))
    sizes = {"T": T, "mask_step": 1, "mask_rows": T}
    with np.errstate(all="ignore"):
        return {
            f"{name} {key}": value
            for name in ("gradient", "gradient_all")
            for key, value in run(found[name], numpy_arithmetic(), given, sizes).items()
        }


@settings(max_examples=60)
@given(networks(corners=True), st.integers(1, 9), MEMORIES, st.booleans(), st.integers(0, 3))
def test_every_output_is_the_same_to_the_bit(
    net: Network, T: int, memory: int | str, forced: bool, seed: int
) -> None:
    given = data(net, T, seed=seed)._asdict()
    if net.lookback:
        shape = (net.lookback, len(net.states) + net.inputs)
        given["history"] = np.random.default_rng(seed).normal(size=shape)
    kept = outputs(net, {"teacher_forcing": forced}, given, T)
    again = outputs(net, {"teacher_forcing": forced, "memory": memory}, given, T)
    for name, value in kept.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)


@pytest.mark.parametrize(
    ("name", "schedule", "batch", "memory"),
    [
        ("full", "tables", False, "sqrt"),
        ("delayed", "unrolled", False, 4),
        ("lstm", "tables", True, "sqrt"),
        ("looking", "unrolled", True, 2),
    ],
)
def test_compiled_reproducibly_it_is_the_same(
    name: str, schedule: str, batch: bool, memory: int | str
) -> None:
    net, T = NETS[name], 23
    given = data(net, T, batch=5 if batch else 0)._asdict()
    dtype = "float32" if batch else "float64"
    given = {k: v.astype(dtype) for k, v in given.items()}
    how: dict[str, Any] = {
        "batch": batch, "dtype": dtype, "schedule": schedule, "profile": "reproducible"
    }  # fmt: skip
    wrt = ("theta", "x", "y0")
    wanted = derive.compile(net, "epochwise", **how).gradient(**given, wrt=wrt)
    kernel = derive.compile(net, "epochwise", memory=memory, **how)
    # One sequence to the bit; in lanes a schedule may group the sums over time by stretches.
    within = 3e-5 if batch else 0.0
    found = kernel.gradient(**given, wrt=wrt)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=within, atol=within)
    alone = kernel.gradient(**given)
    np.testing.assert_allclose(alone[0], wanted.J, rtol=within)
    np.testing.assert_allclose(alone[1], wanted.theta, rtol=within, atol=within)


@pytest.mark.parametrize("name", NETS)
def test_memory_grows_with_the_root_of_the_steps(name: str) -> None:
    found = {
        memory: programs(NETS[name], settle(NETS[name], "epochwise", {"memory": memory}))
        for memory in ("full", "sqrt", 50)
    }

    def held(memory: str | int, T: int) -> int:
        return held_at(found[memory]["gradient"], {"T": T})["work"]

    def more(memory: str | int, T: int) -> int:
        """What T steps take besides what any number of steps does."""
        return held(memory, T) - held(memory, 1)

    assert more("full", 90_000) > 8.9 * more("full", 10_000) > 8.9 * 9_000 * NETS[name].units
    assert 2.9 < more("sqrt", 90_000) / more("sqrt", 10_000) < 3.1
    # A checkpoint has as many rows as the longest delay; segments of 50 steps need 200 of them.
    assert more("sqrt", 10_000) < more("full", 10_000) / 14
    assert more(50, 10_000) < more("full", 10_000) / 7
    # A sequence shorter than a segment takes no room for a whole one.
    assert held(50, 7) < held(50, 50)


@given(st.integers(0, 10**12))
def test_a_root_is_the_least_number_whose_square_is_enough(number: int) -> None:
    found = evaluate(root(Var("T")), {"T": number}, {})
    assert found == root(number)
    assert found**2 >= number
    assert number == 0 or (found - 1) ** 2 < number
    assert root(Var("T")) == Root(Var("T"))


@pytest.mark.parametrize("memory", [0, -1, 2.5, True, "half", "Sqrt", None, [3], 2**24 + 1])
def test_a_memory_that_is_none_is_refused(memory: Any) -> None:
    with pytest.raises(DerivationError, match="^memory: expected 'full', 'sqrt' or a number of"):
        settle(NETS["full"], "epochwise", {"memory": memory})
    spec = {**to_spec(NETS["full"]), "algorithm": {"name": "epochwise", "memory": memory}}
    with pytest.raises(DeriveError, match=r"^algorithm\.memory: "):
        settle(load(spec), None, {})


def test_a_spec_and_a_command_line_say_it_alike() -> None:
    spec = {**to_spec(NETS["full"]), "algorithm": {"name": "epochwise", "memory": "sqrt"}}
    net = load(spec)
    assert settle(net, None, {}) == settle(net, "epochwise", read_options(["memory=sqrt"]))
    assert settle(net, "epochwise", read_options(["memory=full"])) == {"name": "epochwise"}
    assert settle(net, None, read_options(["memory=7"])) == {"name": "epochwise", "memory": 7}


def test_it_is_printed_with_the_sizes_it_derives() -> None:
    net = NETS["full"]
    text = str(programs(net, settle(net, "epochwise", {"memory": "sqrt"}))["gradient"])
    assert "segment = ⌈√T⌉" in text and "segments = ⌊(T+segment−1)/segment⌋" in text
    assert "work  checkpoint[segments, 1, 14]" in text
