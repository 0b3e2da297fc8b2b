"""A network and how it learns, as one document: for a terminal, for LaTeX, as a page of HTML.

blocks       what a document is made of
sections     its sections, and prose, the sentences between equations
instance     general equations for the connections of one network
written_out  the section made of these
inline       letters and references within text
text         the document for a terminal
latex        for LaTeX
html         as one file of HTML, with its style
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from derive.document.blocks import Section
from derive.errors import DeriveError

__all__ = ["Document", "document"]

SUFFIXES = (".txt", ".tex", ".html")


@dataclass(frozen=True)
class Document:
    """A derivation to be read: printed in three ways, and the same content in each.

    Attributes
    ----------
    title, subtitle : str
    sections : tuple of Section
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]

    def text(self) -> str:
        """For a terminal: readable Unicode in lines of at most about a hundred characters."""
        from derive.document.text import as_text

        return as_text(self.title, self.subtitle, self.sections)

    def latex(self) -> str:
        """For LaTeX: a file that stands alone and needs article, amsmath and inputenc only."""
        from derive.document.latex import as_latex_document

        return as_latex_document(self.title, self.subtitle, self.sections)

    def html(self) -> str:
        """As one page of HTML: formulas in MathML, no script, nothing from the network."""
        from derive.document.html import as_html

        return as_html(self.title, self.subtitle, self.sections)

    def save(self, path: str | Path) -> Path:
        """Write it as its suffix says: ``.txt``, ``.tex`` or ``.html``; whole or not at all.

        Raises
        ------
        DeriveError
            For another suffix.
        OSError
            If the file cannot be written; what was there is as it was.
        """
        from derive.files import write_whole

        path = Path(path)
        ways: dict[str, Callable[[], str]] = dict(
            zip(SUFFIXES, (self.text, self.latex, self.html), strict=True)
        )
        write_whole(path, ways[checked_suffix(path)]())
        return path

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        from derive.document.html import as_article
        from derive.document.style import STYLE

        return f"<style>\n{STYLE}</style>\n{as_article(self.title, self.subtitle, self.sections)}"

    def _repr_latex_(self) -> str:
        from derive.document.latex import as_latex_body

        return as_latex_body(self.title, self.subtitle, self.sections)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {
            "text/html": self._repr_html_(),
            "text/latex": self._repr_latex_(),
            "text/plain": self.text(),
        }


def checked_suffix(path: Path) -> str:
    """The suffix that says how a document is saved.

    Raises
    ------
    DeriveError
        For another suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DeriveError(
            f"{path.name}: a document is saved as {', '.join(SUFFIXES)}; give the file one of "
            f"these suffixes, not {path.suffix or 'none'!r}"
        )
    return suffix


def document(
    net: Any, algorithm: str | None = None, evidence: Any = None, **options: Any
) -> Document:
    """A network and how it learns, to be read from top to bottom.

    Parameters
    ----------
    net : Network, dict or path of a spec
    algorithm : str, optional
        The one the spec names if not given.
    evidence : Report, optional
        What :func:`derive.verify` found for this network and algorithm, for the table of claims.
    **options
        The algorithm's own, as for :func:`derive.compile`.

    Returns
    -------
    Document
        ``text()``, ``latex()``, ``html()``, ``save(path)``; shown as HTML in notebooks.

    Raises
    ------
    NetworkError, DerivationError
        As :func:`derive.differentiate` does.
    TypeError
        If ``evidence`` is no report.

    Examples
    --------
    >>> derive.document(net, "rtrl").save("rtrl.html")
    """
    from derive.document.build import sections_of
    from derive.kernel import as_network
    from derive.program.algorithms import settle

    if evidence is not None and not hasattr(evidence, "claims"):
        raise TypeError(
            f"evidence: expected the Report that derive.verify returns, got "
            f"{type(evidence).__name__}"
        )
    net = as_network(net)
    settled = settle(net, algorithm, options)
    title, sections = sections_of(net, settled, evidence)
    return Document(net.name, title, sections)


class _Callable(ModuleType):
    """``derive.document`` is this package and the function of the same name."""

    def __call__(self, *args: Any, **keywords: Any) -> Document:
        return document(*args, **keywords)


sys.modules[__name__].__class__ = _Callable
