"""Text becomes an importable module, or one BuildError with the tool's own words."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from derive.build import compile_job
from derive.build import toolchain as tools
from derive.build.loader import load_extension
from derive.build.toolchain import (
    Built,
    Toolchain,
    compile_module,
    find_toolchain,
    profile,
    profiles,
    start_ahead,
    stop_ahead,
    toolchain_problem,
)
from derive.errors import BuildError


def failure(source: str, folder: Path, toolchain: Toolchain, name: str = "bad") -> BuildError:
    with pytest.raises(BuildError) as caught:
        compile_module(source, name, folder, profile("portable"), toolchain)
    assert caught.value.kept == folder
    assert (folder / f"{name}.pyx").read_text() == source
    return caught.value


def test_compiled_module_computes(adds: Built) -> None:
    module = load_extension(adds.path, "adds")
    assert module.add(0.5, 0.25) == 0.75
    assert module.__doc__ == "Adds, in C."


def test_log_holds_every_command_and_seconds_every_stage(adds: Built, toolchain: Toolchain) -> None:
    assert set(adds.seconds) == {"start", "cython", "cc", "import"}
    assert "cython -3 adds.pyx" in adds.log
    assert f"$ {toolchain.compiler[0]} " in adds.log and "-O3" in adds.log
    assert (adds.path.parent / "build.log").read_text() == adds.log


def test_only_source_module_and_log_are_left(adds: Built) -> None:
    left = {path.name for path in adds.path.parent.iterdir()}
    assert left == {"adds.pyx", "build.log", adds.path.name}


def test_same_source_gives_same_bytes_in_another_folder(
    adds: Built, adds_source: str, tmp_path: Path, toolchain: Toolchain
) -> None:
    again = compile_module(adds_source, "adds", tmp_path, profile("portable"), toolchain)
    assert again.path.read_bytes() == adds.path.read_bytes()


def test_cython_error_is_reported_in_its_own_words(tmp_path: Path, toolchain: Toolchain) -> None:
    error = failure("def f(:\n    return 1\n", tmp_path, toolchain)
    assert "Cython could not translate it" in str(error)
    assert "bad.pyx:1:6" in error.output
    assert error.command == "cython -3 bad.pyx"


def test_c_error_is_reported_in_the_compilers_words(tmp_path: Path, toolchain: Toolchain) -> None:
    source = 'cdef extern from *:\n    """\n    int f(void) { return undeclared; }\n    """\n'
    error = failure(source, tmp_path, toolchain)
    assert "undeclared" in error.output and "error" in error.output
    assert error.command.startswith(toolchain.compiler[0])
    assert (tmp_path / "bad.c").exists()
    for part in (error.command, "undeclared", str(tmp_path), "the C compiler failed"):
        assert part in str(error)


def test_undefined_symbol_is_found_by_importing(tmp_path: Path, toolchain: Toolchain) -> None:
    source = (
        'cdef extern from *:\n    """\n    int not_there(void);\n    """\n'
        "    int not_there()\ndef f(): return not_there()\n"
    )
    error = failure(source, tmp_path, toolchain)
    assert "cannot be imported" in str(error)
    assert "not_there" in error.output


def test_error_while_importing_is_reported(tmp_path: Path, toolchain: Toolchain) -> None:
    error = failure("raise KeyError('of its own')\n", tmp_path, toolchain)
    assert error.command.startswith("import bad") and "of its own" in error.output


def test_module_that_kills_its_process_is_an_error_and_not_our_end(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    error = failure("from libc.stdlib cimport abort\nabort()\n", tmp_path, toolchain)
    assert "died" in str(error) and "exit status" in error.output


def test_missing_python_header_is_named_with_what_to_do(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "build").mkdir()
    without = dataclasses.replace(toolchain, include=str(tmp_path / "empty"))
    error = failure("x = 1\n", tmp_path / "build", without)
    assert "install Python's development headers" in str(error)
    assert "Python.h" in error.output


def test_compiler_that_went_away_is_an_error(tmp_path: Path, toolchain: Toolchain) -> None:
    gone = dataclasses.replace(toolchain, compiler=("no-such-compiler",))
    error = failure("x = 1\n", tmp_path, gone)
    assert "no-such-compiler" in error.command and "No such file" in error.output


def test_output_while_importing_does_no_harm(tmp_path: Path, toolchain: Toolchain) -> None:
    source = "print('chatter')\nimport os\nos.write(1, b'more')\ndef f(): return 3\n"
    built = compile_module(source, "talks", tmp_path, profile("portable"), toolchain)
    assert load_extension(built.path, "talks").f() == 3


def test_sum_of_thousands_of_terms_is_translated(tmp_path: Path, toolchain: Toolchain) -> None:
    terms = " + ".join(f"{i}.5*x" for i in range(3000))
    source = f"cdef double s(double x) noexcept nogil:\n    return {terms}\ndef f(x): return s(x)\n"
    built = compile_module(source, "long_sum", tmp_path, profile("reproducible"), toolchain)
    assert load_extension(built.path, "long_sum").f(2.0) == 2 * (2999 * 3000 / 2 + 1500)


def test_files_of_the_current_folder_do_not_reach_the_build(
    tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch, adds_source: str
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('wrong json')\n")
    (tmp_path / "libc").mkdir()
    (tmp_path / "build").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    compile_module(adds_source, "adds", tmp_path / "build", profile("portable"), toolchain)


@pytest.mark.parametrize("name", ["class", "a-b", "../up", "ö", ""])
def test_name_that_is_no_identifier_is_refused(
    name: str, tmp_path: Path, toolchain: Toolchain
) -> None:
    with pytest.raises(BuildError, match="expected an ASCII identifier"):
        compile_module("", name, tmp_path, profile("portable"), toolchain)


def test_process_started_ahead_does_the_next_build(
    tmp_path: Path, toolchain: Toolchain, adds_source: str
) -> None:
    start_ahead()
    waiting = tools._waiting[0][1]
    start_ahead()
    assert tools._waiting[0][1] is waiting, "one is enough"
    built = compile_module(adds_source, "adds", tmp_path, profile("portable"), toolchain)
    assert load_extension(built.path, "adds").add(1, 2) == 3
    assert waiting.returncode == 0
    assert not tools._waiting


def test_process_started_ahead_in_vain_is_ended() -> None:
    start_ahead()
    waiting = tools._waiting[0][1]
    stop_ahead()
    assert waiting.returncode is not None
    stop_ahead()


def test_process_of_a_parent_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    start_ahead()
    waiting = tools._waiting[0]
    with monkeypatch.context() as patch:
        patch.setattr(tools.os, "getpid", lambda: waiting[0] + 1)
        assert tools._take() is None
    tools._waiting.append(waiting)
    stop_ahead()


def test_no_compiler_is_none_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVE_NO_COMPILER", "1")
    assert find_toolchain() is None
    assert toolchain_problem() == "DERIVE_NO_COMPILER is set"
    monkeypatch.delenv("DERIVE_NO_COMPILER")
    monkeypatch.setenv("CC", "no-such-compiler")
    assert find_toolchain() is None
    assert "no-such-compiler" in toolchain_problem()
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    assert find_toolchain() is None
    assert "no working C compiler" in toolchain_problem()


def test_compiler_that_fails_is_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    assert find_toolchain() is None


def test_compiler_of_the_environment_is_used_with_its_flags(
    monkeypatch: pytest.MonkeyPatch, toolchain: Toolchain
) -> None:
    monkeypatch.setenv("CC", f"{toolchain.compiler[0]} -pipe")
    found = find_toolchain()
    assert found is not None and found.compiler == (toolchain.compiler[0], "-pipe")


def test_looking_for_a_compiler_imports_nothing_heavy() -> None:
    code = (
        "import sys, derive.build.toolchain as t, derive.build.cache, derive.build.loader;"
        "t.find_toolchain();"
        "print({'sympy', 'numpy', 'setuptools', 'distutils', 'click', 'rich',"
        " 'Cython.Compiler.Main'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


def test_processor_counts_only_for_native_builds(toolchain: Toolchain) -> None:
    other = dataclasses.replace(toolchain, cpu=("something_else",))
    assert toolchain.key(profile("portable")) == other.key(profile("portable"))
    assert toolchain.key(profile("local")) != other.key(profile("local"))


@pytest.mark.parametrize("field", ["compiler", "version", "cython", "python", "platform"])
def test_everything_else_always_counts(field: str, toolchain: Toolchain) -> None:
    value = ("x",) if field == "compiler" else "x"
    other = dataclasses.replace(toolchain, **{field: value})
    assert toolchain.key(profile("portable")) != other.key(profile("portable"))


def test_no_profile_changes_what_nan_means() -> None:
    for each in profiles().values():
        flags = set(each.compile)
        assert not flags & {"-ffast-math", "-Ofast", "-ffinite-math-only"}, each.name
        assert not flags & {"-funsafe-math-optimizations", "-fassociative-math"}, each.name


def test_reproducible_profile_fuses_nothing_even_where_the_processor_could(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    # The sum is 2**-60 with one rounding and zero with two.
    source = (
        "cdef double _f(double a, double b, double c) noexcept nogil:\n    return a*b + c\n"
        "def f(a, b, c): return _f(a, b, c)\n"
    )
    native = [flag for flag in profile("local").compile if flag.endswith("=native")]
    flags = dataclasses.replace(
        profile("reproducible"), compile=(*native, *profile("reproducible").compile)
    )
    built = compile_module(source, "fused", tmp_path, flags, toolchain)
    a = 1.0 + 2.0**-30
    assert load_extension(built.path, "fused").f(a, a, -(1.0 + 2.0**-29)) == 0.0


def test_only_the_local_profile_is_native() -> None:
    assert [p.name for p in profiles().values() if p.native] == ["local"]
    for name in ("portable", "reproducible"):
        assert not [f for f in profile(name).compile if f.startswith("-m")]


def test_unknown_profile_suggests_the_near_one() -> None:
    with pytest.raises(BuildError, match="did you mean 'portable'"):
        profile("portabel")


MARKS = (compile_job.FUNCTIONS_BEGIN, compile_job.FUNCTIONS_END, compile_job.SUPPORT_END)


def test_functions_that_compute_keep_their_optimisation() -> None:
    python = "static PyObject *__pyx_pw_f(PyObject *self) {\n  return 0;\n}\n"
    loops = "static void __pyx_f_core(double x) {\n  x + x;\n}\n"
    begin, middle, end = MARKS
    text = "".join([begin, "\n", python, loops, python, middle, "\nint support;\n", end, "\n"])
    changed = compile_job.arranged(text)
    before = changed[: changed.index(loops)]
    assert before.count("push_options") == before.count("pop_options") == 1
    assert changed.count("push_options") == changed.count("pop_options") == 3
    for part in (compile_job.ONCE_A_CALL, compile_job.SUPPORT, compile_job.AS_BEFORE):
        changed = changed.replace(part, "")
    assert changed == text.replace(end, "\n" + end)


def test_text_with_other_marks_is_left_alone() -> None:
    assert compile_job.arranged("int x;\n") == "int x;\n"


def long_functions(count: int) -> str:
    """What Cython might write, with functions long enough to be compiled apart."""
    body = "\n".join(f"  x += {i};" for i in range(compile_job.SHARE // 11))
    cores = [f"static void __pyx_f_{i}_core(double x) {{\n{body}\n}}\n" for i in range(count)]
    declared = [f"static void __pyx_f_{i}_core(double); /*proto*/\n" for i in range(count)]
    support = "\nint seen;\nint main(void) { "
    called = " ".join(f"__pyx_f_{i}_core({i});" for i in range(count))
    head = ["int __pyx_module_is_main_m = 0;\n", *declared]
    return "".join(
        ["/* first */\n", *head, MARKS[0], "\n", *cores, MARKS[1], support, called, " }\n",
         MARKS[2], "\n"]
    )  # fmt: skip


@pytest.mark.parametrize(("count", "parts"), [(0, 1), (1, 1), (2, 2), (3, 3), (9, 4)])
def test_long_functions_are_compiled_side_by_side(
    count: int, parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compile_job, "processors", lambda: 4)
    ran: list[list[str]] = []
    run_tool = compile_job.run_tool
    monkeypatch.setattr(compile_job, "run_tool", lambda c: (ran.append(c), run_tool(c))[1])
    (tmp_path / "m.c").write_text(compile_job.arranged(long_functions(count)))
    toolchain = find_toolchain()
    assert toolchain is not None
    compile_job.compile_in_parts([*toolchain.compiler, "m.c", "-o", "m"], "m")
    assert sum("-c" in command for command in ran) == (parts if parts > 1 else 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.c"]
    assert subprocess.run([tmp_path / "m"]).returncode == 0


def test_one_processor_compiles_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_job, "processors", lambda: 1)
    assert "K_PART" not in compile_job.arranged(long_functions(4))


LONG_TABLE = ", ".join(str(i * 7 % 1000 - 500) for i in range(compile_job.LONG // 4))
TABLES = f'''
from libc.stdint cimport int32_t
cdef extern from *:
    """
    #include <stdint.h>
    static const int32_t table_long[] = {{
    {LONG_TABLE}
    }};
    static const int32_t table_short[] = {{
    7, 8
    }};
    """
    const int32_t table_long[]
    const int32_t table_short[]
def at(int i): return table_long[i] + table_short[0]
cdef void other_core(): pass
'''


@pytest.mark.parametrize("assembled", [True, False])
def test_long_tables_go_past_the_compiler(
    assembled: bool, tmp_path: Path, toolchain: Toolchain
) -> None:
    """With files of their bytes, and as text where a compiler cannot take these."""
    flags = () if assembled else ("-U__ELF__",)
    chosen = dataclasses.replace(profile("local"), compile=(*profile("local").compile, *flags))
    built = compile_module(TABLES, "tabular", tmp_path, chosen, toolchain)
    at = load_extension(built.path, "tabular").at
    assert [at(i) for i in (0, 1, 999, compile_job.LONG // 4 - 1)] == [
        i * 7 % 1000 - 500 + 7 for i in (0, 1, 999, compile_job.LONG // 4 - 1)
    ]
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == sorted(["build.log", "tabular.pyx", built.path.name])
    assert LONG_TABLE in (tmp_path / "tabular.pyx").read_text()


def test_errors_beside_a_long_table_are_where_they_are(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    error = failure(TABLES + "def f(: pass\n", tmp_path, toolchain)
    assert f"bad.pyx:{TABLES.count(chr(10)) + 1}:" in str(error)
    assert f"{os.sep}bad.pyx:" not in error.output


def test_a_long_table_is_no_text_for_the_compilers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text, tables = compile_job.without_tables(TABLES)
    assert list(tables) == ["table_long"] and LONG_TABLE not in text and "7, 8" in text
    assert text.count("\n") == TABLES.count("\n")
    assert LONG_TABLE in (tmp_path / "table_long.h").read_text()
    values = array("i", (tmp_path / "table_long.bin").read_bytes()).tolist()
    assert values == [int(v) for v in LONG_TABLE.split(",")]


@pytest.mark.parametrize("assembled", [True, False])
def test_a_long_record_goes_past_cython(
    assembled: bool, tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.dumps({"name": 'it\'s \\ \u00e9 "so"', "long": list(range(30_000))})
    source = f"PI = 3\nRECORD = {record!r}\n\ndef half(int x): return x/2\n"
    flags = () if assembled else ("-U__ELF__",)
    chosen = dataclasses.replace(profile("local"), compile=(*profile("local").compile, *flags))
    built = compile_module(source, "recording", tmp_path, chosen, toolchain)
    module = load_extension(built.path, "recording")
    assert module.RECORD == record and module.PI == 3 and module.half(4) == 2
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == sorted(["build.log", "recording.pyx", built.path.name])
    monkeypatch.chdir(tmp_path)
    text = compile_job.without_record(source)
    assert "29999" not in text and text.count("\n") == source.count("\n")
    short = "PI = 3\nRECORD = '{}'\n\n"
    assert compile_job.without_record(short) == short


def test_what_cannot_be_compiled_in_parts_is_compiled_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(compile_job, "processors", lambda: 2)
    more = long_functions(2).replace("int __pyx_module", "int another;\nint __pyx_module")
    shown_twice = compile_job.arranged(more.replace("int another;", "int another = 1;"))
    (tmp_path / "m.c").write_text(shown_twice)
    toolchain = find_toolchain()
    assert toolchain is not None
    command = [*toolchain.compiler, "m.c", "-o", "m"]
    compile_job.compile_in_parts(command, "m")
    assert subprocess.run([tmp_path / "m"]).returncode == 0
    (tmp_path / "m.c").write_text(shown_twice.replace("x += 7;", "x += seven;"))
    with pytest.raises(compile_job.Failed, match="seven"):
        compile_job.compile_in_parts(command, "m")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "m.c"]


def test_marks_are_those_of_the_installed_cython(tmp_path: Path, adds_source: str) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import compile_job;"
        "compile_job.translate('adds.pyx', 'adds', 'adds.c')"
    )
    (tmp_path / "adds.pyx").write_text(adds_source)
    folder = os.path.dirname(compile_job.__file__)
    subprocess.run([sys.executable, "-c", code, folder], cwd=tmp_path, check=True)
    assert "#pragma GCC optimize" in (tmp_path / "adds.c").read_text()
