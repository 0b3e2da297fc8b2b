"""What was checked, how, how well it held: a table of claims."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

SCHEMA = "derive/report/1"
"""Of :meth:`Report.to_dict`; ``report.schema.json`` beside this file says it in JSON Schema."""


@dataclass(frozen=True)
class Claim:
    """One thing that was checked.

    Attributes
    ----------
    name : str
        What is claimed, e.g. ``∂J/∂theta``.
    method : str
        How it was checked.
    worst, limit : float or None
        The worst error seen and the most that is allowed, in the unit the detail states;
        None where the check is exact.
    ok : bool
    detail : str
        Sizes, units, and on failure the culprit.
    scope : str
        For which networks and how many steps it holds.
    at : str
        Where the worst error is: the parameter, the time, the direction.
    rung : str
        Which part of the ladder checked it, of ``derive.verify.ask.RUNGS``.
    attempted : bool
        Whether it was tried at all; what was not neither holds nor fails, and says why.
    """

    name: str
    method: str
    worst: float | None
    limit: float | None
    ok: bool
    detail: str = ""
    scope: str = ""
    at: str = ""
    rung: str = ""
    attempted: bool = True

    @property
    def verdict(self) -> str:
        """``"ok"``, ``"FAILED"``, or that it was not attempted."""
        if not self.attempted:
            return "not attempted"
        return "ok" if self.ok else "FAILED"

    @property
    def said(self) -> str:
        """The same as a sentence goes on: ``"holds"``, ``"FAILS"``, ``"not attempted"``."""
        return {"ok": "holds", "FAILED": "FAILS"}.get(self.verdict, self.verdict)


def scoped(claims: Iterable[Claim], scope: str) -> tuple[Claim, ...]:
    """The claims, where they do not say yet for what they hold, with what they hold for."""
    return tuple(c if c.scope else replace(c, scope=scope) for c in claims)


@dataclass(frozen=True)
class Report:
    """All claims about one network and algorithm.

    Attributes
    ----------
    network, algorithm : str
    claims : tuple of Claim
    environment : mapping of str to str
        Versions, compiler, platform and processor it was made with.
    seeds : mapping of str to int
        Of everything that was drawn.
    command : str
        What makes the same report again.
    """

    network: str
    algorithm: str
    claims: tuple[Claim, ...] = field(default=())
    environment: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    command: str = ""

    @property
    def ok(self) -> bool:
        """Whether there are claims and every one that was attempted holds."""
        return bool(self.attempted) and all(c.ok for c in self.attempted)

    @property
    def attempted(self) -> tuple[Claim, ...]:
        """The claims that were tried."""
        return tuple(c for c in self.claims if c.attempted)

    @property
    def failed(self) -> tuple[Claim, ...]:
        """The claims that do not hold."""
        return tuple(c for c in self.attempted if not c.ok)

    def reproduce(self, claim: Claim) -> str:
        """The command that checks one claim again, with the rest of its rung; empty if unknown."""
        if not self.command or claim.rung in ("", "text") or " --only " in self.command:
            return self.command
        return f"{self.command} --only {claim.rung}"

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data for JSON; a number that is not finite becomes text."""
        return {
            "schema": SCHEMA,
            "network": self.network,
            "algorithm": self.algorithm,
            "ok": self.ok,
            "command": self.command,
            "seeds": dict(self.seeds),
            "environment": dict(self.environment),
            "claims": [
                {
                    "name": c.name,
                    "method": c.method,
                    "worst": _plain(c.worst),
                    "limit": _plain(c.limit),
                    "ok": c.ok,
                    "detail": c.detail,
                    "scope": c.scope,
                    "at": c.at,
                    "rung": c.rung,
                    "reproduce": self.reproduce(c) if c in self.failed else "",
                    "attempted": c.attempted,
                }
                for c in self.claims
            ],
        }

    def __str__(self) -> str:
        """A plain aligned table, one line per claim, with the verdict of the whole below."""
        head = ("claim", "method", "worst", "limit", "verdict", "holds for", "detail")
        rows = [head] + [
            (
                c.name,
                c.method,
                number_text(c.worst),
                number_text(c.limit),
                c.verdict,
                c.scope,
                c.detail,
            )
            for c in self.claims
        ]
        widths = [max(len(r[i]) for r in rows) for i in range(len(head) - 1)]
        lines = [f"{self.network}: {self.algorithm}"]
        for r in rows:
            cells = [text.ljust(w) for text, w in zip(r, widths, strict=False)]
            lines.append("  " + "  ".join([*cells, r[-1]]).rstrip())
        failed, total = len(self.failed), len(self.attempted)
        verdict = f"all {total} claims hold" if self.ok else f"{failed} of {total} claims FAILED"
        left = len(self.claims) - total
        lines.append(verdict + f"; {left} not attempted" * bool(left))
        return "\n".join(lines)


def number_text(value: float | None) -> str:
    """A worst error or a limit; ``exact`` where there is no number."""
    if value is None:
        return "exact"
    return f"{value:.3g}"


def _plain(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return repr(value)
