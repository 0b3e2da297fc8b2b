"""Run as a process of its own: one JSON job on standard input, one JSON answer on standard output.

It imports nothing of this package, so that it starts quickly and works under ``python -I``.
The answer is the list of steps taken, each with its stage, command, output, seconds and whether
it succeeded; the last is the one that failed, if one did.

What makes it quick: one file is translated, without the dependency scan of ``cythonize``; one
command compiles and links, without distutils; only the functions that compute are optimised in
full, not those that handle Python objects; NumPy, which the new module will import, is imported
while the compiler works; and with ``--ahead`` Cython makes itself ready before there is a job.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Marks in Cython's C: what a module's own functions stand between. Its run-time support follows.
FUNCTIONS_BEGIN = "/* #### Code section: module_code ### */"
FUNCTIONS_END = "/* #### Code section: module_exttypes ### */"
# Functions that compute nothing themselves: of Python, and those for a block of a batch.
ONCE = re.compile(r"static (PyObject \*__pyx_|void __pyx_f_\w+_block\().*\{$")
# gcc only: clang has no such pragma, and would gain less.
OPTIMISATION = """\
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize ("{level}")
#endif
"""
ONCE_A_CALL, SUPPORT = (OPTIMISATION.format(level=level) for level in ("O1", "O0"))
AS_BEFORE = """\
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif
"""


def main() -> None:
    # What a new module prints while it is imported must not get into the answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    started = time.perf_counter()
    if "--ahead" in sys.argv:
        with contextlib.suppress(Exception):
            make_ready()
    line = sys.stdin.buffer.readline()
    if not line:
        return  # nobody needed us
    job = json.loads(line)
    if "--ahead" in sys.argv:
        started = time.perf_counter()
    steps = with_deep_stack(lambda: list(run(job, started)))
    with os.fdopen(answer, "w", encoding="utf-8") as file:
        json.dump(steps, file)
        file.flush()
        # Leave without taking the new module down: its import is what was to be tested.
        os._exit(0)


def make_ready() -> None:
    """Have Cython build its tables (lexer, built-in scope), by translating nearly nothing."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        source = Path(folder, "nothing.pyx")
        source.write_text("from cpython.buffer cimport PyObject_GetBuffer\ndef f(): return 0\n")
        translate(str(source), "nothing", str(source.with_suffix(".c")))


def with_deep_stack(work: Callable[[], Any]) -> Any:
    """Run ``work`` where a long sum, which Cython sees as a deep tree, does not overflow."""
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(work()))
    threading.stack_size(512 * 1024 * 1024)
    try:
        thread.start()
    except RuntimeError:  # no memory for such a stack; most sums need none
        return work()
    sys.setrecursionlimit(100_000)
    thread.join()
    return result[0]


def run(job: dict[str, Any], started: float) -> Iterator[dict[str, Any]]:
    """Do the stages in order, up to the first that fails."""
    # Where the caller finds Cython and NumPy may not be where we would look; ours goes first.
    sys.path += [entry for entry in job["path"] if entry not in sys.path]
    os.chdir(job["directory"])
    name, module = job["name"], job["module"]
    stages: list[tuple[str, str, Callable[[], str]]] = [
        ("start", "import Cython", lambda: __import__("Cython.Compiler.Main").__version__),
        ("cython", f"cython -3 {name}.pyx", lambda: translate(f"{name}.pyx", name, f"{name}.c")),
        ("cc", shlex.join(job["cc"]) or f"cl {name}.c", lambda: compile_c(job)),
        ("import", f"import {module}", lambda: import_test(name, module)),
    ]
    for stage, command, work in stages:
        ok, words = True, io.StringIO()
        try:
            with contextlib.redirect_stderr(words):
                words.write(work())
        except Failed as error:
            ok = False
            words.write(str(error))
        except Exception:
            ok = False
            words.write(traceback.format_exc(limit=-3))
        now = time.perf_counter()
        yield {
            "stage": stage,
            "command": command,
            "output": words.getvalue(),
            "seconds": now - started,
            "ok": ok,
        }
        if not ok:
            return
        started = now


class Failed(Exception):
    """A tool said that it failed; its words."""


def translate(source: str, name: str, output: str) -> str:
    """Cython to C. Its messages go to standard error, as it likes to."""
    from Cython.Compiler.Main import CompilationOptions, compile

    options = CompilationOptions(output_file=output, language_level=3)
    result = compile(source, options, full_module_name=name)
    if result.num_errors:
        raise Failed("")
    path = Path(output)
    path.write_text(optimise_loops_only(path.read_text(encoding="utf-8")), encoding="utf-8")
    return ""


def optimise_loops_only(text: str) -> str:
    """Have gcc spend its time on the functions that compute.

    Everything that handles Python objects runs once per call and not once per step, and is most of
    the file. Functions that return an object are as quick at -O1, and compiled in half the time.
    So are those that call a core for a block of a batch; and gcc leaves the core apart from them,
    where it knows that its arrays do not overlap.
    Cython's support code at -O0 costs a fifth of a microsecond a call and saves a third of a second
    of compiling. The functions that compute stay as the command line says, so their values do not
    depend on this. Another Cython may mark its sections differently; then nothing is changed.
    """
    if FUNCTIONS_BEGIN not in text or FUNCTIONS_END not in text:
        return text
    head, begin, rest = text.partition(FUNCTIONS_BEGIN)
    functions, end, support = rest.partition(FUNCTIONS_END)
    lines: list[str] = []
    inside = False
    for line in functions.splitlines(keepends=True):
        if not inside and ONCE.match(line):
            lines.append(ONCE_A_CALL)
            inside = True
        lines.append(line)
        if inside and line == "}\n":
            lines.append(AS_BEFORE)
            inside = False
    return "".join([head, begin, *lines, SUPPORT, end, support, "\n", AS_BEFORE])


def compile_c(job: dict[str, Any]) -> str:
    """C to an extension module."""
    if not job["cc"]:
        return compile_with_msvc(job)
    pipe = subprocess.PIPE
    process = subprocess.Popen(job["cc"], stdin=subprocess.DEVNULL, stdout=pipe, stderr=-2)
    with contextlib.suppress(ImportError):
        import numpy  # noqa: F401  (ready when the new module imports it)
    words = process.communicate()[0].decode(errors="replace")
    if process.returncode:
        raise Failed(words or f"exit status {process.returncode}")
    return words


def compile_with_msvc(job: dict[str, Any]) -> str:
    """The same where only setuptools knows how to find the compiler."""
    from setuptools._distutils import ccompiler, sysconfig

    compiler = ccompiler.new_compiler()
    sysconfig.customize_compiler(compiler)
    objects = compiler.compile(
        [job["name"] + ".c"], include_dirs=job["include"], extra_postargs=job["flags"]
    )
    compiler.add_library_dir(os.path.join(sys.base_prefix, "libs"))
    export = ["PyInit_" + job["name"]]
    compiler.link_shared_object(objects, job["module"], export_symbols=export)
    return ""


def import_test(name: str, module: str) -> str:
    """Import the result: an undefined symbol shows only now."""
    from importlib.machinery import ExtensionFileLoader
    from importlib.util import module_from_spec, spec_from_file_location

    path = os.path.abspath(module)
    spec = spec_from_file_location(name, path, loader=ExtensionFileLoader(name, path))
    assert spec is not None and spec.loader is not None
    try:
        spec.loader.exec_module(module_from_spec(spec))
    except ImportError as error:
        raise Failed(str(error)) from error
    return ""


if __name__ == "__main__":
    main()
