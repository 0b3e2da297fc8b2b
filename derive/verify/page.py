"""Reports as HTML: a section for any page, and a page of its own that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from derive.verify.report import Claim, Report, number_text

STYLE = """\
:root { color-scheme: light dark; --line: #8884; --good: #1a7f37; --bad: #c62828; }
@media (prefers-color-scheme: dark) { :root { --good: #56d364; --bad: #ff7b72; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }
.evidence { margin-bottom: 3rem; }
.evidence .scroll { overflow-x: auto; }
.evidence table { border-collapse: collapse; width: 100%; }
.evidence th, .evidence td { border-bottom: 1px solid var(--line); padding: .3rem .6rem;
  text-align: left; vertical-align: top; }
.evidence td.number { font-variant-numeric: tabular-nums; text-align: right; white-space: nowrap; }
.evidence .holds { color: var(--good); }
.evidence .fails { color: var(--bad); font-weight: 600; }
.evidence code, .evidence pre { font: 13px/1.5 ui-monospace, monospace; }
.evidence pre { overflow-x: auto; padding: .6rem; border: 1px solid var(--line); }
.evidence dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
.evidence dt { font-weight: 600; }
.evidence dd { margin: 0; overflow-wrap: anywhere; }
"""


def evidence_section(report: Report) -> str:
    """A report as one ``<section class="evidence">``; every text in it is escaped.

    Returns
    -------
    str
        HTML without style of its own: verdict, the claims as a table, each failure with the
        command that shows it again, and what the report was made with.
    """
    failed, total = len(report.failed), len(report.attempted)
    verdict = f"all {total} claims hold" if report.ok else f"{failed} of {total} claims fail"
    kind = "holds" if report.ok else "fails"
    rows = "\n".join(_row(c) for c in report.claims)
    head = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("claim", "method", "worst error", "limit", "verdict", "at", "scope", "detail")
    )
    return (
        '<section class="evidence">\n'
        f"<h2>{escape(report.network)}</h2>\n"
        f"<p>{escape(report.algorithm)}: "
        f'<strong class="{kind}">{verdict}</strong></p>\n'
        f"{_failures(report)}"
        '<div class="scroll"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>\n"
        f"{_made_with(report)}"
        "</section>\n"
    )


def _row(claim: Claim) -> str:
    kind = {"holds": "holds", "FAILS": "fails"}.get(claim.said, "left")
    cells = [
        f"<td>{escape(claim.name)}</td>",
        f"<td>{escape(claim.method)}</td>",
        f'<td class="number">{escape(number_text(claim.worst))}</td>',
        f'<td class="number">{escape(number_text(claim.limit))}</td>',
        f'<td class="{kind}">{claim.said}</td>',
        *(f"<td>{escape(text)}</td>" for text in (claim.at, claim.scope, claim.detail)),
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _failures(report: Report) -> str:
    parts = []
    for claim in report.failed:
        again = report.reproduce(claim)
        parts.append(
            f'<p class="fails">{escape(claim.name)}, {escape(claim.method)}: '
            f"{escape(claim.detail or 'no detail')}</p>\n"
            + (f"<pre>{escape(again)}</pre>\n" if again else "")
        )
    return "".join(parts)


def _made_with(report: Report) -> str:
    pairs = [("command", report.command)] if report.command else []
    pairs += [(f"seed of {name}", str(seed)) for name, seed in sorted(report.seeds.items())]
    pairs += list(report.environment.items())
    if not pairs:
        return ""
    listed = "\n".join(f"<dt>{escape(k)}</dt><dd><code>{escape(v)}</code></dd>" for k, v in pairs)
    return f"<dl>\n{listed}\n</dl>\n"


def page(reports: Report | Sequence[Report]) -> str:
    """One report or several as a page that needs nothing beside it, light or dark."""
    several = (reports,) if isinstance(reports, Report) else tuple(reports)
    names = ", ".join(dict.fromkeys(r.network for r in several)) or "nothing"
    title = escape(f"Evidence: {names if len(names) <= 80 else f'{len(several)} networks'}")
    sections = "".join(evidence_section(r) for r in several)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n{sections}</body>\n</html>\n"
    )
