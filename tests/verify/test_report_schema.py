"""What a report says of itself, in each format, and that its schema can refuse one."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from derive.cli import commands
from derive.verify import verify
from derive.verify.ask import RUNGS
from derive.verify.page import evidence_section, page
from derive.verify.report import SCHEMA, Claim, Report
from derive.verify.reportfile import SEVERAL, as_json, text
from derive.verify.worst import parameter
from tests.verify.examples import NETS

STATED = json.loads(files("derive.verify").joinpath("report.schema.json").read_text("utf-8"))

HOSTILE = "<script>alert(\"1\")</script> & 'x'"
CLAIMS = (
    Claim("y", "proof", None, None, True, rung="proof"),
    Claim("∂J/∂theta", "quotients", float("inf"), 1e-9, False, HOSTILE, at="w(0, 1)",
          rung="quotients"),
    Claim("for all n", "induction", None, None, False, "no last step", attempted=False),
    Claim("J", "rounding", float("nan"), 1.0, False, rung="rounding"),
)  # fmt: skip
MADE = Report(HOSTILE, "epochwise", CLAIMS, {"derive": "1"}, {"arguments": 3}, "derive verify a")


# --- the schema ----------------------------------------------------------------------------------


def complaints(value: Any, schema: Any, where: str = "report") -> list[str]:
    """What a value is against a schema; just those words of JSON Schema that ours uses."""
    if "$ref" in schema:
        return complaints(value, STATED["$defs"][schema["$ref"].rpartition("/")[2]], where)
    found = []
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
             "number": (int, float), "null": type(None)}  # fmt: skip
    if kind := schema.get("type"):
        truth = isinstance(value, bool) and kind in ("integer", "number")
        if truth or not isinstance(value, kinds[kind]):
            return [f"{where}: no {kind}"]
    if "const" in schema and value != schema["const"]:
        found.append(f"{where}: not {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is none of {schema['enum']}")
    if "oneOf" in schema:
        fits = [not complaints(value, s, where) for s in schema["oneOf"]]
        found += [] if sum(fits) == 1 else [f"{where}: fits {sum(fits)} of {len(fits)}"]
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        found.append(f"{where}: too short")
    if isinstance(value, int) and value < schema.get("minimum", value):
        found.append(f"{where}: too small")
    if isinstance(value, dict):
        known, rest = schema.get("properties", {}), schema.get("additionalProperties", True)
        found += [f"{where}: without {k}" for k in schema.get("required", ()) if k not in value]
        for k, v in value.items():
            of = known.get(k, rest)
            found += [f"{where}: unknown {k}"] if of is False else []
            found += complaints(v, of, f"{where}.{k}") if isinstance(of, dict) else []
    if isinstance(value, list) and "items" in schema:
        for i, v in enumerate(value):
            found += complaints(v, schema["items"], f"{where}[{i}]")
    return found


@pytest.fixture(scope="module")
def produced() -> Report:
    """Of a network with a fault in it, so that some claims fail."""
    return verify(NETS["sharing"], "rtrl", plant="flip_sign", seed=4)


def test_every_report_is_as_the_schema_says(produced: Report) -> None:
    settling = verify(NETS["sharing"], "settling", only=["proof"])
    for reports in ([produced], [settling], [MADE], [Report("a", "b")], [produced, MADE], []):
        data = json.loads(as_json(reports))
        assert complaints(data, STATED) == []
        assert data["schema"] == (SCHEMA if len(reports) == 1 else SEVERAL)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "derive/report/2"},
        {"ok": "yes"},
        {"more": 1},
        {"seeds": {"arguments": -1}},
        {"seeds": {"arguments": True}},
        {"environment": {"derive": 1}},
        {"claims": [{}]},
        {"claims": [{**MADE.to_dict()["claims"][0], "worst": "large"}]},
        {"claims": [{**MADE.to_dict()["claims"][0], "rung": "guess"}]},
        {"claims": [{**MADE.to_dict()["claims"][0], "name": ""}]},
    ],
    ids=str,
)
def test_the_schema_refuses_what_is_no_report(change: dict[str, Any]) -> None:
    assert complaints({**MADE.to_dict(), **change}, STATED)


def test_the_schema_uses_no_word_that_is_not_looked_at() -> None:
    known = {
        "$schema", "$id", "$defs", "$ref", "title", "description", "type", "const", "enum",
        "oneOf", "minLength", "minimum", "required", "properties", "additionalProperties", "items",
    }  # fmt: skip

    def words(schema: Any) -> set[str]:
        if not isinstance(schema, dict):
            return set()
        found = set(schema)
        for key in ("properties", "$defs"):
            for one in schema.get(key, {}).values():
                found |= words(one)
        for one in (
            schema.get("items"),
            schema.get("additionalProperties"),
            *schema.get("oneOf", ()),
        ):
            found |= words(one)
        return found

    assert words(STATED) <= known
    claim = STATED["$defs"]["claim"]["properties"]
    assert set(RUNGS) < set(claim["rung"]["enum"])
    assert set(claim) == set(MADE.to_dict()["claims"][0])


# --- what is in it -------------------------------------------------------------------------------


def test_a_report_says_what_it_was_made_with_and_how_to_make_it_again(produced: Report) -> None:
    data = produced.to_dict()
    assert {
        "derive",
        "python",
        "sympy",
        "numpy",
        "cython",
        "compiler",
        "platform",
        "processor",
    } <= (set(data["environment"]))
    assert all(data["environment"].values())
    assert data["seeds"] == {"arguments": 4}
    assert data["command"] == (
        "derive verify sharing.toml --algorithm rtrl --seed 4 --plant flip_sign"
    )
    for claim in data["claims"]:
        again = "" if claim["ok"] else f"{data['command']} --only {claim['rung']}"
        assert claim["reproduce"] == again
        assert claim["rung"] in RUNGS
    assert not produced.ok


def test_a_failed_claim_says_where_it_is_worst(produced: Report) -> None:
    failed = [c for c in produced.failed if c.rung == "quotients"]
    assert failed
    names = {parameter(NETS["sharing"], i) for i in range(NETS["sharing"].size)}
    assert {c.at for c in failed} <= names


def test_two_runs_of_one_seed_give_the_same_bytes() -> None:
    one, two = (verify(NETS["sharing"], plant="flip_sign", only=["quotients"]) for _ in range(2))
    assert as_json([one]) == as_json([two]) and page(one) == page(two) and text(one) == text(two)


def test_the_text_names_each_failure_with_its_command() -> None:
    said = text(MADE)
    assert "FAILED: ∂J/∂theta (quotients), at w(0, 1): " in said
    assert "  reproduce: derive verify a --only quotients\n" in said
    assert "seed of arguments: 3\n" in said and "derive: 1\n" in said


class Tags(HTMLParser):
    """Which tags there are, each closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_escaped_and_needs_nothing_else() -> None:
    for html in (page(MADE), page([MADE, MADE]), evidence_section(MADE)):
        tags = Tags()
        tags.feed(html)
        assert html.count("not attempted") == html.count("<section")
        assert "2 of 3 claims fail" in html
        assert not tags.open and "script" not in tags.seen
        assert not re.search(r"(src|href|url|@import)", html)
        assert "&lt;script&gt;" in html and "derive verify a --only quotients" in html
    assert page(MADE).count("<section") == 1 and page([MADE, MADE]).count("<section") == 2
    assert "prefers-color-scheme: dark" in page(MADE)


@pytest.mark.parametrize("suffix", [".txt", ".json", ".html"])
def test_the_ending_of_a_file_picks_its_format(suffix: str, tmp_path: Path) -> None:
    spec, out = tmp_path / "sharing.json", tmp_path / f"report{suffix}"
    NETS["sharing"].save(spec)
    result = CliRunner().invoke(
        commands, ["verify", str(spec), "--only", "proof", "--out", str(out), "--json"],
        standalone_mode=False,
    )  # fmt: skip
    assert result.return_value == 0, result.output
    written = out.read_text("utf-8")
    assert "sympy.diff" in written and str(spec) in written
    assert {".txt": "claim ", ".json": "{", ".html": "<!DOCTYPE"}[suffix] in written.splitlines()[
        1 if suffix == ".txt" else 0
    ]
    assert json.loads(result.stdout)["schema"] == SCHEMA
