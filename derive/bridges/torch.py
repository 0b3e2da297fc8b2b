"""``torch.nn.RNN``, ``LSTM`` and ``GRU``, of one layer, as networks; weights both ways, exactly.

A recurrent layer of n units on m inputs is the network that has the cell below and just the
layer's connections. Torch stacks what belongs to different gates in the rows of ``weight_ih_l0``
(gates·n, m) and ``weight_hh_l0`` (gates·n, n), in the order given:

    RNN    one net input              semilinear(tanh or relu), with b
    LSTM   input, forget, g, output   lstm: s_i, s_f, s_g, s_o
    GRU    reset, update, new         gru(reset="after"): s_r, s_z, and for new s_g and s_h

Torch has two biases for each gate, ``bias_ih_l0`` and ``bias_hh_l0``, of which only the sum counts;
a cell has one, that sum, except for the GRU's new gate: b_g is its ``bias_ih_l0``, b_h its
``bias_hh_l0``. On the way back the sum stands in ``bias_ih_l0``, and ``bias_hh_l0`` is 0.

Time goes first in both, but a batch is torch's middle axis and derive's last. Torch's ``output[t]``
is ``y[t+1]`` in the columns of the output state (h), and ``h_0`` and ``c_0`` are columns of ``y0``.
A layer's loss is minimised and J maximised.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from derive.errors import BridgeError
from derive.network.cell import Cell
from derive.network.library import gru, lstm, semilinear
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.topology import Connection

if TYPE_CHECKING:
    import torch

Floats = np.ndarray[Any, np.dtype[np.float64]]

WEIGHTS = ("weight_ih_l0", "weight_hh_l0")
BIASES = ("bias_ih_l0", "bias_hh_l0")


@dataclass(frozen=True)
class Gate:
    """Where one block of n rows of torch's weights goes.

    ``lines`` and ``units`` are the net inputs that input lines and units reach, ``b_lines`` and
    ``b_units`` the parameters of the two biases; the same one where only their sum counts.
    """

    lines: str
    units: str
    b_lines: str
    b_units: str


def _whole(name: str) -> Gate:
    return Gate(f"s_{name}", f"s_{name}", f"b_{name}", f"b_{name}")


GATES = {
    "RNN": (Gate("s", "s", "b", "b"),),
    "LSTM": tuple(_whole(name) for name in ("i", "f", "g", "o")),
    "GRU": (_whole("r"), _whole("z"), Gate("s_g", "s_h", "b_g", "b_h")),
}
"""The gates of each kind of layer, in torch's order."""


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise BridgeError(
            "the torch bridge needs PyTorch, which is not installed; pip install 'derive[torch]'"
        ) from None
    return torch


# --- the network of a layer, and the layer of a network ----------------------------------------


def from_torch(
    module: torch.nn.Module,
    targets: Sequence[int] | None = None,
    objective: Objective | None = None,
    name: str = "layer",
) -> tuple[Network, Floats]:
    """A recurrent layer as a network with the same connections, and its weights as theta.

    Parameters
    ----------
    module : torch.nn.RNN, LSTM or GRU
        Of one layer, one direction, without projection. ``batch_first`` is a matter of torch's
        arrays only.
    targets : sequence of int, optional
        The units that have targets in a squared error; all if not given.
    objective : Objective, optional
        Instead of ``targets``.
    name : str
        The network's.

    Returns
    -------
    Network
    theta : (P,) array of float64

    Raises
    ------
    BridgeError
        For another module, or an option of it that has no counterpart; without torch.
    """
    kind = _kind_of(module)
    layer: Any = module
    n, m = layer.hidden_size, layer.input_size
    if objective is None:
        objective = SquaredError(list(range(n) if targets is None else targets))
    elif targets is not None:
        raise BridgeError("from_torch: give targets or an objective, not both")
    cell = _cell_of(kind, layer)
    net = Network(cell, n, m, _connections(kind, cell, n, m), objective, name=name)
    return net, _theta(kind, net, _arrays(kind, layer, lambda p: p), np.add)


def to_torch(net: Network, theta: Any) -> torch.nn.Module:
    """The layer that computes what a network of :func:`from_torch`'s kind computes.

    Parameters
    ----------
    net : Network
        With one of the cells above and just the connections of such a layer.
    theta : (P,) array

    Returns
    -------
    torch.nn.RNN, LSTM or GRU
        In float64.

    Raises
    ------
    BridgeError
        When the network is not such a layer; without torch.
    """
    torch_ = _torch()
    kind = layer_kind(net)
    spec = net.cells[0].to_spec()
    arguments: dict[str, Any] = {"bias": bool(net.cells[0].parameters)}
    if kind == "RNN":
        arguments["nonlinearity"] = spec["activation"]
    module = getattr(torch_.nn, kind)(net.inputs, net.units, dtype=torch_.float64, **arguments)
    with torch_.no_grad():
        for name, values in parameters_of(net, theta).items():
            getattr(module, name).copy_(torch_.from_numpy(values))
    return module


# --- numbers both ways -------------------------------------------------------------------------


def parameters_of(net: Network, theta: Any) -> dict[str, Floats]:
    """Theta as the layer's parameters by torch's names; the second of two added biases is 0."""
    return _parameters(layer_kind(net), net, theta, second=0.0)


def gradient_to_torch(net: Network, gradient: Any) -> dict[str, Floats]:
    """∂J/∂theta as ∂J by the layer's parameters; that of two added biases is the same by each."""
    return _parameters(layer_kind(net), net, gradient, second=1.0)


def gradient_from_torch(net: Network, module: torch.nn.Module) -> Floats:
    """What ``backward`` left in a layer's ``grad``, laid out as theta.

    Raises
    ------
    BridgeError
        When the layer is not the network's, or has a parameter without a gradient.
    """
    kind = _kind_of(module)
    if kind != layer_kind(net):
        raise BridgeError(f"gradient_from_torch: the network is a {layer_kind(net)}, not a {kind}")

    def read(parameter: Any) -> Any:
        if parameter.grad is None:
            raise BridgeError("gradient_from_torch: no gradient yet; call backward() first")
        return parameter.grad

    # By either of two added biases the slope is the one by their sum.
    return _theta(kind, net, _arrays(kind, module, read), lambda first, second: first)


def _arrays(kind: str, module: Any, read: Any) -> dict[str, Floats]:
    names = WEIGHTS + (BIASES if module.bias else ())
    return {
        name: read(getattr(module, name)).detach().cpu().numpy().astype(np.float64)
        for name in names
    }


def _theta(kind: str, net: Network, arrays: dict[str, Floats], together: Any) -> Floats:
    """Torch's arrays in theta's places; ``together`` makes one of two biases that are added."""
    n, w = net.units, net.wiring
    ports = net.cells[0].net_inputs
    dense = np.zeros((len(ports), n, n + net.inputs))
    theta = np.zeros(net.size)
    for i, gate in enumerate(GATES[kind]):
        rows = slice(i * n, (i + 1) * n)
        dense[ports.index(gate.lines), :, n:] = arrays["weight_ih_l0"][rows]
        dense[ports.index(gate.units), :, :n] = arrays["weight_hh_l0"][rows]
        if "bias_ih_l0" in arrays:
            first, second = (arrays[name][rows] for name in BIASES)
            if gate.b_lines == gate.b_units:
                theta[net.unit_parameters[gate.b_lines]] = together(first, second)
            else:
                theta[net.unit_parameters[gate.b_lines]] = first
                theta[net.unit_parameters[gate.b_units]] = second
    theta[w.weight] = dense[w.port, w.target, w.source]
    return theta


def _parameters(kind: str, net: Network, theta: Any, second: float) -> dict[str, Floats]:
    theta = np.asarray(theta, dtype=np.float64)
    if theta.shape != (net.size,):
        raise ValueError(f"theta: expected (P={net.size},), got {theta.shape}")
    n, w = net.units, net.wiring
    ports = net.cells[0].net_inputs
    dense = np.zeros((len(ports), n, n + net.inputs))
    dense[w.port, w.target, w.source] = theta[w.weight]
    gates = GATES[kind]
    found = {
        "weight_ih_l0": np.concatenate([dense[ports.index(g.lines), :, n:] for g in gates]),
        "weight_hh_l0": np.concatenate([dense[ports.index(g.units), :, :n] for g in gates]),
    }
    if net.unit_parameters:
        values = {name: theta[at] for name, at in net.unit_parameters.items()}
        found["bias_ih_l0"] = np.concatenate([values[g.b_lines] for g in gates])
        found["bias_hh_l0"] = np.concatenate(
            [values[g.b_units] * (second if g.b_units == g.b_lines else 1.0) for g in gates]
        )
    return found


# --- which layer a network is, and the other way round -----------------------------------------


def _kind_of(module: Any) -> str:
    layers = _torch().nn
    kind = next((k for k in GATES if isinstance(module, getattr(layers, k))), None)
    if kind is None:
        raise BridgeError(
            f"from_torch: expected a torch.nn.{', '.join(GATES)}, got {type(module).__name__}"
        )
    for option, plain in (("num_layers", 1), ("bidirectional", False), ("proj_size", 0)):
        if getattr(module, option) != plain:
            raise BridgeError(
                f"from_torch: {option} = {getattr(module, option)!r} has no counterpart; "
                f"it must be {plain!r}"
            )
    return kind


def _cell_of(kind: str, layer: Any) -> Cell:
    match kind:
        case "RNN":
            return semilinear(layer.nonlinearity, bias=layer.bias)
        case "LSTM":
            return lstm(bias=layer.bias)
    return gru(bias=layer.bias)


def _connections(kind: str, cell: Cell, n: int, m: int) -> list[Connection]:
    return [
        Connection(k, source, 1, net_input)
        for k in range(n)
        for gate in GATES[kind]
        for net_input, sources in ((gate.lines, range(n, n + m)), (gate.units, range(n)))
        for source in sources
    ]


def layer_kind(net: Network) -> str:
    """Which of torch's layers a network is: "RNN", "LSTM" or "GRU".

    Raises
    ------
    BridgeError
        Saying what keeps it from being one.
    """
    cell = net.cells[0]
    spec = cell.to_spec()
    kinds = {"semilinear": "RNN", "lstm": "LSTM", "gru": "GRU"}
    kind = kinds.get(spec.get("library", ""))
    if len(net.cells) > 1 or kind is None:
        raise BridgeError(
            f"network {net.name!r}: torch has layers for one cell of {', '.join(kinds)}; "
            f"this one has {', '.join(net.cell_names)}"
        )
    if kind == "RNN" and spec["activation"] not in ("tanh", "relu"):
        raise BridgeError(
            f"network {net.name!r}: torch.nn.RNN has tanh and relu, not {spec['activation']!r}"
        )
    if kind == "LSTM" and (spec.get("forget") is False or spec.get("peepholes")):
        raise BridgeError(f"network {net.name!r}: torch.nn.LSTM has a forget gate and no peepholes")
    listed = _connections(kind, cell, net.units, net.inputs)
    wanted = Network(cell, net.units, net.inputs, listed, net.objective).wiring
    w = net.wiring
    same = w.size == wanted.size and w.weights == w.size
    if not same or any(
        (getattr(w, column) != getattr(wanted, column)).any()
        for column in ("target", "port", "source", "delay")
    ):
        raise BridgeError(
            f"network {net.name!r}: its connections are not those of a torch.nn.{kind}, which are "
            f"{wanted.size} of delay 1, none sharing a weight; from_torch makes them"
        )
    return kind
