"""Pictures of a network: its wiring, its copies over time, and how its learning flows.

placing, curves, labels   where things stand, ways between them, and where text has room
wiring, unrolled, flow    the pictures of small networks; adjacency, that of large ones
flows                     what flows in a step of learning, read off the calculus
canvas, style             how all of it becomes SVG
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from derive.network.network import Network
from derive.network.topology import whole
from derive.pictures.picture import Picture, PictureError

__all__ = ["Picture", "PictureError", "draw"]

KINDS = ("network", "unrolled", "flow")
MOST_STEPS = 12


def draw(
    net: Any,
    what: str = "network",
    steps: int = 3,
    algorithm: str | None = None,
    **options: Any,
) -> Picture:
    """Draw a network, its copies over time, or one step of how it learns.

    Parameters
    ----------
    net : Network, dict or path of a spec
    what : {"network", "unrolled", "flow"}
        ``"network"``: units, input lines and connections. ``"unrolled"``: every unit once for each
        time t₀…t₀ + ``steps``. ``"flow"``: what flows along the connections in one step of the
        algorithm, errors back or sensitivities on.
    steps : int
        How many steps are unrolled, 1 to 12.
    algorithm : str, optional
        Whose flow is drawn; the one the network names if not given.
    **options
        The algorithm's own, as for :func:`derive.differentiate`.

    Returns
    -------
    Picture
        With ``svg``, ``title``, ``description`` and ``save(path)``; notebooks show it. A network of
        more than 24 units or 150 connections is drawn as a table of marks, whatever is asked
        for, and the title says so.

    Raises
    ------
    PictureError
        For an unknown kind of picture, steps out of range, or a library that is missing.
    DerivationError
        For an unknown algorithm, or an option that it has not.
    """
    from derive.calculus.form import form_of
    from derive.pictures.adjacency import draw_adjacency, is_large
    from derive.pictures.names import Names
    from derive.pictures.unrolled import draw_unrolled
    from derive.pictures.wiring import draw_network
    from derive.program.algorithms import settle

    _check(what, steps)
    net = _network(net)
    asked = what == "flow" or algorithm is not None or options
    chosen = settle(net, algorithm, options) if asked else {}
    if is_large(net):
        return draw_adjacency(net, what)
    if what == "flow":
        return _flow(net, chosen.pop("name"), chosen)
    names = Names(net, form_of(net))
    return draw_unrolled(net, names, steps) if what == "unrolled" else draw_network(net, names)


def _network(net: Any) -> Network:
    if isinstance(net, Network):
        return net
    if not isinstance(net, (str, Path, Mapping)):
        raise PictureError(f"draw: expected a Network, a dict or the path of a spec, got {net!r}")
    return Network.load(net)


def _check(what: Any, steps: Any) -> None:
    if what not in KINDS:
        close = difflib.get_close_matches(str(what), KINDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(KINDS)}"
        raise PictureError(f"draw: no picture {what!r}; {hint}")
    try:
        whole(steps, "draw: steps", 1, MOST_STEPS)
    except ValueError as error:
        raise PictureError(str(error)) from None


def _flow(net: Network, name: str, chosen: dict[str, Any]) -> Picture:
    """The flow of a settled algorithm."""
    from derive.calculus.derivation import derivation
    from derive.calculus.form import form_of
    from derive.calculus.indexed import e
    from derive.pictures.flow import draw_flow
    from derive.pictures.flows import backward, forward
    from derive.pictures.names import Names

    derived = derivation(net, name, chosen)
    names = Names(net, form_of(net, bool(chosen.get("teacher_forcing", False))))
    if name == "rtrl":
        return draw_flow(net, names, forward(names), derived)
    recursions = [s for s in derived if s.name.partition("/")[0] == "eps"]
    later = any(s.right.has(e) for s in recursions)
    flow = backward(names, name == "settling", newest_only=not later)
    return draw_flow(net, names, flow, derived)
