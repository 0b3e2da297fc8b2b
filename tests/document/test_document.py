"""A document: the same content in three forms, each sound, for every algorithm and kind of net."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.dom import minidom

import numpy as np
import pytest

import derive
from derive.document import Document
from derive.document.blocks import Equation
from derive.document.inline import plain, spans, to_html, to_latex
from derive.errors import DeriveError
from derive.verify.report import Claim, Report

EXAMPLES = Path(__file__).parents[2] / "examples"
WZ3X5, DELAYED = EXAMPLES / "wz3x5.toml", EXAMPLES / "sparse_delayed.toml"


def _net(cell: Any, name: str, units: int = 2, connections: Any = None) -> derive.Network:
    return derive.Network(
        cell, units=units, inputs=1, connections=connections or derive.connect.full(),
        objective=derive.SquaredError([0]), name=name,
    )  # fmt: skip


CASES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "epochwise": (WZ3X5, "epochwise", {}),
    "realtime": (WZ3X5, "realtime", {}),
    "truncated": (WZ3X5, "truncated", {"h": 9, "h_prime": 3}),
    "rtrl": (WZ3X5, "rtrl", {}),
    "hybrid": (WZ3X5, "hybrid", {"h": 4}),
    "forced": (WZ3X5, "epochwise", {"teacher_forcing": True}),
    "settling": (EXAMPLES / "settling.toml", "settling", {}),
    "delayed": (DELAYED, "epochwise", {}),
    "lstm": (_net(derive.cells.lstm(), "lstm_2"), "epochwise", {}),
    "ctrnn": (_net(derive.cells.ctrnn(), "ctrnn"), "epochwise", {}),
    "large": (
        _net(derive.cells.semilinear("tanh"), "large", 300, derive.connect.random(0.02, seed=0)),
        "rtrl",
        {},
    ),
}


@cache
def made(case: str) -> Document:
    net, algorithm, options = CASES[case]
    return derive.document(net, algorithm, **options)


every = pytest.mark.parametrize("case", CASES)

# --- HTML ------------------------------------------------------------------------------------

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """What is wrong with a page: tags out of balance, ids twice, links to nowhere, and guests."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += [f"<{tag}> is not closed" for tag in self.open]
        self.wrong += [f"id {v} twice" for v in set(self.ids) if self.ids.count(v) > 1]
        self.wrong += [f"link to {v}" for v in self.links if v.removeprefix("#") not in self.ids]
        if re.search(r"https?://|url\(|@import", text):
            self.wrong.append("something from the network")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("script", "mfenced", "iframe"):
            self.wrong.append(f"<{tag}>")
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag == "a":
            self.links.append(str(given.get("href")))
        self.wrong += [f"{k} on <{tag}>" for k in given if k == "src" or k.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> closes nothing")


@every
def test_a_page_is_well_formed_and_alone(case: str) -> None:
    page = made(case).html()
    assert Page(page).wrong == []
    for formula in re.findall(r"<math.*?</math>", page):
        minidom.parseString(formula)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (lambda s: s.replace("</section>", "", 1), "closes nothing"),
        (lambda s: s.replace('id="eq-2"', 'id="eq-1"'), "twice"),
        (lambda s: s.replace('href="#eq-4"', 'href="#eq-400"', 1), "link to"),
        (lambda s: s.replace("<p>", "<p><script></script>", 1), "script"),
        (lambda s: s.replace("<p>", "<p><img src='http://x/y.png'>", 1), "network"),
    ],
)
def test_a_fault_in_a_page_is_seen(fault: Any, complaint: str) -> None:
    assert complaint in " ".join(Page(fault(made("epochwise").html())).wrong)


def test_a_rule_links_to_the_equation_it_names() -> None:
    page = made("epochwise").html()
    rule = re.search(r'<div class="rule">derivative of (.*?);', page)
    assert rule is not None and rule[1] == '<a href="#eq-4">(4)</a>'


def test_every_equation_of_the_derivation_stands_in_every_form() -> None:
    for case, (net, algorithm, options) in CASES.items():
        steps = derive.differentiate(net, algorithm, **options).steps
        page, tex, text = made(case).html(), made(case).latex(), made(case).text()
        for step in steps:
            assert page.count(f'id="eq-{step.number}"') == 1
            assert tex.count(rf"\tag{{{step.number}}}") == 1
            assert len(re.findall(rf"^\({step.number}\) ", text, re.MULTILINE)) == 1


# --- LaTeX -----------------------------------------------------------------------------------


@every
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_and_its_lines_fit(case: str, tmp_path: Path) -> None:
    made(case).save(tmp_path / "document.tex")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"],
        cwd=tmp_path, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    log = (tmp_path / "document.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, re.findall(r"^!.*", log, re.MULTILINE)
    over = [float(v) for v in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    assert max(over, default=0) < 12
    assert "U+" not in made(case).latex()


@every
def test_latex_asks_for_two_packages_only(case: str) -> None:
    packages = re.findall(r"\\usepackage(?:\[\w+\])?\{(\w+)\}", made(case).latex())
    assert packages == ["inputenc", "amsmath"]


# --- text ------------------------------------------------------------------------------------


@every
def test_sentences_of_the_text_fit_a_terminal(case: str) -> None:
    prose = [v for v in made(case).text().splitlines() if v[:1].isalpha() and "  " not in v]
    assert max(map(len, prose)) <= 100


@every
def test_pictures_stand_where_they_belong(case: str) -> None:
    """The network, the network unrolled, and what flows back, in every page."""
    assert made(case).html().count("<svg") == 3


@every
def test_equations_of_a_proof_are_numbered_after_the_others(case: str) -> None:
    numbers = [int(v) for v in re.findall(r'id="eq-(\d+)"', made(case).html())]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    (proof,) = (s for s in made(case).sections if s.anchor == "proof")
    own = [b.number for s in proof.sections for b in s.blocks if isinstance(b, Equation)]
    assert own == list(range(len(numbers) - len(own) + 1, len(numbers) + 1))


def test_sections_come_in_order() -> None:
    titles = [s.title for s in made("epochwise").sections]
    assert titles == [
        "The network",
        "What is stated",
        "The unrolled network N*",
        "How it learns: epochwise backpropagation through time",
        "Why this is the derivative, for all n and T",
        "Written out for this network",
        "The program",
        "The cost",
        "The evidence",
    ]


def test_what_is_said_of_an_algorithm_is_said_of_no_other() -> None:
    said = {
        "epochwise": "no path through N* is left out",
        "realtime": "Only the error of step t is injected",
        "truncated": "left out, which the sign ≈ says",
        "rtrl": "Nothing goes back in time",
        "hybrid": "renewed only once in h steps",
        "settling": "relaxes to a fixed point",
    }
    for case in said:
        text = " ".join(made(case).text().split())
        assert [k for k, v in said.items() if v in text] == [case]


def test_a_large_network_is_summed_up() -> None:
    text = made("large").text()
    assert "too large to be written out" in text and "connections into a unit" in text
    assert "s_0(τ)" not in text and "s_k(τ)" in text
    assert len(text) < 30_000


# --- evidence --------------------------------------------------------------------------------


def _report(ok: bool) -> Report:
    claim = Claim("∂J/∂theta", "complex step", 1e-16, 1e-13, ok, "15 directions", "this net")
    return Report("wz3x5", "epochwise", (claim,))


def test_evidence_is_shown_as_it_is() -> None:
    good = derive.document(WZ3X5, evidence=_report(True)).text()
    bad = derive.document(WZ3X5, evidence=_report(False)).text()
    assert "All 1 claims hold." in good and "1e-13" in good and "FAIL" not in good
    assert "1 of 1 claims FAIL." in bad and "FAILS" in bad


def test_what_was_not_attempted_is_not_said_to_hold() -> None:
    (claim,) = _report(True).claims
    left = replace(claim, name="left", attempted=False, scope="nothing")
    text = derive.document(WZ3X5, evidence=Report("wz3x5", "epochwise", (claim, left))).text()
    assert "All 1 claims hold." in text
    (row,) = (v for v in text.splitlines() if v.strip().startswith("left ") and "nothing" in v)
    assert "not attempted" in row and "holds" not in row


def test_without_evidence_the_command_is_given() -> None:
    text = " ".join(made("truncated").text().split())
    assert "derive verify wz3x5.toml --algorithm truncated -o h=9 -o h_prime=3" in text


def test_evidence_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="evidence: expected the Report"):
        derive.document(WZ3X5, evidence="yes")


# --- saving, notebooks, determinism ----------------------------------------------------------


def test_saved_as_the_suffix_says(tmp_path: Path) -> None:
    one = made("epochwise")
    for name, text in {"a.txt": one.text(), "a.tex": one.latex(), "a.HTML": one.html()}.items():
        assert one.save(tmp_path / name).read_text(encoding="utf-8") == text
    with pytest.raises(DeriveError, match=r"a\.pdf: a document is saved as \.txt, \.tex, \.html"):
        one.save(tmp_path / "a.pdf")
    assert not (tmp_path / "a.pdf").exists()


def test_notebooks_get_a_fragment_and_no_second_page() -> None:
    bundle = made("epochwise")._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/latex", "text/plain"}
    assert "<html" not in bundle["text/html"] and Page(bundle["text/html"]).wrong == []
    assert r"\documentclass" not in bundle["text/latex"]


def test_a_derivation_is_a_table_in_notebooks() -> None:
    d = derive.differentiate(WZ3X5)
    table = d._repr_html_()
    assert Page(table).wrong == [] and table.count("<tr>") == len(d)


def test_the_same_network_gives_the_same_bytes() -> None:
    program = (
        f"import derive, hashlib; d = derive.document({str(WZ3X5)!r}, 'truncated', h=2); "
        "print([hashlib.sha256(v.encode()).hexdigest() for v in (d.text(), d.latex(), d.html())])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program], env={**_environment(), "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(seen) == 1


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(Path(derive.__file__).parents[1])}


# --- letters within text ---------------------------------------------------------------------


def test_letters_and_references_are_found_in_text() -> None:
    found = [(s.kind, s.text) for s in spans("ε_k(τ) of BPTT(4), by (12): `x y` and $k∈U$")]
    assert found == [
        ("math", "ε_k(τ)"), ("text", " of BPTT(4), by "), ("ref", "12"), ("text", ": "),
        ("code", "x y"), ("text", " and "), ("math", "k∈U"),
    ]  # fmt: skip
    assert plain("by (12): `x y`") == "by (12): x y"


def test_what_is_special_in_a_language_is_kept_from_it() -> None:
    assert to_html("a < b & c") == "a &lt; b &amp; c"
    assert to_latex("50 % of {x} & #1") == r"50 \% of \{x\} \& \#1"


def test_a_name_of_a_network_is_text_everywhere() -> None:
    net = _net(derive.cells.semilinear("tanh"), "a_b")
    one = derive.document(net)
    assert r"a\_b" in one.latex() and "<title>a_b</title>" in one.html()


def test_numbers_of_connections_are_those_of_the_network() -> None:
    net = derive.Network.load(DELAYED)
    text = made("delayed").text()
    assert f"{net.wiring.size} connections" in text
    assert f"{int(np.unique(net.wiring.delay).max())}" in text
