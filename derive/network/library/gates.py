"""Gated units: what is kept and what is let in is itself a squashed weighted sum.

In all of them a net input ``s_i`` has a bias ``b_i``, one per unit, and σ is the logistic function.
"""

from __future__ import annotations

from derive.errors import NetworkError
from derive.network.cell import Cell, NetInputDeclaration, ParameterDeclaration, plain
from derive.network.library.plain import spec_of
from derive.network.topology import Connection, finite, whole


def lstm(
    forget: bool = True,
    peepholes: bool = False,
    bias: bool = True,
    forget_bias: float = 1.0,
) -> Cell:
    """Long short-term memory: a sum c that gates write, keep and read.

        i = σ(s_i + b_i + p_i·c(t))        g = tanh(s_g + b_g)
        f = σ(s_f + b_f + p_f·c(t))        c(t+1) = f·c(t) + i·g
        o = σ(s_o + b_o + p_o·c(t+1))      h(t+1) = o·tanh(c(t+1))

    Hochreiter & Schmidhuber (1997) had f = 1, without a forget gate; Gers, Schmidhuber & Cummins
    (2000) added f, Gers & Schmidhuber (2000) the peepholes p, of which the output gate's sees the
    new c. The squashing functions are tanh here, as they came to be; in 1997 they were logistic
    functions scaled to (−2, 2) and (−1, 1). Other units see h.

    Parameters
    ----------
    forget : bool
        Whether there is a forget gate.
    peepholes : bool
        Whether gates see the unit's own c, each by a trainable weight, one per unit, from 0.
    bias : bool
        Whether net inputs have trainable biases.
    forget_bias : float
        First value of b_f. 1 lets a unit remember before it has learnt to (Jozefowicz, Zaremba &
        Sutskever 2015); the other biases start at 0.

    Raises
    ------
    NetworkError
        When ``forget_bias`` is no finite number, or is given where there is no such bias.
    """
    forget_bias = finite(forget_bias, "lstm: forget_bias")
    if forget_bias != 1 and not (forget and bias):
        raise NetworkError(
            "lstm: forget_bias is the first value of the forget gate's bias; it needs "
            "forget=True and bias=True"
        )
    gates = ("i", "f", "o") if forget else ("i", "o")
    nets = ("i", "f", "g", "o") if forget else ("i", "g", "o")
    seen = {"i": "c", "f": "c", "o": "m"} if peepholes else {}
    sums = {
        k: f"s_{k}" + (f" + b_{k}" if bias else "") + (f" + p_{k}*{seen[k]}" if k in seen else "")
        for k in nets
    }
    squashed = {k: f"{'tanh' if k == 'g' else 'logistic'}({sums[k]})" for k in nets}
    # m is c(t+1) under a name that the output gate can use.
    kept = "f*c" if forget else "c"
    parameters = [
        ParameterDeclaration(f"b_{k}", forget_bias if k == "f" else 0.0) for k in nets if bias
    ]
    parameters += [ParameterDeclaration(f"p_{k}") for k in gates if peepholes]
    return Cell.from_text(
        {"h": "o*tanh(m)", "c": "m"},
        intermediates={**squashed, "m": f"{kept} + i*g"},
        net_inputs=tuple(f"s_{k}" for k in nets),
        parameters=tuple(parameters),
        name="lstm",
        spec=spec_of(
            "lstm",
            forget=None if forget else False,
            peepholes=peepholes or None,
            bias=None if bias else False,
            forget_bias=forget_bias if forget_bias != 1 else None,
        ),
    )


RESETS = ("after", "before")


def gru(reset: str = "after", bias: bool = True) -> Cell:
    """Gated recurrent unit; the reset gate acts after the recurrent weighted sum, or before it.

        r = σ(s_r + b_r)        after:   g = tanh(s_g + b_g + r·(s_h + b_h))
        z = σ(s_z + b_z)        before:  g = tanh(s_g + b_g), where s_g hears r·h of units
                                h(t+1) = (1 − z)·g + z·h(t)

    *After* is the form of cuDNN and of ``torch.nn.GRU``; z is the share that is *kept*. Two net
    inputs make the candidate: s_g, which r does not touch, and s_h, which it scales. In the common
    form input lines reach s_g and units s_h; :func:`split_connections` lists just these. Where
    every source reaches both, as with ``connect.full()``, the network contains that one.

    *Before* is the form of Cho et al. (2014): what a unit offers to the candidates of others is
    the state rh = r·h, of the same step, which they hear with delay 0. Patterns see to that.

    Parameters
    ----------
    reset : {"after", "before"}
        Where the reset gate acts.
    bias : bool
        Whether net inputs have trainable biases, from 0.

    Raises
    ------
    NetworkError
        For another ``reset``.
    """
    _check_reset(reset, "gru")
    nets = ("r", "z", "g", "h") if reset == "after" else ("r", "z", "g")
    s = _sums(nets, bias)
    states = {"h": "(1 - z)*g + z*h"}
    candidate = f"{s['g']} + r*({s['h']})" if reset == "after" else s["g"]
    if reset == "before":
        states["rh"] = "r*h"
    return Cell.from_text(
        states,
        intermediates={
            "r": f"logistic({s['r']})",
            "z": f"logistic({s['z']})",
            "g": f"tanh({candidate})",
        },
        net_inputs=_heard(nets, reset, "rh"),
        parameters=_biases(nets, bias),
        name="gru",
        spec=spec_of(
            "gru", reset=None if reset == "after" else reset, bias=None if bias else False
        ),
    )


def mgu(reset: str = "after", bias: bool = True) -> Cell:
    """Minimal gated unit (Zhou, Wu, Zhang & Zhou 2016): one gate that resets and updates.

        f = σ(s_f + b_f)        after:   g = tanh(s_g + b_g + f·(s_h + b_h))
                                before:  g = tanh(s_g + b_g), where s_g hears f·h of units
                                h(t+1) = (1 − f)·h(t) + f·g

    The paper has *before*. Who reaches s_g and s_h is as for :func:`gru`.

    Parameters
    ----------
    reset : {"after", "before"}
        Where the gate acts on what is remembered.
    bias : bool
        Whether net inputs have trainable biases, from 0.

    Raises
    ------
    NetworkError
        For another ``reset``.
    """
    _check_reset(reset, "mgu")
    nets = ("f", "g", "h") if reset == "after" else ("f", "g")
    s = _sums(nets, bias)
    states = {"h": "(1 - f)*h + f*g"}
    candidate = f"{s['g']} + f*({s['h']})" if reset == "after" else s["g"]
    if reset == "before":
        states["fh"] = "f*h"
    return Cell.from_text(
        states,
        intermediates={"f": f"logistic({s['f']})", "g": f"tanh({candidate})"},
        net_inputs=_heard(nets, reset, "fh"),
        parameters=_biases(nets, bias),
        name="mgu",
        spec=spec_of(
            "mgu", reset=None if reset == "after" else reset, bias=None if bias else False
        ),
    )


def _check_reset(reset: str, cell: str) -> None:
    if reset not in RESETS:
        raise NetworkError(f'{cell}: reset must be "after" or "before", got {reset!r}')


def _heard(nets: tuple[str, ...], reset: str, offered: str) -> tuple[NetInputDeclaration, ...]:
    """The net inputs; with a reset before the sum the candidate hears what is offered at once."""
    return tuple(
        NetInputDeclaration(f"s_{k}", offered, 0)
        if reset == "before" and k == "g"
        else plain(f"s_{k}")
        for k in nets
    )


def _sums(nets: tuple[str, ...], bias: bool) -> dict[str, str]:
    return {k: f"s_{k} + b_{k}" if bias else f"s_{k}" for k in nets}


def _biases(nets: tuple[str, ...], bias: bool) -> tuple[ParameterDeclaration, ...]:
    return tuple(ParameterDeclaration(f"b_{k}") for k in nets) if bias else ()


def split_connections(cell: Cell, units: int, inputs: int, delay: int = 1) -> list[Connection]:
    """All connections of the common form of a cell whose candidate is two net inputs.

    Input lines reach s_g and not s_h, units reach s_h and not s_g; every source reaches all other
    net inputs.

    Parameters
    ----------
    cell : Cell
        :func:`gru` or :func:`mgu`, or one with net inputs of these names.
    units, inputs : int
        n and m.
    delay : int
        Of every connection.

    Raises
    ------
    NetworkError
        When the cell lacks the two net inputs, or a number is none.
    """
    if not {"s_g", "s_h"} <= set(cell.net_inputs):
        raise NetworkError(
            f"split_connections: cell {cell.name!r} has net inputs {', '.join(cell.net_inputs)}; "
            "it needs s_g for input lines and s_h for units"
        )
    n = whole(units, "split_connections: units", 1)
    m = whole(inputs, "split_connections: inputs", 0)
    heard = {"s_g": range(n, n + m), "s_h": range(n)}
    return [
        Connection(k, source, delay, net_input)
        for k in range(n)
        for net_input in cell.net_inputs
        for source in heard.get(net_input, range(n + m))
    ]
