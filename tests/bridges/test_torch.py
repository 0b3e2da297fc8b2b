"""Claims about the bridge to PyTorch: one layer and its network are one function, both ways."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

import derive
from derive.bridges import torch as bridge
from derive.errors import BridgeError
from derive.interpreted import Interpreted
from derive.program.algorithms import programs

LAYERS = {
    "RNN": lambda n, m, **options: torch.nn.RNN(m, n, **options),
    "RNN of relu": lambda n, m, **options: torch.nn.RNN(m, n, nonlinearity="relu", **options),
    "LSTM": lambda n, m, **options: torch.nn.LSTM(m, n, **options),
    "GRU": lambda n, m, **options: torch.nn.GRU(m, n, **options),
}


def layer(name: str, n: int = 3, m: int = 2, seed: int = 0, bias: bool = True) -> Any:
    """A float64 layer whose biases are far from 0 and differ from one another."""
    torch.manual_seed(seed)
    made = LAYERS[name](n, m, bias=bias).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.7)
    return made


def kernel(net: derive.Network, batch: bool = False) -> Any:
    return Interpreted(net, programs(net, {"name": "epochwise"}), "float64", batch)


def of_layer(made: Any, x: Any, y0: Any, net: derive.Network) -> Any:
    """A layer's output (T, n, B), from derive's arrays (T, m, B) and (N, B)."""
    states = y0.reshape(net.units, -1, y0.shape[-1])
    h, *c = (torch.tensor(s.T.copy()[None]) for s in states.swapaxes(0, 1))
    first = (h, c[0]) if c else h
    output, _ = made(torch.tensor(x.swapaxes(1, 2).copy()), first)
    return output.transpose(1, 2)


def drawn(net: derive.Network, T: int, B: int, seed: int) -> Any:
    generator = np.random.default_rng(seed)
    n_T = len(net.objective.targets)
    mask = (generator.random((T, n_T, B)) < 0.6).astype(float)
    target = np.where(mask, generator.normal(size=mask.shape), np.nan)
    x = generator.normal(size=(T, net.inputs, B))
    return x, target, mask, generator.normal(size=(len(net.states), B)) / 2


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_and_its_network_run_alike(name: str, bias: bool) -> None:
    made = layer(name, bias=bias)
    net, theta = bridge.from_torch(made)
    x, _, _, y0 = drawn(net, 7, 4, 1)
    y = kernel(net, batch=True).forward(theta, x, y0)
    h = y[1:].reshape(7, net.units, -1, 4)[:, :, 0]
    np.testing.assert_allclose(
        h, of_layer(made, x, y0, net).detach().numpy(), rtol=1e-12, atol=1e-13
    )


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("name", LAYERS)
def test_weights_go_there_and_back(name: str, bias: bool) -> None:
    made = layer(name, bias=bias)
    net, theta = bridge.from_torch(made)
    again = bridge.to_torch(net, theta)
    np.testing.assert_array_equal(bridge.from_torch(again)[1], theta)
    x, _, _, y0 = drawn(net, 5, 2, 2)
    outputs = [of_layer(m, x, y0, net).detach().numpy() for m in (made, again)]
    np.testing.assert_allclose(*outputs, rtol=1e-12, atol=1e-13)
    assert type(again) is type(made)
    # Sums of two biases come back as one of them; everything else comes back as it was.
    for parameter in ("weight_ih_l0", "weight_hh_l0"):
        np.testing.assert_array_equal(
            getattr(again, parameter).detach(), getattr(made, parameter).detach()
        )


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_gradient_is_that_of_autograd_under_a_mask_and_in_a_batch(
    name: str, bias: bool, seed: int
) -> None:
    made = layer(name, n=4, seed=seed, bias=bias)
    net, theta = bridge.from_torch(made, targets=[3, 1])
    x, target, mask, y0 = drawn(net, 6, 3, seed)
    J, g = kernel(net, batch=True).gradient(theta, x, target, mask, y0)

    output = of_layer(made, x, y0, net)[:, [3, 1]]
    error = torch.tensor(np.nan_to_num(target)) - output
    total = -0.5 * (error**2 * torch.tensor(mask)).sum()
    total.backward()
    np.testing.assert_allclose(J, total.item(), rtol=1e-12)
    size = abs(g).max()
    np.testing.assert_allclose(
        bridge.gradient_from_torch(net, made), g, rtol=1e-12, atol=1e-12 * size
    )
    for parameter, slope in bridge.gradient_to_torch(net, g).items():
        expected = getattr(made, parameter).grad.numpy()
        np.testing.assert_allclose(slope, expected, rtol=1e-12, atol=1e-12 * size)


def test_the_compiled_kernel_of_a_layer_is_that_layer() -> None:
    made = layer("LSTM", n=2, m=1)
    net, theta = bridge.from_torch(made)
    x, _, _, y0 = drawn(net, 9, 2, 3)
    y = derive.compile(net, batch=True).forward(theta, x, y0)
    h = y[1:].reshape(9, 2, 2, 2)[:, :, 0]
    np.testing.assert_allclose(h, of_layer(made, x, y0, net).detach(), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_exchanged_gates_are_seen(name: str) -> None:
    """The faults the comparison is for: two gates exchanged, a weight matrix transposed."""
    made = layer(name)
    net, theta = bridge.from_torch(made)
    x, _, _, y0 = drawn(net, 5, 2, 2)
    right = of_layer(made, x, y0, net).detach().numpy()

    def differs() -> bool:
        y = kernel(net, batch=True).forward(bridge.from_torch(made)[1], x, y0)
        h = y[1:].reshape(5, net.units, -1, 2)[:, :, 0]
        return not np.allclose(h, right, rtol=1e-6)

    assert not differs()
    with torch.no_grad():
        kept = made.weight_hh_l0.clone()
        made.weight_hh_l0[:3], made.weight_hh_l0[3:6] = kept[3:6], kept[:3]
        assert differs()
        made.weight_hh_l0.copy_(kept)
        made.weight_hh_l0[:3] = kept[:3].T
        assert differs()


def test_a_network_made_of_a_spec_becomes_a_layer() -> None:
    net = derive.Network(
        derive.cells.gru(),
        2,
        3,
        derive.cells.split_connections(derive.cells.gru(), 2, 3),
        derive.SquaredError([0]),
    )
    theta = net.init(4)
    made = bridge.to_torch(net, theta)
    again, same = bridge.from_torch(made, targets=[0], name=net.name)
    np.testing.assert_array_equal(theta, same)
    assert again.connections == net.connections
    lstm = derive.Network(
        derive.cells.lstm(), 2, 1, derive.connect.full(), derive.SquaredError([0])
    )
    assert bridge.to_torch(lstm, lstm.init()).bias_ih_l0[2:4].tolist() == [1, 1]


def network(cell: Any, connections: Any = None, **options: Any) -> derive.Network:
    wired = derive.connect.full() if connections is None else connections
    return derive.Network(cell, 2, 1, wired, derive.SquaredError([0]), **options)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bridge.from_torch(torch.nn.Linear(2, 2)),
         "expected a torch.nn.RNN, LSTM, GRU, got Linear"),
        (lambda: bridge.from_torch(torch.nn.LSTM(1, 2, num_layers=2)), "num_layers = 2 has no"),
        (lambda: bridge.from_torch(torch.nn.LSTM(1, 2, proj_size=1)), "proj_size = 1 has no"),
        (lambda: bridge.from_torch(torch.nn.GRU(1, 2, bidirectional=True)),
         "bidirectional = True has no counterpart; it must be False"),
        (lambda: bridge.from_torch(layer("RNN"), [0], derive.SquaredError([0])),
         "give targets or an objective, not both"),
        (lambda: bridge.to_torch(network(derive.cells.mgu()), np.zeros(1)),
         "torch has layers for one cell of semilinear, lstm, gru; this one has mgu"),
        (lambda: bridge.to_torch(network(derive.cells.semilinear("logistic")), np.zeros(6)),
         "torch.nn.RNN has tanh and relu, not 'logistic'"),
        (lambda: bridge.to_torch(network(derive.cells.lstm(peepholes=True)), np.zeros(1)),
         "has a forget gate and no peepholes"),
        (lambda: bridge.to_torch(network(derive.cells.gru()), np.zeros(32)),
         "its connections are not those of a torch.nn.GRU, which are 18"),
        (lambda: bridge.to_torch(network(derive.cells.lstm(), derive.connect.full(2)), []),
         "its connections are not those of a torch.nn.LSTM"),
        (lambda: bridge.gradient_from_torch(network(derive.cells.lstm()), layer("LSTM")),
         "call backward"),
        (lambda: bridge.gradient_from_torch(network(derive.cells.lstm()), layer("GRU")),
         "the network is a LSTM, not a GRU"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_one_clear_error(make: Any, message: str) -> None:
    with pytest.raises(BridgeError, match=message):
        make()


def test_theta_of_another_length_is_refused() -> None:
    net, theta = bridge.from_torch(layer("LSTM"))
    with pytest.raises(ValueError, match=rf"theta: expected \(P={net.size},\), got"):
        bridge.parameters_of(net, theta[1:])


def test_without_torch_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from derive.bridges import torch\n"
        "torch.from_torch(None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "BridgeError: the torch bridge needs PyTorch" in done.stderr
    assert "pip install 'derive[torch]'" in done.stderr


def test_importing_the_bridge_imports_neither_torch_nor_sympy() -> None:
    program = "import sys, derive.bridges.torch; print({'torch', 'sympy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
