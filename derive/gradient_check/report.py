"""What a gradient check found: which entries are wrong, by how much, and what it looks like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

SHOWN = 12
"""Wrong entries a printed report lists."""


@dataclass(frozen=True)
class Entry:
    """One entry of the gradient that is wrong.

    Attributes
    ----------
    index : int
        Its place in the flat theta.
    name, where : str
        ``w_2_3``, and ``unit 2 from input 0``; without a network the index, and nothing.
    given, right : float
    error : float
        given − right.
    bar : float
        How far ``right`` itself may be off.
    """

    index: int
    name: str
    where: str
    given: float
    right: float
    error: float
    bar: float

    @property
    def relative(self) -> float:
        """The error in terms of the right value; infinite where that is zero."""
        return abs(self.error / self.right) if self.right else float("inf")


@dataclass(frozen=True)
class Mistake:
    """A known mistake that gives the gradient under test.

    Attributes
    ----------
    key : str
        A short name for programs.
    title, explanation, cure : str
        What it is called, what is then computed, what to do.
    fit : float
        The largest difference between what the mistake gives and the gradient under test, in
        terms of the largest entry.
    explained : int
        How many of the wrong entries it explains.
    """

    key: str
    title: str
    explanation: str
    cure: str
    fit: float
    explained: int


@dataclass(frozen=True)
class GradientCheck:
    """The result of :func:`derive.gradcheck`.

    Attributes
    ----------
    subject : str
        What was checked.
    ok : bool
        Whether every entry compared is right, and nothing else is wrong.
    wrong : tuple of Entry
        Entries that are wrong beyond doubt, the worst first.
    mistakes : tuple of Mistake
        Known mistakes that give just this gradient here.
    problems : tuple of str
        What is wrong besides: arguments changed in place, chance, J of another network.
    notes : tuple of str
        Conventions recognised, and what was compared with what.
    blind : tuple of str
        What these numbers could not have shown.
    searched : bool
        Whether known mistakes were looked for: not among NaN, nor where chance is drawn.
    compared, size : int
        Entries compared, of how many.
    worst : float
        The largest error, in terms of the largest entry of the right gradient.
    tolerance : float
        The largest that is let through, besides the error bars.
    """

    subject: str
    ok: bool
    wrong: tuple[Entry, ...]
    mistakes: tuple[Mistake, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    blind: tuple[str, ...]
    searched: bool
    compared: int
    size: int
    worst: float
    tolerance: float

    def __bool__(self) -> bool:
        return self.ok

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, ready for JSON but for infinities."""
        found = asdict(self)
        for entry, own in zip(found["wrong"], self.wrong, strict=True):
            entry["relative"] = own.relative
        return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}

    def __str__(self) -> str:
        lines = [self._verdict()]
        lines += _table(self.wrong)
        for m in self.mistakes:
            lines += ["", f"It looks like: {m.title}.", f"  {_sentence(m.explanation)}"]
            lines += [f"  What to do: {m.cure}.", f"  {self._fit(m)}"]
        if self.searched and not self.mistakes:
            lines += ["", NONE]
        for title, words in (
            ("Problem", self.problems), ("Note", self.notes), ("Cannot tell", self.blind)
        ):  # fmt: skip
            lines += ["", *(f"{title}: {w}" for w in words)] if words else []
        return "\n".join(lines)

    def _verdict(self) -> str:
        of = f"{self.compared} of {self.size}" if self.compared < self.size else f"{self.size}"
        compared = f"{of} entries compared" if self.size != 1 else "its one entry compared"
        if self.wrong:
            head = f"The gradient of {self.subject} is wrong in {len(self.wrong)} of {of} entries"
        elif self.ok:
            head = f"The gradient of {self.subject} is right: {compared}"
        else:
            head = f"The gradient of {self.subject} is not to be relied on: {compared}"
        return (
            f"{head}; the largest error is {self.worst:.2g} of the largest entry "
            f"(allowed: {self.tolerance:.2g}, and the error bars)."
        )

    def _fit(self, m: Mistake) -> str:
        return (
            f"It explains {m.explained} of {len(self.wrong)} wrong entries "
            f"and fits to {m.fit:.1g} of the largest entry."
        )

    def _repr_html_(self) -> str:
        """The same as a table and paragraphs, for notebooks."""
        color = "#2a7f3f" if self.ok else "#b3261e"
        parts = [f'<p style="color:{color}"><b>{escape(self._verdict())}</b></p>']
        if self.wrong:
            rows = "".join(_row("td", r) for r in _cells(self.wrong[:SHOWN]))
            parts.append(f"<table><thead>{_row('th', HEADS)}</thead><tbody>{rows}</tbody></table>")
            parts += [f"<p>{escape(w)}</p>" for w in _more(self.wrong)]
        for m in self.mistakes:
            parts.append(
                f"<p><b>It looks like: {escape(m.title)}.</b> "
                f"{escape(_sentence(m.explanation))} What to do: {escape(m.cure)}. "
                f"{escape(self._fit(m))}</p>"
            )
        if self.searched and not self.mistakes:
            parts.append(f"<p>{escape(NONE)}</p>")
        for title, words in (
            ("Problem", self.problems), ("Note", self.notes), ("Cannot tell", self.blind)
        ):  # fmt: skip
            parts += [f"<p><b>{title}:</b> {escape(w)}</p>" for w in words]
        return "\n".join(parts)


NONE = "It is none of the known mistakes that were tried on these numbers."
HEADS = ("entry", "where", "given", "right", "error", "relative", "± of right")


def _sentence(words: str) -> str:
    """Words as a sentence; a letter that stands for a quantity stays small."""
    first = words.split()[0]
    begins = len(first) > 1 and first.isascii() and first.isalpha()
    return (words[:1].upper() if begins else words[:1]) + words[1:] + "."


def _cells(wrong: Sequence[Entry]) -> list[tuple[str, ...]]:
    return [
        (e.name, e.where, f"{e.given:.8g}", f"{e.right:.8g}", f"{e.error:+.3g}",
         f"{e.relative:.2g}", f"{e.bar:.1g}")
        for e in wrong
    ]  # fmt: skip


def _more(wrong: Sequence[Entry]) -> list[str]:
    return [f"… and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []


def _table(wrong: Sequence[Entry]) -> list[str]:
    if not wrong:
        return []
    rows = [HEADS, *_cells(wrong[:SHOWN])]
    used = [i for i in range(len(HEADS)) if any(r[i] for r in rows[1:])]
    widths = {i: max(len(r[i]) for r in rows) for i in used}
    lines = ["  ".join(r[i].ljust(widths[i]) for i in used).rstrip() for r in rows]
    return ["", *(f"  {line}" for line in lines), *(f"  {w}" for w in _more(wrong))]


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(c)}</{tag}>" for c in cells) + "</tr>"
