"""A spec as TOML text: what ``tomllib`` reads back as the same dict.

A list that holds no table is written on one line, or one item a line where it is long, so that a
list of connections stays readable.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

WIDEST = 100


def to_toml(spec: Mapping[str, Any]) -> str:
    """The text of a dict of tables, lists, texts, numbers and truths."""
    return "\n".join(_table(spec, ())).strip("\n") + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    lines = [f"{_key(k)} = {_laid_out(k, v)}" for k, v in plain.items()]
    if path and (lines or len(plain) == len(table)):
        lines = ["", f"[{'.'.join(map(_key, path))}]", *lines]
    for key, value in table.items():
        if isinstance(value, Mapping):
            lines += _table(value, (*path, key))
    return lines


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _text(key)


def _text(text: str) -> str:
    # A JSON string is a TOML basic string but for DEL, which TOML wants escaped, and for
    # characters beyond 16 bits, which JSON would escape in halves.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _laid_out(key: str, value: Any) -> str:
    line = _value(value)
    if not isinstance(value, list) or len(key) + 3 + len(line) <= WIDEST:
        return line
    return "[\n" + "".join(f"    {_value(v)},\n" for v in value) + "]"


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _text(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            return "{ " + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + " }"
    raise TypeError(f"{type(value).__name__} has no form in TOML")
