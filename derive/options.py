"""Options of an algorithm as they are typed: ``KEY=VALUE``, read without evaluating anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from derive.errors import DeriveError

WORD = re.compile("[a-z][a-z0-9]*")


def read_options(texts: Iterable[str]) -> dict[str, Any]:
    """The options that some ``KEY=VALUE`` say.

    A value is a number, ``true``, ``false``, or a list of such in JSON, as in
    ``groups=[[0,1],[2]]``; or one word of small letters, as in
    ``memory=sqrt``.

    Raises
    ------
    DeriveError
        With the text at fault and what would be right.
    """
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        shown = text if len(text) <= 60 else f"{text[:57]}…"
        if not equals or not key.isidentifier():
            raise DeriveError(f"option {shown!r}: expected KEY=VALUE, as in h=9")
        if key in options:
            raise DeriveError(f"option {shown!r}: {key} is given twice")
        try:
            options[key] = _plain(json.loads(value, parse_constant=_refused))
        except (ValueError, RecursionError):
            if not WORD.fullmatch(value) or value == "null":
                raise DeriveError(
                    f"option {shown!r}: the value must be a number, true, false, a list of these, "
                    "or a word"
                ) from None
            options[key] = value
    return options


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (str, dict)):
        raise ValueError
    return value


def _refused(name: str) -> Any:
    raise ValueError(name)
