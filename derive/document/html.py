"""A document as one HTML file: MathML, no script, nothing from the network.

An equation is set in pieces, one ``math`` for each term of its sum, so that a narrow screen breaks
it between terms; what is longer still scrolls within its own box.
"""

from __future__ import annotations

import re
from html import escape

from derive.calculus.mathml import as_mathml, range_as_mathml, terms_as_mathml
from derive.document.blocks import Block, Code, Equation, Figure, Items, Paragraph, Section, Table
from derive.document.inline import to_html
from derive.document.style import STYLE


def as_html(title: str, subtitle: str, sections: tuple[Section, ...]) -> str:
    """The whole page."""
    name = escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{name}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"
        f"{as_article(title, subtitle, sections)}\n</body>\n</html>\n"
    )


def as_article(title: str, subtitle: str, sections: tuple[Section, ...]) -> str:
    """The page's content, to be put into another."""
    contents = "\n".join(
        f'<li><a href="#{s.anchor}">{to_html(s.title, linked=False)}</a></li>' for s in sections
    )
    body = "\n".join(_section(s, 2) for s in sections)
    return (
        f'<article class="derive">\n<header>\n<h1>{escape(title)}</h1>\n'
        f'<p class="subtitle">{to_html(subtitle)}</p>\n</header>\n'
        f'<nav aria-label="Contents"><ol>\n{contents}\n</ol></nav>\n{body}\n</article>'
    )


def _section(section: Section, level: int) -> str:
    heading = f"<h{level}>{to_html(section.title)}</h{level}>"
    blocks = [_block(b) for b in section.blocks]
    inner = [_section(s, level + 1) for s in section.sections]
    return "\n".join([f'<section id="{section.anchor}">', heading, *blocks, *inner, "</section>"])


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{to_html(text)}</p>"
        case Items(entries):
            return "<ul>" + "".join(f"<li>{to_html(v)}</li>" for v in entries) + "</ul>"
        case Equation():
            return equation(block)
        case Table():
            return _table(block)
        case Code(text, caption):
            return _captioned("code", f"<pre><code>{escape(text)}</code></pre>", to_html(caption))
        case Figure(svg, title, description):
            said = f"<b>{escape(title)}.</b> {escape(description)}"
            # Inside of HTML an SVG needs no name for its namespace.
            return _captioned("picture", re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg), said)
    raise TypeError(block)


def _captioned(kind: str, inner: str, caption: str) -> str:
    said = f"<figcaption>{caption}</figcaption>" if caption else ""
    above, below = (said, "") if kind == "code" else ("", said)
    return f'<figure class="{kind}">{above}<div class="box">{inner}</div>{below}</figure>'


def math(row: str) -> str:
    """A piece of an equation, set as on a line of its own."""
    return f'<math displaystyle="true">{row}</math>'


def equation(one: Equation, linked: bool = True) -> str:
    """An equation: its number, its pieces, and below them its rule."""
    first, *rest = terms_as_mathml(one.right)
    sign = f"<mo>{one.sign}</mo>"
    # The two sides stay together where that is short.
    pieces = [math(as_mathml(one.left)), math(f"<mrow></mrow>{sign}<mrow></mrow>{first}")]
    pieces += [math(term) for term in rest]
    ranges = "".join(
        f'<span class="range"><math>{range_as_mathml(r)}</math></span> ' for r in one.ranges
    )
    said = f'<div class="rule">{to_html(one.rule, linked)}</div>' if one.rule else ""
    body = f'<div class="sides">{" ".join(pieces)} {ranges}</div>'
    if one.number is None:
        return f'<div class="eq plain">{body}{said}</div>'
    number = f"({one.number})"
    if linked:
        number = f'<a href="#eq-{one.number}">{number}</a>'
    anchor = f' id="eq-{one.number}"' if linked else ""
    return f'<div class="eq"{anchor}><span class="no">{number}</span>{body}{said}</div>'


def _table(table: Table) -> str:
    def cells(row: tuple[str, ...], tag: str) -> str:
        marks = [' class="num"' if i in table.numbers else "" for i in range(len(row))]
        return "".join(
            f"<{tag}{mark}>{to_html(text)}</{tag}>" for text, mark in zip(row, marks, strict=True)
        )

    caption = f"<caption>{to_html(table.caption)}</caption>" if table.caption else ""
    rows = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in table.rows)
    return (
        f'<div class="table"><table>{caption}<thead><tr>{cells(table.head, "th")}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
