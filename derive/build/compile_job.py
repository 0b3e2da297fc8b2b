"""Run as a process of its own: one JSON job on standard input, one JSON answer on standard output.

It imports nothing of this package, so that it starts quickly and works under ``python -I``.
The answer is the list of steps taken, each with its stage, command, output, seconds and whether
it succeeded; the last is the one that failed, if one did.

What makes it quick: one file is translated, without the dependency scan of ``cythonize``; one
command compiles and links, without distutils; only the functions that compute are optimised in
full, not those that handle Python objects, and where they are long several processes share them;
long tables of numbers go past Cython and the C compiler, to the assembler; NumPy, which the new
module will import, is imported while the compiler works; and with ``--ahead`` Cython makes itself
ready before there is a job.
"""

from __future__ import annotations

import ast
import contextlib
import gc
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
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# Marks in Cython's C: what a module's own functions stand between. Its run-time support follows.
FUNCTIONS_BEGIN = "/* #### Code section: module_code ### */"
FUNCTIONS_END = "/* #### Code section: module_exttypes ### */"
SUPPORT_END = "/* #### Code section: end ### */"
# Functions that compute nothing themselves: of Python, and those for a block of a batch.
ONCE = re.compile(r"^static (PyObject \*__pyx_|void __pyx_f_\w+_block\().*\{$", re.MULTILINE)
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
# A function that computes: its definition, or its declaration further up.
COMPUTES = re.compile(r"^static (?=void __pyx_f_\w+_(?:core|common_\d+)\()", re.MULTILINE)
# The one thing in Cython's C that is defined for all to see.
GLOBAL = re.compile(r"^int __pyx_module_is_main_\w+ = 0;$", re.MULTILINE)
# Of so much C that computes it pays to start another compiler.
SHARE = 40_000
# So long is a table that it goes past the compilers.
LONG = 100_000
# What is compiled apart must be seen from the other parts, and from nowhere else.
PARTS = """\
#ifdef K_PART
#define K_CORE __attribute__((visibility("hidden")))
#else
#define K_CORE static
#endif
"""
PART = """\
#if !defined(K_PART) || K_PART == {part}
{text}
#endif
"""
# A table of whole numbers, as a module's text has it; and what stands there while Cython works.
TABLE = re.compile(
    r"^ *static const (?P<type>u?int\d+)_t (?P<name>\w+)\[\] = \{\n(?P<values>[-\d, \n]*)\n *\};$",
    re.MULTILINE,
)
# What a module says of itself, which is long where a spec names each connection.
RECORD = re.compile(r"^(?P<before>\w.*)\nRECORD = (?P<record>'.*')\n$", re.MULTILINE)
WITH_RECORD = """\
cdef extern from "module_record.h":
    const char module_record[]
{before}; RECORD = module_record[:{size}].decode("ascii")"""
PLACE = re.compile(r"^K_TABLE (\w+)$", re.MULTILINE)
TYPECODES = {"uint8": "B", "int32": "i", "int64": "q"}
# Where -DK_TABLES says so, its bytes are taken from a file; the text is in another.
FROM_FILE = """\
#if defined(K_TABLES) && defined(__ELF__)
extern const {type} {name}[] __asm__("{name}") __attribute__((visibility("hidden")));
#if !defined(K_PART) || K_PART == 0
__asm__(".pushsection .rodata\\n.balign 64\\n.globl {name}\\n.hidden {name}\\n{name}:\\n"
        ".incbin \\"{name}.bin\\"\\n.popsection");
#endif
#else
{otherwise}
#endif"""


def main() -> None:
    gc.disable()  # all that is made is needed to the end, which is near
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

    options = CompilationOptions(
        output_file=os.path.abspath(output),
        language_level=3,
        compiler_directives={"emit_code_comments": False},  # three quarters of the C otherwise
    )
    given = Path(source).read_text(encoding="utf-8")
    text, tables = without_tables(without_record(given))
    with (
        tempfile.TemporaryDirectory(dir=".") as folder,
        said_without(os.path.basename(folder) + os.sep),
    ):
        if text != given:
            source = os.path.join(folder, source)
            Path(source).write_text(text, encoding="utf-8")
        result = compile(source, options, full_module_name=name)
    if result.num_errors:
        raise Failed("")
    path = Path(output)
    made = arranged(path.read_text(encoding="utf-8"))
    path.write_text(PLACE.sub(lambda found: tables[found[1]], made), encoding="utf-8")
    return ""


@contextlib.contextmanager
def said_without(folder: str) -> Iterator[None]:
    """Pass on what is said, as of files that are not in ``folder``."""
    words = io.StringIO()
    try:
        with contextlib.redirect_stderr(words):
            yield
    finally:
        sys.stderr.write(words.getvalue().replace(folder, ""))


def without_record(text: str) -> str:
    """A module whose record, if that is long, is in files ``module_record.bin`` and ``.h``.

    Cython takes a minute for a few megabytes in one string.
    """

    def kept(found: re.Match[str]) -> str:
        if len(found[0]) < LONG:
            return found[0]
        record = ast.literal_eval(found["record"])
        Path("module_record.bin").write_bytes(record.encode("ascii"))
        pieces = (json.dumps(record[i : i + 90]) for i in range(0, len(record), 90))
        here = "\n".join(["static const char module_record[] =", *pieces, ";"])
        head = FROM_FILE.format(type="char", name="module_record", otherwise=here)
        Path("module_record.h").write_text(head, encoding="ascii")
        # As many lines as before, with that and the blank one around it.
        return WITH_RECORD.format(before=found["before"], size=len(record))

    return RECORD.sub(kept, text)


def without_tables(text: str) -> tuple[str, dict[str, str]]:
    """A module without its long tables, which are in files ``<name>.bin`` and ``.h``; their C.

    A compiler takes more than a microsecond for each number, and every process of several anew.
    """
    tables: dict[str, str] = {}

    def kept(found: re.Match[str]) -> str:
        if len(found[0]) < LONG:
            return found[0]
        values = array(TYPECODES[found["type"]], map(int, found["values"].split(",")))
        Path(found["name"] + ".bin").write_bytes(values.tobytes())
        Path(found["name"] + ".h").write_text(found[0], encoding="utf-8")
        tables[found["name"]] = FROM_FILE.format(
            type=f"{found['type']}_t",
            name=found["name"],
            otherwise=f'#include "{found["name"]}.h"',
        )
        # As many lines as before, so that what Cython says of others is true.
        return f"K_TABLE {found['name']}" + "\n" * found[0].count("\n")

    return TABLE.sub(kept, text), tables


def arranged(text: str) -> str:
    """Cython's C with marks that make it quicker to compile; another Cython's as it is."""
    head, begin, rest = text.partition(FUNCTIONS_BEGIN)
    between, middle, rest = rest.partition(FUNCTIONS_END)
    support, end, last = rest.partition(SUPPORT_END)
    if not end:
        return text
    functions = [part + "\n}\n" for part in between.split("\n}\n")]
    functions[-1] = functions[-1].removesuffix("\n}\n")
    support = SUPPORT + middle + support + "\n" + AS_BEFORE
    return in_parts(head + begin, optimised(functions), support) + end + last


def optimised(functions: list[str]) -> list[str]:
    """Have gcc spend its time on the functions that compute.

    Everything that handles Python objects runs once per call and not once per step, and is most of
    the file. Functions that return an object are as quick at -O1, and compiled in half the time.
    So are those that call a core for a block of a batch; and gcc leaves the core apart from them,
    where it knows that its arrays do not overlap.
    Cython's support code at -O0 costs a fifth of a microsecond a call and saves a third of a second
    of compiling. The functions that compute stay as the command line says, so their values do not
    depend on this.
    """
    return [
        ONCE.sub(lambda found: ONCE_A_CALL + found[0], text, count=1) + AS_BEFORE
        if ONCE.search(text)
        else text
        for text in functions
    ]


def in_parts(head: str, functions: list[str], support: str) -> str:
    """Let functions that compute be compiled apart from the rest, where there is much of them.

    ``-DK_PART=1``, 2, … leave some of them each, and 0 the rest; without a ``K_PART`` all is there.
    """
    computing = [i for i, text in enumerate(functions) if COMPUTES.search(text)]
    count = min(processors(), sum(len(functions[i]) for i in computing) // SHARE)
    if count < 2:
        return "".join([head, *functions, support])
    part = dict.fromkeys(range(len(functions)), 0)
    shares = [sum(len(text) for i, text in enumerate(functions) if i not in computing)]
    shares += [0] * (count - 1)
    for i in sorted(computing, key=lambda i: -len(functions[i])):
        part[i] = shares.index(min(shares))
        shares[part[i]] += len(functions[i])
    pieces = [
        PART.format(part=part[i], text=COMPUTES.sub("K_CORE ", text))
        for i, text in enumerate(functions)
    ]
    declared = GLOBAL.sub(lambda found: PART.format(part=0, text=found[0]), head)
    declared = COMPUTES.sub("K_CORE ", declared)
    first, _, more = declared.partition("\n")  # by which Cython knows a file that it may replace
    return "".join([first, "\n", PARTS, more, *pieces, PART.format(part=0, text=support)])


def compile_c(job: dict[str, Any]) -> str:
    """C to an extension module."""
    if not job["cc"]:
        return compile_with_msvc(job)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(compile_in_parts, job["cc"], job["name"])
        with contextlib.suppress(ImportError):
            import numpy  # noqa: F401  (ready when the new module imports it)
        return waiting.result()


def compile_in_parts(whole: list[str], name: str) -> str:
    """Compile with the command ``whole``, or the parts of the file side by side where it has any.

    Tables are taken from their files, if there are such. What cannot be compiled or linked so is no
    error yet: the whole file is what counts.
    """
    source = f"{name}.c"
    text = Path(source).read_text(encoding="utf-8")
    marks = re.findall(r"K_PART == (\d+)$", text, re.MULTILINE)
    tables = "defined(K_TABLES)" in text
    count, at = 1 + max(map(int, marks), default=0), whole.index("-o")
    if count == 1 and not tables:
        return run_tool(whole)
    before, module, after = whole[:at], whole[at : at + 2], whole[at + 2 :]
    if tables:
        before = [*before, "-DK_TABLES"]
    objects = {f"{name}.{part}.o": f"-DK_PART={part}" for part in range(count)}
    commands = [[*before, "-c", part, "-o", made, *after] for made, part in objects.items()]
    inputs = [word for given in before for word in (objects if given == source else [given])]
    try:
        if count == 1:
            return run_tool([*before, *module, *after])
        with ThreadPoolExecutor(processors()) as pool:
            words = list(pool.map(run_tool, commands[1:] + commands[:1]))  # the longest first
        return "".join([*words, run_tool([*inputs, *module, *after])])
    except Failed:
        return run_tool(whole)
    finally:
        for made in objects:
            Path(made).unlink(missing_ok=True)


def processors() -> int:
    """How many of them this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tool(command: list[str]) -> str:
    """What a compiler says."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    words = done.stdout.decode(errors="replace")
    if done.returncode:
        raise Failed(words or f"exit status {done.returncode}")
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
