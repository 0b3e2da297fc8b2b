"""Pictures of a network: its wiring, its copies over time, and how its learning flows."""

from __future__ import annotations

from typing import Any

from derive.network.network import Network
from derive.pictures.picture import Picture, PictureError

__all__ = ["Picture", "PictureError", "draw"]

KINDS = ("network", "unrolled", "flow")


def draw(
    net: Any,
    what: str = "network",
    steps: int = 3,
    algorithm: str | None = None,
    **options: Any,
) -> Picture:
    from derive.calculus.form import form_of
    from derive.pictures.names import Names
    from derive.pictures.adjacency import draw_adjacency, is_large
    from derive.pictures.unrolled import draw_unrolled
    from derive.pictures.wiring import draw_network

    net = net if isinstance(net, Network) else Network.load(net)
    if is_large(net):
        return draw_adjacency(net, what)
    names = Names(net, form_of(net))
    if what == "unrolled":
        return draw_unrolled(net, names, steps)
    return draw_network(net, names)
