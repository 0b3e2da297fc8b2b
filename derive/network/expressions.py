"""Read an expression from text that may come from a stranger: nothing in it is evaluated.

Python's parser makes the tree; a whitelist says which nodes may stand in it. SymPy is imported
only when an expression is turned into one.
"""

from __future__ import annotations

import ast
import difflib
import math
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from derive.errors import NetworkError
from derive.network.bounds import LARGEST_EXPONENT, bounded, check_arguments, value_of

if TYPE_CHECKING:
    import sympy

LONGEST = 20_000
DEEPEST = 100

ARITY = {
    **dict.fromkeys(
        ("exp", "log", "sqrt", "tanh", "sinh", "cosh", "sin", "cos", "tan", "atan", "asin", "acos",
         "asinh", "acosh", "atanh", "erf", "abs", "sign", "logistic", "softplus", "relu", "step"),
        1,
    ),
    "max": 2,
    "min": 2,
    "where": 3,
}  # fmt: skip
ALIASES = {"sigmoid": "logistic", "Abs": "abs", "Max": "max", "Min": "min"}
CONSTANTS = {"pi": math.pi, "E": math.e}
OPERATORS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
COMPARISONS = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
LONGEST_NUMBER = 400

Tree = tuple[Any, ...]


@dataclass(frozen=True)
class Expression:
    """An expression as plain data: its canonical text, the names in it, and its tree."""

    text: str
    names: tuple[str, ...]
    tree: Tree

    def to_sympy(self, symbols: Mapping[str, sympy.Symbol]) -> sympy.Expr:
        """The expression in SymPy; a decimal such as 0.1 becomes the exact fraction 1/10."""
        try:
            return _to_sympy(self.tree, symbols)
        except NetworkError:
            raise
        except RecursionError:
            raise NetworkError("an expression is nested too deeply; name parts of it") from None
        except (TypeError, ValueError, ArithmeticError) as error:
            # SymPy's own refusal, such as to compare what has become a complex number.
            raise NetworkError(f"an expression cannot be built: {str(error)[:80]}") from None


def parse(text: object, names: Collection[str], where: str) -> Expression:
    """Read ``text``, in which only ``names`` and the whitelisted functions may stand.

    Raises
    ------
    NetworkError
        One sentence that starts with ``where`` and names the culprit.
    """
    if not isinstance(text, str):
        raise NetworkError(f"{where}: expected an expression as text, got {text!r}")
    if len(text) > LONGEST:
        raise NetworkError(f"{where}: longer than {LONGEST} characters")
    if not text.strip():
        raise NetworkError(f"{where}: the expression is empty")
    for column, c in enumerate(text, 1):
        if not c.isascii():  # Python would take a look-alike such as a full-width y for y
            raise NetworkError(f"{where}: column {column}: {c!r} (U+{ord(c):04X}) is not ASCII")
    if _nesting(text) > DEEPEST:
        raise NetworkError(f"{where}: nested more than {DEEPEST} deep; name parts of it")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = re.sub(r"\s", " ", text).strip()  # one line, so that a column is a place in it
            node = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        at = f" at column {error.offset}" if error.offset else ""
        raise NetworkError(f"{where}: not an expression{at}: {error.msg}") from None
    except (RecursionError, MemoryError, ValueError):
        raise NetworkError(f"{where}: not an expression that can be read") from None
    try:
        tree = _Reader(names, where, text).read(node, 0)
        return Expression(_text(tree)[0], tuple(sorted(_names(tree))), tree)
    except RecursionError:
        raise NetworkError(f"{where}: nested too deeply; name parts of it") from None


def _nesting(text: str) -> int:
    depth = deepest = 0
    for c in text:
        depth += (c in "([{") - (c in ")]}")
        deepest = max(deepest, depth)
    return deepest


@dataclass(frozen=True)
class _Reader:
    names: Collection[str]
    where: str
    text: str

    def fail(self, node: ast.AST, what: str) -> NetworkError:
        column = getattr(node, "col_offset", 0) + 1
        return NetworkError(f"{self.where}: column {column}: {what}")

    def read(self, node: ast.expr, depth: int) -> Tree:
        if depth > DEEPEST * 4:
            raise self.fail(node, "nested too deeply; name parts of it")
        match node:
            case ast.Constant(value=bool() | str() | bytes() | complex() | None):
                raise self.fail(node, f"{node.value!r} is not a real number")
            case ast.Constant(value=int() | float() as value):
                if not abs(value) <= 1e300:
                    raise self.fail(node, "the number is too large")
                return ("number", self.number(node, value))
            case ast.Name(id=name):
                return self.name(node, name)
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return ("-", self.read(inner, depth + 1))
            case ast.UnaryOp(op=ast.UAdd(), operand=inner):
                return self.read(inner, depth + 1)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
                a, b = self.read(left, depth + 1), self.read(right, depth + 1)
                if isinstance(op, ast.Pow):
                    self.exponent(right, b)
                return (OPERATORS[type(op)], a, b)
            case ast.Call():
                return self.call(node, depth)
        raise self.fail(
            node,
            f"{type(node).__name__} is not allowed; an expression has numbers, names, + - * / ** "
            "and functions",
        )

    def number(self, node: ast.expr, value: float) -> str:
        """One spelling of a number, exact also where the nearest float64 is not what is written."""
        written = self.text[node.col_offset : node.end_col_offset]
        if not re.fullmatch(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", written):
            return repr(value)  # 0x10, 1_000
        if len(written) > LONGEST_NUMBER:
            raise self.fail(node, f"a number of more than {LONGEST_NUMBER} digits; round it")
        if value == 0 and re.match(r"[0.]*[1-9]", written):
            raise self.fail(node, f"{written} is beyond the numbers of float64")
        return repr(value) if Fraction(written) == Fraction(repr(value)) else written

    def exponent(self, node: ast.expr, tree: Tree) -> None:
        try:
            value = value_of(tree)
        except NetworkError as error:
            raise self.fail(node, str(error)) from None
        if value is None or abs(value) <= LARGEST_EXPONENT:
            return
        raise self.fail(node, f"an exponent must be a number of at most {LARGEST_EXPONENT}")

    def name(self, node: ast.expr, name: str) -> Tree:
        if name in self.names:
            return ("name", name)
        if name in CONSTANTS:
            return ("constant", name)
        if name in ARITY or name in ALIASES:
            raise self.fail(node, f"{name} is a function; write {name}(…)")
        close = difflib.get_close_matches(name, [*self.names, *CONSTANTS], n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(self.names)}"
        raise self.fail(node, f"undefined symbol {name!r}; {hint}")

    def call(self, node: ast.Call, depth: int) -> Tree:
        if not isinstance(node.func, ast.Name):
            raise self.fail(node, "only a function's name can be called")
        name = ALIASES.get(node.func.id, node.func.id)
        if node.func.id in self.names:
            raise self.fail(
                node,
                f"{node.func.id}(…) mentions {node.func.id} at a time of its own, perhaps a later "
                f"one; write {node.func.id} for its value at this step",
            )
        if name not in ARITY:
            close = difflib.get_close_matches(name, [*ARITY, *ALIASES], n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(ARITY)}"
            raise self.fail(node, f"unknown function {name!r}; {hint}")
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            raise self.fail(node, f"{name} takes plain arguments")
        if len(node.args) != ARITY[name]:
            raise self.fail(node, f"{name} takes {ARITY[name]} argument(s), got {len(node.args)}")
        if name == "where":
            test, *values = node.args
            return (name, self.condition(test, depth), *(self.read(v, depth + 1) for v in values))
        return (name, *(self.read(a, depth + 1) for a in node.args))

    def condition(self, node: ast.expr, depth: int) -> Tree:
        match node:
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in COMPARISONS:
                return (
                    COMPARISONS[type(op)],
                    self.read(left, depth + 1),
                    self.read(right, depth + 1),
                )
        raise self.fail(node, "where(…) needs one comparison first, such as s > 0")


def _names(tree: Tree) -> set[str]:
    if tree[0] == "name":
        return {tree[1]}
    if tree[0] in ("number", "constant"):
        return set()
    return set().union(*(_names(t) for t in tree[1:]))


STRENGTH = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}


def _text(tree: Tree) -> tuple[str, int]:
    kind = tree[0]
    if kind in ("number", "name", "constant"):
        return tree[1], 5
    if kind == "-" and len(tree) == 2:
        return f"-{_at(tree[1], 3)}", 1
    if kind in STRENGTH:
        s = STRENGTH[kind]
        if kind == "**":
            return f"{_at(tree[1], 5)}**{_at(tree[2], 5)}", s
        space = "" if s > 1 else " "
        return f"{_at(tree[1], s)}{space}{kind}{space}{_at(tree[2], s + 1)}", s
    if kind in COMPARISONS.values():
        return f"{_text(tree[1])[0]} {kind} {_text(tree[2])[0]}", 0
    return f"{kind}({', '.join(_text(t)[0] for t in tree[1:])})", 5


def _at(tree: Tree, least: int) -> str:
    text, strength = _text(tree)
    return text if strength >= least else f"({text})"


def _to_sympy(tree: Tree, symbols: Mapping[str, sympy.Symbol]) -> Any:
    import sympy

    kind = tree[0]
    if kind == "number":
        return sympy.Rational(tree[1])
    if kind == "name":
        return symbols[tree[1]]
    if kind == "constant":
        return {"pi": sympy.pi, "E": sympy.E}[tree[1]]
    args = [_to_sympy(t, symbols) for t in tree[1:]]
    check_arguments(kind, args)
    return bounded(_applied(kind, args))


def _applied(kind: str, args: list[Any]) -> Any:
    import sympy

    from derive import functions

    if kind == "-" and len(args) == 1:
        return -args[0]
    match kind:
        case "+":
            return args[0] + args[1]
        case "-":
            return args[0] - args[1]
        case "*":
            return args[0] * args[1]
        case "/":
            if args[1] == 0:
                raise NetworkError("an expression divides by zero")
            return args[0] / args[1]
        case "**":
            return args[0] ** args[1]
        case "where":
            return sympy.Piecewise((args[1], args[0]), (args[2], True))
    relations: dict[str, Any] = {
        "<": sympy.Lt, "<=": sympy.Le, ">": sympy.Gt, ">=": sympy.Ge,
        "==": sympy.Eq, "!=": sympy.Ne,
    }  # fmt: skip
    name = str(kind)
    if name in relations:
        return relations[name](*args)
    if name in ("logistic", "softplus", "relu", "step"):
        return getattr(functions, name)(*args)
    return getattr(sympy, {"abs": "Abs", "max": "Max", "min": "Min"}.get(name, name))(*args)


def to_text(expr: sympy.Expr) -> str:
    """A SymPy expression in this language.

    Raises
    ------
    NetworkError
        For what the language lacks.
    """
    return _text(_from_sympy(expr))[0]


def _from_sympy(e: Any) -> Tree:
    import sympy

    if e.is_Symbol:
        return ("name", e.name)
    if e.is_Integer:
        return ("number", str(e)) if e >= 0 else ("-", ("number", str(-e)))
    if e.is_Rational:
        top, bottom = _from_sympy(sympy.Integer(e.p)), ("number", str(e.q))
        return ("/", top, bottom)
    if e.is_Float:
        exact = sympy.Rational(repr(float(e)))
        return _from_sympy(exact)
    if e in (sympy.pi, sympy.E):
        return ("constant", str(e))
    if e.is_Add:
        terms = e.as_ordered_terms()
        tree = _from_sympy(terms[0])
        for term in terms[1:]:
            minus = term.could_extract_minus_sign()
            tree = ("-" if minus else "+", tree, _from_sympy(-term if minus else term))
        return tree
    if e.is_Mul:
        top, bottom = e.as_numer_denom()
        if bottom != 1:
            return ("/", _from_sympy(top), _from_sympy(bottom))
        if e.could_extract_minus_sign():
            return ("-", _from_sympy(-e))
        factors = [_from_sympy(f) for f in e.as_ordered_factors()]
        tree = factors[0]
        for f in factors[1:]:
            tree = ("*", tree, f)
        return tree
    if e.is_Pow:
        if e.exp == sympy.Rational(1, 2):
            return ("sqrt", _from_sympy(e.base))
        if e.exp.is_Rational and e.exp < 0:
            return ("/", ("number", "1"), _from_sympy(sympy.Pow(e.base, -e.exp)))
        return ("**", _from_sympy(e.base), _from_sympy(e.exp))
    if isinstance(e, sympy.Piecewise):
        (value, condition), *rest = e.args
        if condition == sympy.true:
            return _from_sympy(value)
        if not hasattr(condition, "rel_op"):
            raise NetworkError(f"the condition {condition} cannot be written as one comparison")
        return (
            "where",
            (condition.rel_op, *(_from_sympy(a) for a in condition.args)),
            _from_sympy(value),
            _from_sympy(sympy.Piecewise(*rest)),
        )
    name = {"Abs": "abs", "Max": "max", "Min": "min"}.get(type(e).__name__, type(e).__name__)
    if name in ARITY and (name in ("max", "min") or len(e.args) == ARITY[name]):
        tree = _from_sympy(e.args[0])
        if len(e.args) == 1:
            return (name, tree)
        for a in e.args[1:]:
            tree = (name, tree, _from_sympy(a))
        return tree
    raise NetworkError(
        f"{type(e).__name__} cannot be written in a spec; there are {', '.join(ARITY)}"
    )
