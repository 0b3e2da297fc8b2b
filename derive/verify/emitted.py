"""An emitted module, judged from its own text: what it records, what it says, what it computes.

Three things are established, in this order. The record is of one piece: its digest is that of the
network it states, and the manifest beside it, where there is one, says the same. The text is what
this version emits for that record, byte for byte; so what is proved of the Program is proved of
the text. The functions, compiled here from this very text, keep every claim of
:func:`derive.verify`.

To compile a module is to trust it: importing it runs whatever it says. A text that this version
emits itself is no risk. Any other is not run unless the caller says so, and the report then says
what was not established.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from derive.errors import BuildError
from derive.verify.forms import form_of
from derive.verify.record import Record, read_record
from derive.verify.report import Claim, Report, scoped
from derive.version import __version__

METHOD = "the module's record"
TEXT = "emitted again from the record"


def verify_module(
    target: str | Path,
    *,
    seed: int = 0,
    trust: bool = False,
    only: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Re-establish the claims of an emitted module from its text alone.

    Parameters
    ----------
    target : path
        ``generated/wz3x5.pyx``, or the module as :func:`derive.verify.record.find_module` finds it.
    seed : int
        For the arguments that are drawn.
    trust : bool
        Compile and run the text although it is not what this version emits.
    only : sequence of str, optional
        The rungs to climb, of ``derive.verify.ask.RUNGS``; all if not given. What the record says
        and the text are always compared.
    progress : callable, optional
        Told in a few words what begins.

    Returns
    -------
    Report
        The claims about record and text come before those of :func:`derive.verify`.

    Raises
    ------
    RecordError
        When the text has no record to verify by.
    """
    from derive.verify import verify
    from derive.verify.ask import checked_rungs, is_numeric
    from derive.verify.environment import command, environment
    from derive.verify.forms import words

    tell = progress or (lambda text: None)
    rungs = checked_rungs(only)
    tell("reading the record")
    record = read_record(target)
    claims = [*record_claims(record)]
    tell("emitting again")
    same, text = compared(record)
    claims.append(text)
    how = f"{words(record.algorithm)}, {record.schedule}, {record.dtype}"
    again = command(target, seed=seed, trust=trust, only=rungs)
    seeds = {"arguments": seed}

    def made(of: list[Claim]) -> Report:
        said = (*scoped((c for c in of if c.rung == "text"), "this module"),
                *(c for c in of if c.rung != "text"))  # fmt: skip
        return Report(record.net.name, how, said, environment(), seeds, again)

    if not (same or trust):
        why = "not run: this text is not what this version emits, and compiling it would run it; "
        claims.append(
            Claim("kernel", "compiled from this text", None, None, False,
                  f"{why}--trust does so all the same", rung="text")
        )  # fmt: skip
        return made(claims)
    kernel = None
    if is_numeric(rungs):
        tell("compiling the text")
        kernel, claim = _kernel(record, same)
        claims.append(claim)
        if kernel is None:
            return made(claims)
    report = verify(
        record.net, record.algorithm["name"], kernel=kernel, seed=seed, only=rungs,
        progress=progress, schedule=record.schedule, dtype=record.dtype,
        **{k: v for k, v in record.algorithm.items() if k != "name"},
    )  # fmt: skip
    if kernel is not None and record.batch and kernel.compiled and not record.settles:
        claims += _batch(record, kernel.module.module, seed)
    return made([*claims, *report.claims])


def record_claims(record: Record) -> list[Claim]:
    """That the record is of one piece, and the manifest beside the module agrees."""
    from derive.generate import MANIFEST, read_manifest

    claims = [_equal("digest of the network", METHOD, record.digest, record.net.digest)]
    named = record.net.name == record.path.stem
    detail = f"network {record.net.name!r}, file {record.path.name!r}"
    claims.append(Claim("name", METHOD, None, None, named, detail, rung="text"))
    try:
        items = {item.name: item for item in read_manifest(record.path.parent)}
    except BuildError as error:
        return [*claims, Claim(MANIFEST, "read", None, None, False, str(error), rung="text")]
    item = items.get(record.path.stem)
    if item is None:
        return claims  # a module on its own has no manifest to agree with
    sha256 = hashlib.sha256(record.text.encode()).hexdigest()
    return [
        *claims,
        _equal("digest of the network", MANIFEST, item.digest, record.net.digest),
        _equal("digest of the text", MANIFEST, item.sha256, sha256),
    ]


def _equal(name: str, where: str, stated: str, found: str) -> Claim:
    ok = stated == found
    detail = f"{found[:12]}…" if ok else f"{where} says {stated[:12]}…, it is {found[:12]}…"
    return Claim(name, where, None, None, ok, detail, rung="text")


# --- the text ------------------------------------------------------------------------------------


def compared(record: Record) -> tuple[bool, Claim]:
    """Whether the text is what this version emits for the record, but for the version's name.

    Emitted by another version a text may rightly differ; that is told and is no failure.
    """
    from derive.kernel import emit

    mine = emit(
        record.net, record.algorithm, record.dtype, record.batch, record.schedule, record.block
    ).text  # fmt: skip
    lines = mine.count("\n")
    if mine == record.text:
        return True, Claim("text", TEXT, None, None, True, f"{lines} lines, byte for byte",
                           rung="text")  # fmt: skip
    if record.version != __version__:
        told = f"emitted by derive {record.version}, this is {__version__}: "
        same = _without_version(mine, __version__) == _without_version(record.text, record.version)
        told += "the same text but for that" if same else "text not compared"
        return same, Claim("text", TEXT, None, None, True, told, rung="text")
    return False, Claim("text", TEXT, None, None, False, difference(record.text, mine), rung="text")


def _without_version(text: str, version: str) -> str:
    """A text with the two places that name its version left open."""
    for said in (f"; derive {version}.\n", f'"derive": "{version}"'):
        text = text.replace(said, said.replace(version, "?"), 1)
    return text


def difference(given: str, emitted: str) -> str:
    """The first line of a text that is not as emitted, where it stands, and how many differ."""
    a, b = given.splitlines(), emitted.splitlines()
    blocks = difflib.SequenceMatcher(None, a, b, autojunk=False) if max(len(a), len(b)) < 4000 \
        else None  # fmt: skip
    if blocks is None:
        at = next((i for i, (u, v) in enumerate(zip(a, b, strict=False)) if u != v),
                  min(len(a), len(b)))  # fmt: skip
        count, first = sum(u != v for u, v in zip(a, b, strict=False)), (at, at)
        count += abs(len(a) - len(b))
    else:
        changes = [c for c in blocks.get_opcodes() if c[0] != "equal"]
        if not changes:
            return "the ends of lines differ"
        count = sum(max(i2 - i1, j2 - j1) for _, i1, i2, j1, j2 in changes)
        first = (changes[0][1], changes[0][3])
    mine, theirs = _line(b, first[1]), _line(a, first[0])
    function = _function(a, first[0])
    where = f"line {first[0] + 1}{f', in {function}' if function else ''}"
    several = "1 line differs" if count == 1 else f"{count} lines differ, the first is"
    return f"{several}: {where}: {theirs} where {mine} is emitted"


def _line(lines: list[str], i: int) -> str:
    if i >= len(lines):
        return "nothing"
    text = lines[i].strip()
    return repr(text if len(text) <= 100 else f"{text[:100]}…")


def _function(lines: list[str], i: int) -> str:
    """The function that a line stands in; empty outside of all."""
    for line in reversed(lines[: i + 1]):
        found = re.match(r"(?:cdef .*?|def )(\w+)\(", line)
        if found:
            return found[1]
        if line and not line[0].isspace() and not line.startswith(")"):
            return ""
    return ""


# --- what it computes ----------------------------------------------------------------------------


def _kernel(record: Record, same: bool) -> tuple[Any, Claim]:
    """The module compiled from its text as a kernel over one sequence, and the claim that it is."""
    from derive.build.toolchain import find_toolchain, toolchain_problem
    from derive.kernel import compile

    toolchain = find_toolchain()
    if toolchain is None and not same:
        return None, _compiled(False, f"cannot be compiled here: {toolchain_problem()}")
    if toolchain is None:
        # The Programs are those of this text: it is what they are printed as.
        options = {k: v for k, v in record.algorithm.items() if k != "name"}
        kernel = compile(
            record.net, record.algorithm["name"], dtype=record.dtype, schedule=record.schedule,
            **options,
        )  # fmt: skip
        told = f"not compiled ({toolchain_problem()}): its Programs run on NumPy instead"
        return kernel, _compiled(True, told)
    try:
        module, path = _built(record, toolchain)
    except BuildError as error:
        return None, _compiled(False, str(error).splitlines()[0])
    from derive.kernel import Kernel
    from derive.verify.single import OneSequence

    kernel = Kernel(
        record.net,
        OneSequence(module, record.dtype) if record.batch else module,
        algorithm=record.algorithm,
        dtype=record.dtype,
        batch=False,
        schedule=record.schedule,
        reason="as its record says",
        source=record.text,
        path=path,
    )
    return kernel, _compiled(True, "what follows is of these functions")


def _compiled(ok: bool, told: str) -> Claim:
    return Claim("kernel", "compiled from this text", None, None, ok, told, rung="text")


def _built(record: Record, toolchain: Any) -> tuple[Any, Path]:
    """The text's module, in a folder of its own that goes when the process does."""
    import atexit
    import shutil
    import tempfile

    from derive.build.loader import load_extension
    from derive.build.toolchain import compile_module, profile

    folder = Path(tempfile.mkdtemp(prefix="derive-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    name = record.net.name
    path = compile_module(record.text, name, folder, profile("local"), toolchain).path
    return load_extension(path, name), path


def _batch(record: Record, module: Any, seed: int) -> tuple[Claim, ...]:
    from derive.verify.single import batch_claims

    form = form_of(record.algorithm)
    found = batch_claims(record.net, module, record.dtype, seed, form)
    return tuple(replace(c, rung="agreement", scope="these weights") for c in found)
