"""Claims from a TOML file: equations as typed, how each is meant, and the verdict expected."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from derive.claims.checking import Verdicts, judge
from derive.claims.judge import FALSE, HOLDS, ILL_FORMED, UNDECIDED, Court
from derive.errors import ClaimError
from derive.kernel import as_network

VERSION = "derive/claims/1"
LARGEST = 1_000_000
TEXTS = frozenset({"name", "text", "latex", "algorithm", "of", "where", "reading", "network"})
LISTS = frozenset({"define", "verdicts"})
FLAGS = frozenset({"swapped", "definition"})
KEYS = TEXTS | LISTS | FLAGS | {"line", "seconds"}
MEANT = ("of", "where", "define", "reading", "swapped", "seconds")


@dataclass(frozen=True)
class Stated:
    """One claim of a file.

    Attributes
    ----------
    name : str
    line : int or None
        Where it stands in what it is from.
    text : str
    expected : tuple of str
        The verdict expected of each =; ``holds`` where nothing is said.
    how : dict
        How it is meant, as :func:`derive.check` takes it.
    network : Path or None
        The spec it is about, instead of the one given.
    """

    name: str
    line: int | None
    text: str
    expected: tuple[str, ...]
    how: Mapping[str, Any] = field(default_factory=dict)
    network: Path | None = None


@dataclass(frozen=True)
class Judged:
    """A claim with the verdicts on it."""

    claim: Stated
    verdicts: Verdicts

    @property
    def ok(self) -> bool:
        """Whether the verdicts are those expected."""
        expected = self.claim.expected or (HOLDS,) * len(self.verdicts)
        return tuple(v.verdict for v in self.verdicts) == expected

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"name": self.claim.name, "line": self.claim.line, "as_expected": self.ok,
                "verdicts": self.verdicts.to_dict()}  # fmt: skip


def read_claims(path: str | Path) -> list[Stated]:
    """Read a claims file.

    Raises
    ------
    ClaimError
        Naming the file, the claim and the key at fault.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
        if len(raw) > LARGEST:
            raise ClaimError(f"{path}: {len(raw)} bytes; a claims file has at most {LARGEST}")
        data = tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        raise ClaimError(f"{path}: not UTF-8 (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise ClaimError(f"{path}: not TOML: {error}") from None
    if data.pop("claims", None) != VERSION:
        raise ClaimError(f'{path}: should begin with claims = "{VERSION}"')
    entries = data.pop("claim", [])
    if data:
        raise ClaimError(
            f"{path}: {next(iter(data))!r} has no meaning; claims are [[claim]] tables"
        )
    if not isinstance(entries, list) or not entries:
        raise ClaimError(f"{path}: there are no claims; state each as a [[claim]] table")
    return [_stated(entry, i, path) for i, entry in enumerate(entries)]


def _stated(entry: Any, i: int, path: Path) -> Stated:
    where = f"{path}: claim {i + 1}"
    if not isinstance(entry, dict):
        raise ClaimError(f"{where}: expected a table")
    for key, value in entry.items():
        if key not in KEYS:
            close = get_close_matches(key, KEYS, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ClaimError(f"{where}: {key!r} has no meaning{hint}")
        _check(key, value, where)
    if ("text" in entry) == ("latex" in entry):
        raise ClaimError(f"{where}: needs either 'text' or 'latex'")
    how = {k: entry[k] for k in MEANT if k in entry}
    how["introduces"] = entry.get("definition", False)
    how["algorithm"] = entry.get("algorithm")
    return Stated(
        entry.get("name", f"claim {i + 1}"),
        entry.get("line"),
        entry["text"] if "text" in entry else entry["latex"],
        tuple(entry.get("verdicts", ())),
        how,
        path.parent / entry["network"] if "network" in entry else None,
    )


def _check(key: str, value: Any, where: str) -> None:
    kinds = {
        **dict.fromkeys(TEXTS, str),
        **dict.fromkeys(LISTS, list),
        **dict.fromkeys(FLAGS, bool),
    }
    wanted: Any = kinds.get(key, int if key == "line" else (int, float))
    if not isinstance(value, wanted) or isinstance(value, bool) and key not in FLAGS:
        raise ClaimError(f"{where}: {key}: {value!r} is of the wrong type")
    if key in LISTS and not all(isinstance(v, str) for v in value):
        raise ClaimError(f"{where}: {key}: expected a list of texts")
    known = (HOLDS, FALSE, ILL_FORMED, UNDECIDED)
    if key == "verdicts" and not set(value) <= set(known):
        raise ClaimError(f"{where}: verdicts are {', '.join(known)}; got {value!r}")


def judged(claims: list[Stated], spec: Any, algorithm: str | None = None) -> Iterator[Judged]:
    """The verdicts on the claims of a file, one after the other.

    Parameters
    ----------
    spec : Network, dict or path
        What the claims are about that name no network of their own.
    algorithm : str, optional
        For those that name none.
    """
    courts: dict[Any, Court] = {}
    for claim in claims:
        about = claim.network
        if about not in courts:
            courts[about] = Court(as_network(spec if about is None else about))
        how = dict(claim.how)
        name = how.pop("algorithm") or algorithm or courts[about].net.algorithm["name"]
        yield Judged(claim, judge(claim.text, courts[about], name, **how))
