"""Names a person may give: they end up as identifiers in emitted code."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from derive.errors import NetworkError

C_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while bool true false class delete new private protected public "
    "template this throw try catch using virtual operator namespace friend export explicit mutable "
    "typename wchar_t and or not xor constexpr nullptr alignas alignof bitand bitor compl decltype "
    "noexcept static_assert thread_local concept requires co_await co_return co_yield and_eq or_eq "
    "xor_eq not_eq asm type main errno NULL real lane".split()
)
CYTHON_KEYWORDS = frozenset(
    "cdef cpdef ctypedef cimport nogil gil readonly api fused include DEF IF ELIF ELSE by "
    "cppclass noexcept bint object".split()
)
FUNCTION_NAMES = frozenset(
    "exp log sqrt tanh sinh cosh sin cos tan atan asin acos asinh acosh atanh erf abs Abs Max Min "
    "max min sign logistic sigmoid softplus relu step where pi E".split()
)
LONGEST = 64


def validate_identifier(name: object, what: str) -> str:
    """``name`` if it can be an identifier in Python, C and Cython.

    Raises
    ------
    NetworkError
        Naming it and what would be right.
    """
    if not isinstance(name, str):
        raise NetworkError(f"{what}: expected a name, got {name!r}")
    if len(name) > LONGEST:
        raise NetworkError(f"{what} {name[:20]!r}…: longer than {LONGEST} characters")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise NetworkError(
            f"{what} {name!r}: use ASCII letters, digits and underscores, starting with a letter"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise NetworkError(f"{what} {name!r} is a keyword of Python; choose another name")
    if name in C_KEYWORDS or name in CYTHON_KEYWORDS:
        raise NetworkError(f"{what} {name!r} is a keyword of C or Cython; choose another name")
    if name in FUNCTION_NAMES:
        raise NetworkError(f"{what} {name!r} is the name of a function; choose another name")
    return name


def check_collisions(names: Iterable[str]) -> None:
    """Refuse names that would be one name after mangling, or on a file system without case."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise NetworkError(f"names {other!r} and {name!r} differ only by case; rename one")
