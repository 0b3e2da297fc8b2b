"""Pictures say what a network is: every arrow once, nothing hidden, and safe to show."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import derive
from derive.network import connect
from derive.network.library import leaky, lstm, semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.network.topology import Connection
from derive.pictures import Picture, PictureError, draw
from derive.pictures.style import DARK, LIGHT
from tests.pictures.reading import arrows, data, groups, labels, nodes, root, texts, through
from tests.strategies import networks

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.toml"))
KINDS = ("network", "unrolled", "flow")
HOSTILE = '"/><script>alert(1)</script>&]]>\x00'


def net_of(connections: Any, units: int = 4, inputs: int = 1, **kwargs: Any) -> Network:
    """A network of tanh units."""
    kwargs.setdefault("objective", SquaredError([units - 1]))
    return Network(semilinear("tanh"), units, inputs, connections, name="small", **kwargs)


# --- every connection has its arrow ------------------------------------------------------------


def stated(net: Network) -> Counter[tuple[str, ...]]:
    """What the arrows of the picture of a network must say."""
    return Counter(
        (str(c.target), str(c.source), str(c.delay), str(c.net_input)) for c in net.connections
    )


def drawn(svg: str) -> Counter[tuple[str, ...]]:
    """What they say."""
    said = (arrow.data for arrow in arrows(svg))
    return Counter((d["target"], d["source"], d["delay"], d["net-input"]) for d in said)


@settings(max_examples=30)
@given(networks())
def test_each_connection_has_one_arrow_and_none_runs_through_a_node(net: Network) -> None:
    svg = draw(net).svg
    assert drawn(svg) == stated(net)
    assert through(svg) == []
    assert len(groups(svg, "dp-unit")) == net.units + net.inputs
    rings = sum("dp-ring" in (c.get("class") or "") for g in groups(svg, "dp-unit") for c in g)
    assert rings == len(net.objective.targets)


def test_a_dropped_connection_is_seen() -> None:
    net = net_of(connect.full())
    whole = draw(net).svg
    fewer = draw(net_of([(c.target, c.source) for c in net.connections[1:]])).svg
    assert drawn(whole) == stated(net)
    assert stated(net) - drawn(fewer) == Counter([("0", "0", "1", "s")])


def test_an_arrow_through_a_unit_is_seen() -> None:
    """Bend the arrow from 1 to 0 straight through unit 2: the reader of pictures objects."""
    svg = draw(net_of([(0, 1), (0, 3), (2, 3)])).svg
    assert through(svg) == []
    centre = next(g for g in groups(svg, "dp-unit") if data(g).get("unit") == "2")
    x, y = centre[1].get("cx"), centre[1].get("cy")
    arrow = next(g for g in groups(svg, "dp-edge") if data(g)["source"] == "1")
    line = arrow[1].get("d")
    assert line is not None
    start, _, end = line.partition(" C")
    there = end.split()[-2:]
    bent = f"{start} C{x} {y} {x} {y} {x} {y} {x} {y} {x} {y} {' '.join(there)}"
    (complaint,) = through(svg.replace(line, bent))
    assert "'unit': '2'" in complaint


def copies(net: Network, steps: int) -> Counter[tuple[str, ...]]:
    """By hand: from a source at t to its target at t + D, for every t, into t₀+1 and later."""
    return Counter(
        (str(c.target), str(c.source), str(c.delay), str(time))
        for c in net.connections
        for time in range(steps + 1)
        if 1 <= time + c.delay <= steps
    )


@settings(max_examples=18)
@given(networks())
def test_unrolled_each_connection_is_there_once_for_each_time(net: Network) -> None:
    svg = draw(net, "unrolled", steps=4).svg
    said = (arrow.data for arrow in arrows(svg))
    found = Counter((d["target"], d["source"], d["delay"], d["step"]) for d in said)
    assert found == copies(net, 4)
    assert through(svg, "dp-edge", "dp-memory") == []


def test_all_copies_of_the_emphasised_weight_are_emphasised_and_named() -> None:
    tied = [Connection(1, 0, weight="a"), Connection(2, 1, weight="a"), Connection(3, 2)]
    svg = draw(net_of(tied), "unrolled", steps=3).svg
    loud = groups(svg, "dp-tied")
    assert {data(g)["weight"] for g in loud} == {"0"}
    assert len(loud) == 6
    assert texts(svg).count("θ0") == 6


def test_errors_come_in_at_judged_units_after_the_start() -> None:
    net = net_of(connect.full(), objective=SquaredError([1, 3]))
    found = {
        (data(g)["unit"], data(g)["step"]) for g in groups(draw(net, "unrolled").svg, "dp-error")
    }
    assert found == {(k, t) for k in "13" for t in "123"}
    late = net_of(connect.full(), objective=SquaredError([1], at="end"))
    found = {
        (data(g)["unit"], data(g)["step"]) for g in groups(draw(late, "unrolled").svg, "dp-error")
    }
    assert found == {("1", "3")}


# --- what is said ------------------------------------------------------------------------------


def test_names_delays_sharing_and_fixed_weights_are_written_and_told_without_colour() -> None:
    svg = draw(
        net_of(
            [
                Connection(1, 0, weight="a"),
                Connection(2, 1, weight="a"),
                Connection(2, 0, 0),
                Connection(3, 2, 3),
                Connection(3, 4, fixed=0.5),
            ]
        )
    ).svg
    said = " ".join(texts(svg))
    assert "θ0" in said and "D=3" in said and "D=0" in said
    hollow = [data(g)["delay"] for g in groups(svg, "dp-edge") if "dp-hollow" in
              [c.get("class") for c in g]]  # fmt: skip
    heads = {data(g)["delay"]: sum(c.get("class") == "dp-head" for c in g)
             for g in groups(svg, "dp-edge")}  # fmt: skip
    assert hollow == ["0"]
    assert heads["3"] == 2 and heads["1"] == 1
    assert [data(g)["source"] for g in groups(svg, "dp-fixed") if data(g)] == ["4"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_described_in_words(path: Path) -> None:
    net = Network.load(path)
    picture = draw(net)
    assert picture.title.startswith(net.name)
    assert re.search(rf"\b{net.units} units", picture.description)
    assert f"{net.wiring.size} connections" in picture.description
    for name in net.populations:
        assert f"Population {name}" in picture.description
    last = max(net.objective.targets)
    assert re.search(rf"nits? [\d, …and]*\b{last}\b[^.]* ha(s|ve) targets", picture.description)


def test_populations_are_named_beside_their_tint() -> None:
    svg = draw(Network.load(next(p for p in EXAMPLES if p.stem == "populations"))).svg
    assert "hidden: units 0…7" in texts(svg) and "out: units 8 and 9" in texts(svg)
    tints = {c.get("class") for g in groups(svg, "dp-unit") for c in g} - {None}
    assert {"dp-node dp-g0", "dp-node dp-g1"} <= tints


# --- SVG that can stand anywhere ---------------------------------------------------------------


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_svg_says_its_title_and_description_and_scales(path: Path, what: str) -> None:
    picture = draw(path, what)
    top = root(picture.svg)
    named, said = (top.get("aria-labelledby") or "").split()
    by_id = {e.get("id"): "".join(e.itertext()) for e in top.iter() if e.get("id")}
    assert top.get("role") == "img"
    assert by_id[named] == picture.title and by_id[said] == picture.description
    assert top.get("viewBox") and "max-width:100%" in (top.get("style") or "")
    assert len(picture.svg) < 300_000


@pytest.mark.parametrize("what", KINDS)
def test_styles_are_for_one_picture_only_with_light_and_dark_and_no_small_type(what: str) -> None:
    svg = draw(net_of(connect.full()), what).svg
    top = root(svg)
    style = "".join(e.text or "" for e in top.iter("{http://www.w3.org/2000/svg}style"))
    style = style.replace("/*", "").replace("*/", "")
    rules = re.sub(r"@media[^{]*\{", "", style).replace("} }", "}")
    selectors = [s for rule in re.findall(r"([^{}]+)\{[^{}]*\}", rules) for s in rule.split(",")]
    assert selectors and all(s.strip().startswith(f"#{top.get('id')}") for s in selectors)
    assert "prefers-color-scheme: dark" in style and "currentColor" in style
    sizes = [float(v) for v in re.findall(r"font-size:\s*([\d.]+)px", svg)]
    assert min(sizes) >= 11


def test_pictures_of_one_page_have_ids_of_their_own() -> None:
    nets = [net_of(connect.full()), net_of(connect.ring()), net_of(connect.full(), units=3)]
    pictures = [draw(net, what) for net in nets for what in KINDS]
    pictures += [draw(nets[0], "flow", algorithm="rtrl"), draw(nets[0], "unrolled", steps=2)]
    ids = [e.get("id") for p in pictures for e in root(p.svg).iter() if e.get("id")]
    assert len(ids) == len(set(ids)) == 3 * len(pictures)


def test_hostile_names_are_text() -> None:
    net = net_of([Connection(1, 0, weight=HOSTILE), Connection(2, 1, weight=HOSTILE)])
    for what in KINDS:
        svg = draw(net, what).svg
        assert "<script" not in svg and "\x00" not in svg
        assert not [e for e in root(svg).iter() if e.tag.endswith("script")]


def test_the_same_bytes_whatever_the_hash_seed() -> None:
    code = (
        "import derive, hashlib; from derive.network.library import lstm, semilinear\n"
        "net = derive.Network(derive.Populations(a=(lstm(), 2), b=(semilinear(), 3)).by_unit(),\n"
        "    5, 1, derive.connect.random(0.5, 1), derive.SquaredError([4]))\n"
        "text = ''.join(derive.draw(net, what).svg for what in ('network', 'unrolled', 'flow'))\n"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "42")
    }
    assert len(found) == 1


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """The ratio of two colours, 1 to 21."""
    low, high = sorted([luminance(a), luminance(b)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(colours: dict[str, str]) -> None:
    behind = {k: v for k, v in colours.items() if k[0] == "g"}
    for name in colours.keys() - behind.keys() - {"paper"}:
        assert contrast(colours[name], colours["paper"]) >= 4.5, name
    for name, tint in behind.items():
        assert contrast(colours["ink"], tint) >= 7, name
    assert contrast("#777777", "#888888") < 4.5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_labels_cover_no_node_and_hardly_one_another(path: Path) -> None:
    svg = draw(path).svg
    boxes = labels(svg)
    for i, box in enumerate(boxes):
        assert not [n for n in nodes(svg) if n.depth(box.mean(axis=0)[None]) > 0]
        for other in boxes[:i]:
            common = np.minimum(box[1], other[1]) - np.maximum(box[0], other[0])
            shared = float(np.prod(np.maximum(common, 0)))
            assert shared < 0.25 * float(np.prod(box[1] - box[0]))


# --- large networks ----------------------------------------------------------------------------


@pytest.mark.parametrize("what", KINDS)
def test_a_large_network_is_a_table_of_marks_and_says_so(what: str) -> None:
    net = net_of(connect.random(0.02, seed=1), units=200, inputs=3)
    picture = draw(net, what)
    found = Counter(
        (data(g)["t"], data(g)["s"], data(g)["d"]) for g in groups(picture.svg, "dp-edge")
    )
    assert found == Counter((str(c.target), str(c.source), str(c.delay)) for c in net.connections)
    assert "table" in picture.title
    assert ("too large" in picture.title) == (what != "network")


@pytest.mark.parametrize(
    "net",
    [
        net_of(connect.random(0.05, seed=1), units=2000, inputs=20),
        net_of(connect.full(), units=120, inputs=7),
        Network(lstm(), 30, 3, connect.full(), SquaredError([0]), name="gates"),
    ],
    ids=["2000 units", "dense", "several net inputs"],
)
def test_a_very_large_network_counts_connections_in_squares(net: Network) -> None:
    svg = draw(net).svg
    assert sum(int(data(g)["count"]) for g in groups(svg, "dp-edge")) == net.wiring.size
    assert len(svg.encode()) < 300_000


def test_one_unit_without_anything_is_drawn() -> None:
    for connections in ([], connect.full()):
        for what in KINDS:
            root(draw(net_of(connections, units=1, inputs=0), what).svg)


# --- the object, and errors --------------------------------------------------------------------


def test_a_picture_is_saved_whole(tmp_path: Path) -> None:
    picture = derive.draw(net_of(connect.full()))
    assert isinstance(picture, Picture) and picture._repr_svg_() == picture.svg
    path = picture.save(tmp_path / "net.svg")
    assert path.read_text(encoding="utf-8") == picture.svg
    assert [p.name for p in tmp_path.iterdir()] == ["net.svg"]
    with pytest.raises(PictureError, match=r"'net\.png' must end in \.svg"):
        picture.save(tmp_path / "net.png")
    with pytest.raises(AttributeError):
        picture.svg = ""  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kwargs", "said"),
    [
        ({"what": "flows"}, "no picture 'flows'; did you mean 'flow'"),
        ({"what": None}, "no picture None; there are network, unrolled, flow"),
        ({"what": "unrolled", "steps": 0}, "steps must be at least 1"),
        ({"what": "unrolled", "steps": 13}, "steps must be at most 12"),
        ({"what": "unrolled", "steps": 1.5}, "steps must be a whole number"),
    ],
)
def test_what_cannot_be_drawn_is_named(kwargs: dict[str, Any], said: str) -> None:
    with pytest.raises(PictureError, match=said):
        draw(net_of(connect.full()), **kwargs)


@pytest.mark.parametrize("library", ["drawsvg", "networkx"])
def test_a_missing_library_is_one_error(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(PictureError, match=rf"need {library}.*pip install 'derive\[pictures\]'"):
        draw(net_of(connect.full()))


def test_an_unknown_algorithm_or_option_is_named() -> None:
    with pytest.raises(derive.DerivationError, match="backprop"):
        draw(net_of(connect.full()), "flow", algorithm="backprop")
    with pytest.raises(derive.DerivationError, match="takes no option 'h'"):
        draw(net_of(connect.full()), "flow", algorithm="rtrl", h=3)
    with pytest.raises(derive.DerivationError, match="backprop"):  # unused, and wrong all the same
        draw(net_of(connect.full(), units=40), "network", algorithm="backprop")
    with pytest.raises(PictureError, match="expected a Network.*got 3"):
        draw(3)


def test_own_memory_is_drawn_where_the_cell_has_it() -> None:
    plain = net_of(connect.full(), units=3)
    kept = Network(leaky("tanh"), 3, 1, connect.full(), SquaredError([2]), name="kept")
    assert len(groups(draw(plain, "unrolled").svg, "dp-memory")) == 0
    assert len(groups(draw(kept, "unrolled").svg, "dp-memory")) == 3 * 3
