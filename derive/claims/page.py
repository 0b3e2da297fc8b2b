"""Verdicts as files: text, JSON, or a page of HTML that needs nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

from derive.claims.claimsfile import Judged
from derive.claims.verdict import Verdict
from derive.errors import ClaimError
from derive.files import write_whole

STYLE = """\
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #c62828; --open: #8a6100; }
@media (prefers-color-scheme: dark) { :root { --good: #56d364; --bad: #ff7b72; --open: #e3b341; } }
body { font: 16px/1.5 Georgia, serif; margin: 2rem auto; max-width: 50rem; padding: 0 1rem; }
h2 { font-size: 1.05rem; margin: 2rem 0 .3rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
pre { font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  margin: .5rem 0 .2rem; }
p { margin: .1rem 0 .1rem 1rem; overflow-wrap: anywhere; }
mark { color: inherit; background: #f8514955; }
.holds { color: var(--good); } .false, .ill-formed, .unexpected { color: var(--bad); }
.undecided { color: var(--open); } .verdict { font-weight: 600; }
"""


def as_text(found: Sequence[Judged]) -> str:
    """The verdicts as the command prints them."""
    lines = []
    for one in found:
        where = "" if one.claim.line is None else f"line {one.claim.line}: "
        lines.append(f"{where}{one.claim.name}{'' if one.ok else '  not as expected'}")
        lines += ["  " + line for line in str(one.verdicts).splitlines()]
    return "\n".join([*lines, summary(found), ""])


def summary(found: Sequence[Judged]) -> str:
    """How many claims were judged as their file expects."""
    return f"{sum(one.ok for one in found)} of {len(found)} claims judged as expected"


def as_json(found: Sequence[Judged]) -> str:
    """The verdicts as data."""
    return json.dumps([one.to_dict() for one in found], indent=1, ensure_ascii=False) + "\n"


def as_page(found: Sequence[Judged]) -> str:
    """The verdicts as one HTML file; every text in it is escaped."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Claims and verdicts</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Claims and verdicts</h1>\n<p>{escape(summary(found))}</p>\n"
        f"{''.join(map(_section, found))}</body>\n</html>\n"
    )


def _section(one: Judged) -> str:
    where = "" if one.claim.line is None else f"line {one.claim.line}: "
    unexpected = "" if one.ok else ' <span class="unexpected">not as expected</span>'
    verdicts = "".join(_verdict(v, one.claim.text) for v in one.verdicts)
    return f"<h2>{escape(where + one.claim.name)}{unexpected}</h2>\n{verdicts}"


def _verdict(v: Verdict, claim: str) -> str:
    text = escape(v.text)
    if v.place is not None and v.text == claim:
        first, last = v.place[0], max(v.place[1], v.place[0] + 1)
        text = (
            f"{escape(claim[:first])}<mark>{escape(claim[first:last])}</mark>{escape(claim[last:])}"
        )
    said = "".join(f"<p>{escape(s)}</p>\n" for s in (v.because, v.nearest, v.equation) if s)
    return f'<pre><span class="verdict {v.verdict}">{v.verdict}</span>  {text}</pre>\n{said}'


FORMATS: Mapping[str, Callable[[Sequence[Judged]], str]] = {
    ".txt": as_text,
    ".json": as_json,
    ".html": as_page,
}


def writer(path: Path) -> Callable[[Sequence[Judged]], None]:
    """What writes verdicts to a file, as its suffix says; whole or not at all.

    Raises
    ------
    ClaimError
        For another suffix: before anything is judged.
    """
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise ClaimError(f"{path.name}: verdicts are written as {', '.join(FORMATS)}")
    return lambda found: write_whole(path, form(found))
