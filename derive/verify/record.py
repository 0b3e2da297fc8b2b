"""What an emitted module says of itself, read from its text without running any of it.

A module carries its record as one line, ``RECORD = '…'``: JSON in a string literal, with the whole
spec. The text may come from a stranger, so the line is found by its beginning and read as the
literal that it is; nothing is imported or evaluated, and whatever is not exactly such a record is
refused.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derive.blocks import SINGLE, Block
from derive.errors import RecordError
from derive.network.network import Network
from derive.program.algorithms import settle
from derive.program.schedules.lanes import laid_out

LARGEST = 256 * 2**20
"""Bytes of a module's text; its tables grow with the connections."""

LARGEST_RECORD = 64 * 2**20
"""Characters of a record, as of a spec file."""

LINE = re.compile(r"^RECORD = (.*)$", re.MULTILINE)
LITERAL = re.compile(r"'(?:[^'\\\n]++|\\[\\'])*+'")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!-]{0,40}")
DIGEST = re.compile(r"[0-9a-f]{64}")
SCHEDULES = ("unrolled", "tables")
KINDS: dict[str, type] = {
    "algorithm": dict, "batch": int, "derive": str, "digest": str, "dtype": str,
    "schedule": str, "spec": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Record:
    """A module's record, and the text that carries it.

    Attributes
    ----------
    path : pathlib.Path
        Of the ``.pyx``.
    text : str
        All of it.
    version : str
        Of the ``derive`` that emitted it.
    digest : str
        Of the network, as stated.
    algorithm : dict
        Settled: its name, and the options that are not at their default.
    dtype : str
    batch : bool or int
    schedule : str
        As asked of the emitter: without a word on the lanes of a batch.
    block : Block
        How a number of a batch stands in registers.
    net : Network
        Made from the record's spec.
    """

    path: Path
    text: str
    version: str
    digest: str
    algorithm: Mapping[str, Any]
    dtype: str
    batch: bool | int
    schedule: str
    block: Block
    net: Network

    @property
    def settles(self) -> bool:
        """Whether it is of a settling net, which has no gradients over time."""
        return bool(self.algorithm["name"] == "settling")


def is_module(target: str | Path) -> bool:
    """Whether a name is that of an emitted module rather than of a spec."""
    path = Path(target)
    if path.suffix.lower() in (".toml", ".json"):
        return False
    return path.suffix in (".pyx", ".so", ".pyd", ".py") or _beside(path) is not None


def find_module(target: str | Path) -> Path:
    """The text of a module, named by its ``.pyx``, its binary, or as it is imported.

    Parameters
    ----------
    target : path
        ``generated/wz3x5.pyx``, ``generated/wz3x5``, ``generated.wz3x5`` or the compiled file.
        A binary is not read: its text stands beside it.

    Raises
    ------
    RecordError
        When there is no such text.
    """
    path = Path(target)
    if path.suffix == ".pyx":
        return path
    found = _beside(path)
    if found is None:
        raise RecordError(
            f"{target}: no emitted module; expected the path of a .pyx, or of a module that has "
            "its .pyx beside it"
        )
    return found


def _beside(path: Path) -> Path | None:
    candidates = [path.with_name(path.name + ".pyx")]
    if path.suffix in (".so", ".pyd", ".py"):
        candidates = [path.with_name(path.name.partition(".")[0] + ".pyx")]
    elif path.name == str(path) and re.fullmatch(r"\w+(\.\w+)+", path.name):
        candidates.append(Path(path.name.replace(".", "/") + ".pyx"))
    return next((c for c in candidates if c.is_file()), None)


def read_record(target: str | Path) -> Record:
    """A module's record, and the network it is of.

    Parameters
    ----------
    target : path
        As for :func:`find_module`.

    Raises
    ------
    RecordError
        With the file, what is wrong with its record and what would be right.
    """
    path = find_module(target)
    text = _text(path)
    try:
        return _record(path, text, _fields(_literal(text)))
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from None


def _text(path: Path) -> str:
    try:
        if not path.is_file():
            raise RecordError(f"{path}: no such file")
        if path.stat().st_size > LARGEST:
            raise RecordError(f"{path}: larger than {LARGEST // 2**20} MiB; no module is")
        # As it stands: with other ends of lines it is not what was emitted.
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not UTF-8 text (at byte {error.start})") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror}") from None


def _literal(text: str) -> str:
    """The JSON text of the record: the string that a literal on a line of its own stands for."""
    lines = LINE.findall(text)
    if len(lines) != 1:
        raise RecordError(
            f"{'no line says' if not lines else f'{len(lines)} lines say'} RECORD = '…'; a module "
            "that derive emitted has exactly one, so emit it again"
        )
    line: str = lines[0].removesuffix("\r")
    if len(line) > LARGEST_RECORD:
        raise RecordError(f"RECORD: longer than {LARGEST_RECORD // 2**20} MiB; no record is")
    if not LITERAL.fullmatch(line):
        raise RecordError(f"RECORD: expected one string literal in '…', got {_shown(line)}")
    return str(ast.literal_eval(line))


def _fields(text: str) -> dict[str, Any]:
    """The record's fields, each of its kind."""
    try:
        fields = json.loads(text, object_pairs_hook=_once, parse_constant=_refused)
    except RecursionError:
        raise RecordError("RECORD: nested too deeply to be a record") from None
    except ValueError as error:
        raise RecordError(f"RECORD: not JSON: {_cut(str(error))}") from None
    if not isinstance(fields, dict) or set(fields) != set(KINDS):
        got = ", ".join(sorted(fields)) if isinstance(fields, dict) else type(fields).__name__
        raise RecordError(f"RECORD: expected the keys {', '.join(KINDS)}, got {_cut(got)}")
    for key, kind in KINDS.items():
        if not isinstance(fields[key], kind):
            raise RecordError(
                f"RECORD.{key}: expected {kind.__name__}, got {type(fields[key]).__name__}"
            )
    return fields


def _record(path: Path, text: str, fields: Mapping[str, Any]) -> Record:
    for key, pattern in (("derive", VERSION), ("digest", DIGEST)):
        if not pattern.fullmatch(fields[key]):
            raise RecordError(f"RECORD.{key}: {_shown(fields[key])} is none")
    if not isinstance(fields["batch"], bool) and fields["batch"] < 1:
        raise RecordError(f"RECORD.batch: {fields['batch']} is no number of sequences")
    schedule, block = fields["schedule"], SINGLE
    if fields["batch"]:
        schedule, block = laid_out(schedule)
    if schedule not in SCHEDULES:
        raise RecordError(
            f"RECORD.schedule: expected {' or '.join(SCHEDULES)}, got {_shown(fields['schedule'])}"
        )
    if fields["dtype"] not in ("float64", "float32"):
        raise RecordError(
            f"RECORD.dtype: expected float64 or float32, got {_shown(fields['dtype'])}"
        )
    _check_alone(fields["spec"])
    try:
        net = Network.load(fields["spec"])
        options = {k: v for k, v in fields["algorithm"].items() if k != "name"}
        # Not None: that would be what the spec names.
        algorithm = settle(net, fields["algorithm"].get("name", ""), options)
    except (ValueError, TypeError) as error:  # a NetworkError or a DerivationError is the former
        raise RecordError(f"RECORD: what it states cannot be: {_cut(str(error), 300)}") from None
    except RecursionError:
        raise RecordError("RECORD.spec: nested too deeply to be a spec") from None
    return Record(
        path, text, fields["derive"], fields["digest"], algorithm, fields["dtype"],
        fields["batch"], schedule, block, net,
    )  # fmt: skip


def _check_alone(spec: Any) -> None:
    """Refuse a spec that needs another file: the record has to say everything itself."""
    waiting = [spec]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            if "csv" in value:
                raise RecordError("RECORD.spec: names a file (csv); a record lists connections")
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [k for k, _ in pairs]
        raise ValueError(f"key {next(k for k in keys if keys.count(k) > 1)!r} stands twice")
    return found


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no number of a record")


def _cut(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _shown(value: str) -> str:
    return repr(_cut(value, 60))
