"""What a report was made with, and the command that makes it again."""

from __future__ import annotations

import json
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from derive.version import __version__

PACKAGES = ("sympy", "mpmath", "numpy", "cython")
"""Whose versions can make a difference to a claim."""


def environment() -> dict[str, str]:
    """Versions, compiler, platform and processor, as text.

    Returns
    -------
    dict of str to str
        ``derive``, ``python``, ``sympy``, ``mpmath``, ``numpy``, ``cython``, ``compiler``,
        ``platform`` and ``processor``. What cannot be told is said so; nothing names the machine,
        its user or a folder.
    """
    from derive.build.toolchain import find_toolchain, toolchain_problem

    toolchain = find_toolchain()
    return {
        "derive": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: _version(name) for name in PACKAGES},
        "compiler": toolchain.version if toolchain else f"none: {toolchain_problem()}",
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}".strip(),
        "processor": processor(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The processor's name, or the kind of machine where nothing tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() in ("model name", "Model", "cpu model") and value.strip():
                    return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def command(
    target: Any,
    algorithm: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    dtype: str = "float64",
    schedule: str = "auto",
    plant: str | None = None,
    trust: bool = False,
    only: Sequence[str] | None = None,
) -> str:
    """The command line that verifies the same again.

    Parameters
    ----------
    target : path or Network
        A spec, a module, or a network: then ``NAME.toml``, as ``net.save`` writes it.
    algorithm : mapping, optional
        Settled, with its options; a module says its own.
    """
    name = os.fspath(target) if isinstance(target, (str, os.PathLike)) else f"{target.name}.toml"
    words = ["derive", "verify", Path(name).as_posix() if os.sep != "/" else str(name)]
    for key, value in (algorithm or {}).items():
        words += ["--algorithm", value] if key == "name" else ["-o", f"{key}={json.dumps(value)}"]
    words += ["--dtype", dtype] if dtype != "float64" else []
    words += ["--schedule", schedule] if schedule != "auto" else []
    words += ["--seed", str(seed)]
    words += ["--plant", plant] if plant is not None else []
    words += ["--trust"] if trust else []
    words += [word for rung in only or () for word in ("--only", rung)]
    return shlex.join(words)
