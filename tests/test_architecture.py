"""The house rules that a program can read: imports go one way, and no calculus is written by hand.

Each rule is a function from source text to complaints, so that a planted fault shows that the rule
can fail.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from derive.network.library import ACTIVATIONS, LIBRARY

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "derive"

# Left to right as the data flows. What stands on one line does not know of one another.
PIPELINE = (
    ("errors", "version", "files"),
    ("blocks", "functions", "options", "threads"),
    ("network",),
    ("calculus",),
    ("program",),
    ("emit",),
    ("build", "interpreted", "costate"),
    ("online", "explain"),
    ("settling",),
    ("kernel",),
    ("timeseries", "generate", "pictures"),
    ("verify", "train", "bridges"),
    ("claims", "gradient_check", "document", "bench"),
    ("display",),
    ("demo",),
    ("cli",),
    ("__main__",),
)
PLACE = {name: place for place, names in enumerate(PIPELINE) for name in names}


# --- imports go one way ----------------------------------------------------------------------


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import: at the top, in functions, under TYPE_CHECKING."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom():
                above = package[: len(package) - node.level + 1] if node.level else ()
                base = ".".join((*above, *([node.module] if node.module else ())))
                if base == "derive":  # the module is the name: from derive import functions
                    yield from ((node.lineno, f"derive.{alias.name}") for alias in node.names)
                else:
                    yield node.lineno, base
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def wrong_way(source: str, path: str) -> list[str]:
    """Complaints about imports in the file ``path``, relative to the package's parent."""
    parts = Path(path).with_suffix("").parts
    here = parts[1]
    if here not in PLACE:
        return [f"{path}: {here!r} has no place in the pipeline; give it one in {__name__}"]
    complaints = []
    for line, name in imported(ast.parse(source), parts[:-1]):
        top, *rest = name.split(".")
        if top != "derive":
            continue
        there = rest[0] if rest else ""
        if there not in PLACE:
            complaints.append(f"{path}:{line}: imports {name}; import it from where it lives")
        elif there != here and PLACE[there] >= PLACE[here]:
            complaints.append(f"{path}:{line}: {here} imports {name}, which is not to its left")
    return complaints


def sources(*folders: str) -> list[Path]:
    """The package's modules, or those of some of its folders; without the public face."""
    found = [p for f in folders or (".",) for p in sorted((PACKAGE / f).rglob("*.py"))]
    return [p for p in found if p != PACKAGE / "__init__.py"]


def complaints_of(rule: Callable[[str, str], list[str]], paths: Iterable[Path]) -> str:
    """All complaints about some files, one a line."""
    return "\n".join(
        complaint
        for p in paths
        for complaint in rule(p.read_text(encoding="utf-8"), p.relative_to(ROOT).as_posix())
    )


def test_a_package_imports_only_from_those_to_its_left() -> None:
    assert complaints_of(wrong_way, sources()) == ""


def test_every_stage_has_a_module_to_look_at() -> None:
    """Else the rule above would hold for an empty folder."""
    found = {p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in sources()}
    assert {"network", "calculus", "program", "emit", "kernel"} <= found


@pytest.mark.parametrize(
    ("path", "source", "line"),
    [
        ("derive/network/cell.py", "import derive.calculus.partials", 1),
        ("derive/network/cell.py", "from derive.program.ir import Program", 1),
        ("derive/network/cell.py", "from derive import calculus", 1),
        ("derive/network/cell.py", "def f():\n    from derive.emit import frame", 2),
        ("derive/network/cell.py", "from ..emit import frame", 1),
        ("derive/program/passes/fold.py", "from ...emit.frame import C_TYPES", 1),
        ("derive/network/cell.py", "if TYPE_CHECKING:\n    from derive.kernel import Kernel", 2),
        ("derive/emit/frame.py", "import os\nfrom importlib import import_module\n"
         "import_module('derive.build.cache')", 3),
        ("derive/verify/proof.py", "from derive.train import fit", 1),
        ("derive/train.py", "from derive.verify import proof", 1),
        ("derive/kernel.py", "from derive import Network", 1),
        ("derive/kernel.py", "import derive", 1),
    ],
)  # fmt: skip
def test_a_planted_import_to_the_right_is_named_with_its_line(
    path: str, source: str, line: int
) -> None:
    (complaint,) = wrong_way(source, path)
    assert complaint.startswith(f"{path}:{line}: ")


def test_imports_to_the_left_and_within_a_package_are_let_through() -> None:
    source = (
        "import os, sympy\nfrom derive import functions\nfrom derive.errors import EmitError\n"
        "from derive.emit.expressions import expression\nfrom .frame import C_TYPES\n"
    )
    assert not wrong_way(source, "derive/emit/cython.py")


def test_a_module_without_a_place_is_named() -> None:
    (complaint,) = wrong_way("", "derive/utils.py")
    assert "'utils' has no place" in complaint


# --- derived, never transcribed --------------------------------------------------------------


def stated_texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """String constants that are not docstrings or other remarks."""
    remarks = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in remarks:
                yield node


def words(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every identifier and every stated string."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.alias(name=word):
                yield node.lineno, word.rpartition(".")[2]
            case ast.FunctionDef(name=word) | ast.ClassDef(name=word) | ast.arg(arg=word):
                yield node.lineno, word
    yield from ((c.lineno, c.value) for c in stated_texts(tree))


def factors(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BinOp(left, ast.Mult(), right):
            return [*factors(left), *factors(right)]
    return [node]


def is_slope(node: ast.AST) -> bool:
    """Whether this is 1 − a², or a product with a·(1 − a): tanh′ and logistic′ in terms of a."""
    match node:
        case ast.BinOp(ast.Constant(value=1), ast.Sub(), ast.BinOp(_, ast.Pow(), power)):
            return isinstance(power, ast.Constant) and power.value == 2
        case ast.BinOp(ast.Constant(value=1), ast.Sub(), ast.BinOp(a, ast.Mult(), b)):
            return ast.dump(a) == ast.dump(b)
        case ast.BinOp(_, ast.Mult(), _):
            parts = factors(node)
            dumps = {ast.dump(p) for p in parts}
            return any(
                isinstance(p, ast.BinOp)
                and isinstance(p.op, ast.Sub)
                and isinstance(p.left, ast.Constant)
                and p.left.value == 1
                and ast.dump(p.right) in dumps
                for p in parts
            )
    return False


def typed_slopes(source: str, path: str) -> list[str]:
    """Complaints about an activation's derivative, in code or in a string of code."""
    tree = ast.parse(source)
    read: list[tuple[int, ast.AST]] = [(0, tree)]
    for text in stated_texts(tree):
        try:
            read.append((text.lineno, ast.parse(text.value.strip(), mode="eval")))
        except (SyntaxError, ValueError):
            continue
    return [
        f"{path}:{line or getattr(node, 'lineno', 0)}: {ast.unparse(node)} is a derivative typed "
        "by hand"
        for line, part in read
        for node in ast.walk(part)
        if is_slope(node)
    ]


def named(source: str, path: str, forbidden: Iterable[str]) -> list[str]:
    """Complaints about names that a general stage must not know."""
    forbidden = set(forbidden)
    return [
        f"{path}:{line}: names {word!r}; here nothing may depend on one cell or activation"
        for line, word in words(ast.parse(source))
        if word in forbidden
    ]


ACTIVATION_NAMES = {*ACTIVATIONS, "sech", "fdiff"} - {"identity"}
# The interpreter says what a function's *value* is in each arithmetic, and so names them.
NAMES_FUNCTIONS = {"derive/program/interpret.py"}


def test_calculus_and_program_contain_no_derivative_of_an_activation() -> None:
    assert complaints_of(typed_slopes, sources("calculus", "program")) == ""


def mentioned(source: str, path: str, forbidden: Iterable[str]) -> list[str]:
    """Complaints about identifiers, and about words anywhere in a stated string."""
    wanted = set(forbidden)
    return [
        f"{path}:{line}: names {word!r}; only the library and the bridges know its cells"
        for line, text in words(ast.parse(source))
        for word in re.findall(r"\w+", text)
        if word in wanted
    ]


# A spec to begin with has to name some cell.
KNOW_CELLS = (
    "derive/network/library/", "derive/bridges/", "derive/network/starter.py", "derive/bench/",
    "derive/cli.py",
)  # fmt: skip


def test_only_the_library_and_the_bridges_name_its_cells() -> None:
    assert {"lstm", "gru", "ctrnn", "leaky"} <= set(LIBRARY)

    def rule(source: str, path: str) -> list[str]:
        return [] if path.startswith(KNOW_CELLS) else mentioned(source, path, LIBRARY)

    assert complaints_of(rule, sources()) == ""


@pytest.mark.parametrize(
    "source",
    [
        "from derive.network.library import lstm",
        "if cell.name == 'gru':\n    pass",
        "def lru_step(c):\n    return c.lru",
        "names = 'ctrnn or any other'",
        "import derive\nnet = derive.cells.mgu()",
    ],
)
def test_a_planted_file_that_knows_a_cell_is_named(source: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(source, encoding="utf-8")
    (complaint,) = mentioned(planted.read_text(encoding="utf-8"), "derive/emit/planted.py", LIBRARY)
    assert complaint.startswith("derive/emit/planted.py:")


def test_a_docstring_and_a_longer_word_name_no_cell() -> None:
    source = "'''As in an lstm.'''\nleaky_bucket, x = 'leakyrelu', congruent\n"
    assert not mentioned(source, "derive/emit/planted.py", LIBRARY)


def test_only_the_interpreter_names_activations() -> None:
    def rule(source: str, path: str) -> list[str]:
        return [] if path in NAMES_FUNCTIONS else named(source, path, ACTIVATION_NAMES)

    assert complaints_of(rule, sources("calculus", "program")) == ""


@pytest.mark.parametrize(
    "source",
    [
        "d = 1 - y**2",
        "d = e*(1 - y*y)",
        "d = y*(1 - y)",
        "d = (1 - y)*y*e",
        "def f(z):\n    return z.y*e*(1 - z.y)",
        "code = 'eps*(1 - y**2)'",
        "table = {'logistic': 'v*(1 - v)'}",
    ],
)
def test_a_planted_derivative_is_found(source: str) -> None:
    (complaint, *_) = typed_slopes(source, "derive/calculus/planted.py")
    assert "typed by hand" in complaint


@pytest.mark.parametrize("source", ["d = 1 - y", "d = y*(1 - x)", "'''1 - y**2'''", "d = 2 - y**2"])
def test_other_arithmetic_and_docstrings_are_no_derivatives(source: str) -> None:
    assert not typed_slopes(source, "derive/calculus/planted.py")


@pytest.mark.parametrize(
    "source",
    [
        "from derive.network.library import leaky",
        "import sympy\nf = sympy.tanh",
        "if cell.name == 'semilinear':\n    pass",
    ],
)
def test_a_planted_cell_or_activation_is_named(source: str) -> None:
    assert named(source, "derive/program/planted.py", {*LIBRARY, *ACTIVATION_NAMES})


# --- what an import costs --------------------------------------------------------------------

HEAVY = ("sympy", "scipy", "matplotlib", "Cython", "setuptools", "torch", "jax")


def loaded_by(statement: str) -> set[str]:
    """Which heavy packages a fresh interpreter has after a statement."""
    program = f"import sys\n{statement}\nprint(*({{*{HEAVY!r}, 'numpy'}} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(run.stdout.split())


def test_importing_derive_imports_no_array_or_algebra_package() -> None:
    assert loaded_by("import derive") == set()


def test_a_network_is_read_without_importing_sympy() -> None:
    spec = {
        "spec": "derive/1",
        "name": "tiny",
        "cell": {"library": "semilinear", "activation": "tanh"},
        "network": {"units": 2, "inputs": 1, "connections": "full"},
        "objective": {"J": "-(d - y)**2/2", "targets": [1]},
    }
    assert loaded_by(f"import derive\nderive.Network.load({spec!r}).digest") == {"numpy"}


def test_the_import_check_sees_an_import() -> None:
    assert "sympy" in loaded_by("import sympy")
