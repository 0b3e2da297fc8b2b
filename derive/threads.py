"""How many threads share the work of a call: the number as given, checked, or the environment's.

One unless asked for, because callers have threads of their own: a pool that calls kernels would
otherwise have the square of the processors' number at work.
"""

from __future__ import annotations

import operator
import os
from typing import Any

from derive.errors import DeriveError

VARIABLE = "DERIVE_THREADS"


def checked_threads(threads: Any) -> int:
    """The number of threads, as an int.

    Raises
    ------
    TypeError, ValueError
        If it is not a whole number of at least 1.
    """
    try:
        if isinstance(threads, bool):
            raise TypeError
        wanted = operator.index(threads)
    except TypeError:
        raise TypeError(
            f"threads: expected a whole number of at least 1, got {threads!r}"
        ) from None
    if wanted < 1:
        raise ValueError(f"threads: expected a whole number of at least 1, got {threads!r}")
    return wanted


def default_threads() -> int:
    """``$DERIVE_THREADS``, or 1.

    Raises
    ------
    DeriveError
        If the variable is set and is not a whole number of at least 1.
    """
    said = os.environ.get(VARIABLE, "").strip()
    if not said:
        return 1
    if not (said.isascii() and said.isdigit() and int(said) > 0):
        raise DeriveError(f"{VARIABLE}: expected a whole number of at least 1, got {said!r}")
    return int(said)


def sharing(kernel: Any, threads: Any = None) -> dict[str, Any]:
    """How many threads share the work, as a keyword of the functions of a kernel's module.

    Nothing where they take none: one sequence of a small net is for one thread, and a settling
    batch relaxes in lockstep. The number is checked all the same, here or by the module.
    """
    wanted = kernel.threads if threads is None else threads
    if getattr(kernel.module, "SHARED", False):
        return {"threads": wanted}
    checked_threads(wanted)
    return {}
