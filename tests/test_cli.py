"""The command line: what each command says, its exit status, and one paragraph per error."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import derive
from derive import cli, demo
from derive.build import cache as store

ROOT = Path(__file__).parents[1]
WZ3X5 = ROOT / "examples" / "wz3x5.toml"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``derive ARGUMENTS`` in this process: exit status, standard output, standard error."""
    # Commands say warnings in their own way; put Python's back afterwards.
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def call(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["derive", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def in_process_of_its_own(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "derive", *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def spec(folder: Path, **changes: str) -> Path:
    """The 3-unit example with some text of it replaced."""
    text = WZ3X5.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "changed.toml"
    path.write_text(text, encoding="utf-8")
    return path


# --- help ---------------------------------------------------------------------------------------


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(cli.commands, ["--help"])
    assert result.exit_code == 0
    for name in ("new", "show", "verify", "generate", "train", "bench", "cache", "demo"):
        assert re.search(rf"^  {name} ", result.output, re.MULTILINE), name


@pytest.mark.parametrize("command", sorted(cli.commands.commands))
def test_every_command_has_help(command: str) -> None:
    result = CliRunner().invoke(cli.commands, [command, "--help"])
    assert result.exit_code == 0 and "Usage:" in result.output


def test_version_is_the_packages() -> None:
    result = CliRunner().invoke(cli.commands, ["--version"])
    assert result.output == f"derive, version {derive.__version__}\n"


# --- errors -------------------------------------------------------------------------------------


def one_paragraph(code: int, out: str, err: str) -> str:
    """The message of an error: status 2, nothing else said, no traceback, no blank line."""
    assert code == 2
    assert out == ""
    assert "Traceback" not in err and "\n\n" not in err.strip()
    assert err.startswith("error: ")
    return err


SPEC_COMMANDS: list[list[Any]] = [
    ["show"], ["verify"], ["generate", "--no-build", "--into", "unused"], ["bench"], ["train"],
]  # fmt: skip


@pytest.mark.parametrize("command", SPEC_COMMANDS, ids=lambda c: c[0])
def test_missing_file_is_one_paragraph_that_names_it(run: Run, command: list[Any]) -> None:
    assert "nowhere.toml" in one_paragraph(*run(*command, "nowhere.toml"))


@pytest.mark.parametrize("command", SPEC_COMMANDS, ids=lambda c: c[0])
def test_misspelt_key_is_named_with_the_near_one(
    run: Run, tmp_path: Path, command: list[Any]
) -> None:
    said = one_paragraph(*run(*command, spec(tmp_path, activation="activaton")))
    assert "activaton" in said and "'activation'" in said and "changed.toml" in said


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('touch pwned')", "open('pwned', 'w')", "d.__class__",
        "(lambda: d)()", "[d for y in d]", "exec", "d if y else d", "f'{d}'", "'['*9",
    ],
)  # fmt: skip
def test_hostile_expression_is_refused_and_not_run(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expression: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = spec(tmp_path, **{'J = "-(d - y)**2/2"': f'J = "{expression}"'})
    said = one_paragraph(*run("show", path))
    assert "objective" in said
    assert not (tmp_path / "pwned").exists()


def test_markup_in_a_message_is_printed_as_it_is(run: Run, tmp_path: Path) -> None:
    said = one_paragraph(*run("show", tmp_path / "[bold]x[/bold].toml"))
    assert "[bold]x[/bold].toml" in said


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["show", WZ3X5, "--schedule", "fast"], "schedule: expected one of auto, unrolled, tables"),
        (["bench", WZ3X5, "--schedule", "fast"], "schedule: expected one of"),
        (["generate", WZ3X5, "--schedule", "fast", "--into", "unused"], "schedule: expected"),
        (["show", WZ3X5, "--source", "--dtype", "int8"], "dtype: expected float64 or float32"),
        (["bench", WZ3X5, "--dtype", "float16"], "dtype: expected float64 or float32"),
        (["bench", "--threads", "100000"], "threads: expected numbers from 1 to"),
        (["bench", "--only", "nothing"], "no cell of the grid is named 'nothing'"),
        (["bench", "--against", "fortran"], "against: expected some of jax"),
        (["show", ROOT], "cannot be read"),
        (["generate", WZ3X5, "--no-build", "--into", ROOT / "README.md"], "README.md"),
        (["train", WZ3X5], "train"),
        (["cache", "clear", "zz"], "no cache entry begins with 'zz'"),
        (["cache", "why", "zz", "yy"], "no cache entry begins with 'zz'"),
        (["generate", "--all", "--into", "unused"], "manifest.json is missing"),
    ],
)
def test_bad_argument_is_one_paragraph_that_names_it(
    run: Run, arguments: list[Any], words: str
) -> None:
    assert words in one_paragraph(*run(*arguments))
    assert not Path("unused").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["shew", WZ3X5], "No such command 'shew'"),
        (["show"], "Missing argument 'SPEC'"),
        (["show", WZ3X5, "--latecks"], "No such option"),
        (["generate"], "give a spec file, or --check, or --all"),
        (["bench", WZ3X5, "--steps", 0], "at least 1"),
        (["bench", WZ3X5, "--sequences", 8, "--threads", 0], "--threads must be at least 1"),
        (["bench", WZ3X5, "--quick"], "--quick is for the grid; leave out the spec"),
        (["bench", "--steps", 5], "--steps is for a spec's kernel; give a spec file"),
        (["bench", WZ3X5, "--steps", "many"], "'many' is not a valid integer"),
    ],
)
def test_misused_command_says_how_it_is_used(run: Run, arguments: list[Any], words: str) -> None:
    code, out, err = run(*arguments)
    assert code == 2 and out == ""
    assert err.startswith("Usage: ") and words in err and "Traceback" not in err


@pytest.mark.parametrize("case", ["missing", "misspelt", "hostile", "schedule"])
def test_error_in_a_process_of_its_own_has_exit_status_2(tmp_path: Path, case: str) -> None:
    match case:
        case "missing":
            arguments = ["show", "nowhere.toml"]
        case "misspelt":
            arguments = ["show", spec(tmp_path, activation="activaton")]
        case "hostile":
            arguments = ["show", spec(tmp_path, tanh="__import__('os')")]
        case _:
            arguments = ["show", WZ3X5, "--schedule", "fast"]
    ran = in_process_of_its_own(*arguments)
    one_paragraph(ran.returncode, ran.stdout, ran.stderr)


def test_spec_of_ten_thousand_brackets_is_refused(run: Run, tmp_path: Path) -> None:
    deep = "(" * 10_000 + "d" + ")" * 10_000
    path = spec(tmp_path, **{'J = "-(d - y)**2/2"': f'J = "{deep}"'})
    assert "objective" in one_paragraph(*run("show", path))


# --- what commands do ---------------------------------------------------------------------------


def test_show_prints_the_derivation(run: Run) -> None:
    code, out, err = run("show", WZ3X5)
    assert (code, err) == (0, "")
    assert out.strip() == str(derive.differentiate(WZ3X5)).strip()
    assert "δ" in out and "ε" in out and "for t in" not in out


def test_show_prints_the_document(run: Run, tmp_path: Path) -> None:
    made = derive.document(WZ3X5, "truncated", h=2)
    chosen = ("show", WZ3X5, "--algorithm", "truncated", "-o", "h=2")
    assert run(*chosen, "--full") == (0, made.text(), "")
    assert run(*chosen, "--latex") == (0, made.latex(), "")
    assert run(*chosen, "--html") == (0, made.html(), "")
    code, out, _ = run(*chosen, "--out", tmp_path / "a.html")
    assert code == 0 and "wrote" in out
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == made.html()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--latex", "--html"], "--latex and --html: ask for one form"),
        (["--evidence"], "add --full, --latex, --html or --out FILE"),
        (["--html", "--source"], "the module is no part of a document"),
        (["--out", "a.pdf"], "saved as .txt, .tex, .html"),
        (["--out", "nowhere/a.html"], "nowhere/"),
    ],
)
def test_show_refuses_what_does_not_go_together(run: Run, asked: list[str], said: str) -> None:
    code, out, err = run("show", WZ3X5, *asked)
    assert (code, out) == (2, "") and said in err and "Traceback" not in err


def test_show_puts_the_evidence_into_the_document(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from derive.verify.report import Claim, Report

    claim = Claim("∂J/∂theta", "planted", 1.0, 0.5, False)

    def verified(net: Any, algorithm: Any, **options: Any) -> Report:
        return Report("wz3x5", str(algorithm), (claim,))

    monkeypatch.setattr("derive.verify.verify", verified)
    _, out, _ = run("show", WZ3X5, "--full", "--evidence")
    assert "1 of 1 claims FAIL." in out


def test_show_adds_what_it_is_asked_for(run: Run) -> None:
    _, out, _ = run("show", WZ3X5, "--latex")
    assert r"\delta" in out and out.startswith(r"\documentclass")
    assert out.rstrip().endswith(r"\end{document}")
    _, out, _ = run("show", WZ3X5, "--program", "--source")
    assert "for t" in out and "cdef void gradient_core(" in out and "δ" in out
    _, out, _ = run("show", WZ3X5, "--source", "--dtype", "float32", "--batch")
    assert 'np.dtype("float32")' in out and "#define LANES" in out


def test_generate_and_check(run: Run, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    code, out, _ = run("generate", WZ3X5, "--into", kept, "--no-build")
    assert code == 0 and out == f"emitted {kept / 'wz3x5.pyx'}\n"
    code, out, err = run("generate", "--check", "--into", kept)
    assert (code, out, err) == (0, f"{kept} is up to date\n", "")
    with (kept / "wz3x5.pyx").open("a") as file:
        file.write("\n")
    code, out, err = run("generate", "--check", "--into", kept)
    assert (code, out) == (1, "") and "wz3x5.pyx is not what" in err
    assert run("generate", "--all", "--into", kept)[:2] == (0, f"emitted {kept / 'wz3x5.pyx'}\n")
    assert run("generate", "--check", "--into", kept)[0] == 0


def test_bench_prints_a_time_for_each_function(run: Run) -> None:
    code, out, _ = run("bench", WZ3X5, "--steps", 20, "--runs", 3)
    assert code == 0
    assert re.search(r"forward.*\d µs.*\d ns", out) and re.search(r"gradient.*\d µs.*\d ns", out)
    assert "schedule unrolled" in out


def test_bench_without_a_spec_measures_cells_of_the_grid(run: Run, tmp_path: Path) -> None:
    asked = ("bench", "--quick", "--only", "plain-n3-*", "--against", "numpy", "--out", tmp_path)
    code, out, err = run(*asked)
    assert (code, err) == (0, "")
    assert re.search(r"plain-n3-\S+-gradient, 1: \S+ µs, \S+ times as fast as NumPy loop", out)
    for suffix in ("json", "md", "svg"):
        assert f"wrote {tmp_path / 'quick'}.{suffix}" in out
        assert "plain-n3" in (tmp_path / f"quick.{suffix}").read_text()
    code, out, _ = run(*asked)
    assert code == 0 and "times as fast" not in out  # it was there
    code, out, _ = run("bench", "--list", "--cells", "lstm", "--only", "n512-d1-B128")
    assert code == 0 and out.count("lstm-n512-d1-B128") == out.count("\n") == 4


def test_without_a_compiler_bench_warns_once_and_goes_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERIVE_NO_COMPILER", "1")
    code, out, err = run("bench", WZ3X5, "--steps", 3, "--runs", 1)
    assert code == 0 and "run on NumPy" in out
    assert err.startswith("warning: no C compiler") and err.count("\n") == 1


def test_verify_prints_every_claim_and_the_verdict(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.console, "_width", 160)
    code, out, _ = run("verify", WZ3X5)
    assert code == 0
    assert out.endswith("all claims hold\n") and "FAILS" not in out
    assert re.search(r"∂J/∂theta.*proof.*exact.*holds", out)
    assert re.search(r"∂J/∂theta.*differences.* \d\.?\d*e-\d\d .*holds", out)


def test_verify_of_a_planted_fault_fails_and_names_the_claim(run: Run) -> None:
    code, out, _ = run("verify", WZ3X5, "--plant", "transpose_weight", "--json")
    report = json.loads(out)
    assert code == 1 and not report["ok"]
    failed = {c["name"] for c in report["claims"] if not c["ok"]}
    assert any("∂J/∂theta" in name for name in failed)
    code, out, _ = run("verify", WZ3X5, "--plant", "transpose_weight")
    assert code == 1 and "FAILS" in out and out.endswith("a claim fails\n")


def test_demo_goes_from_equations_to_a_picture(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same job as in examples/, with less training; the spec of the current folder comes first.
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    path = tmp_path / "examples" / "sunspots.toml"
    text = path.read_text(encoding="utf-8")
    for usual, short in [("seeds = [0, 1, 2, 3] ", "seeds = [0]"), ("= 300", "= 3")]:
        assert usual in text
        text = text.replace(usual, short)
    path.write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.console, "_width", 160)
    code, out, err = run("demo", "--plot", "picture.png")
    assert code == 0 and "Traceback" not in err
    told = [
        "What is stated", "What follows", "δ", "The program", "lines of Cython", "Evidence",
        "holds", "Training", "persistence", "Weigend", "weights saved", "picture.png",
    ]  # fmt: skip
    places = [out.find(words) for words in told]
    assert -1 not in places and places == sorted(places), dict(zip(told, places, strict=True))
    assert "FAILS" not in out
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "sunspots_weights.npz").exists()


def test_demo_without_its_spec_says_where_to_run_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "derive" / "demo.py"))
    assert "examples/sunspots.toml" in one_paragraph(*run("demo"))


def test_unknown_fault_is_one_paragraph_that_names_those_there_are(run: Run) -> None:
    said = one_paragraph(*run("verify", WZ3X5, "--plant", "gremlin"))
    assert "'gremlin'" in said and "transpose_weight" in said


# --- the cache ----------------------------------------------------------------------------------


@pytest.fixture
def two_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """A cache of two entries that differ in their dtype; their digests."""
    place = tmp_path / "cache"
    place.mkdir(mode=0o700)
    monkeypatch.setenv("DERIVE_CACHE_DIR", str(place))

    def make(folder: Path) -> dict[str, Any]:
        (folder / "module").write_bytes(b"not a module")
        return {"module": "module"}

    digests = []
    for dtype in ("float64", "float32"):
        fields = {"name": "net", "algorithm": {"name": "epochwise"}, "dtype": dtype, "batch": False}
        digests.append(store.store(fields, make).digest)
    return digests[0], digests[1]


def test_cache_list_shows_every_entry(run: Run, two_entries: tuple[str, str]) -> None:
    code, out, _ = run("cache", "list")
    assert code == 0
    for digest in two_entries:
        assert digest[:12] in out
    assert "float32" in out and "float64" in out and str(store.root()) in out


def test_cache_why_names_the_field_that_differs(run: Run, two_entries: tuple[str, str]) -> None:
    code, out, _ = run("cache", "why", *(d[:12] for d in two_entries))
    assert code == 0
    assert re.search(r"dtype.*float64.*float32", out)
    assert "algorithm" not in out and "batch" not in out


def test_cache_clear_removes_one_or_all(run: Run, two_entries: tuple[str, str]) -> None:
    assert run("cache", "clear", two_entries[0][:12])[:2] == (0, "1 removed\n")
    assert [e.digest for e in store.entries()] == [two_entries[1]]
    assert run("cache", "clear")[:2] == (0, "1 removed\n")
    assert store.entries() == []


def test_cache_that_others_can_write_to_is_one_paragraph(
    run: Run, two_entries: tuple[str, str]
) -> None:
    store.root().chmod(0o777)
    assert "cache" in one_paragraph(*run("bench", WZ3X5, "--runs", 1))


def test_pipe_that_closes_early_leaves_no_traceback() -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "derive", "show", str(WZ3X5), "--source"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None and running.stderr is not None
    running.stdout.close()
    assert b"Traceback" not in running.stderr.read()
    running.wait(timeout=60)
    running.stderr.close()
