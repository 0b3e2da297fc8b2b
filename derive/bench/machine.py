"""What a figure depends on: processor, compiler, versions. No names of hosts, users or folders."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from derive.build.toolchain import find_toolchain, profile
from derive.version import __version__

PACKAGES = ("cython", "numpy", "sympy", "jax", "jaxlib", "torch", "numba")


def machine() -> dict[str, Any]:
    """A description of this machine as plain data; the same as long as the machine is."""
    toolchain = find_toolchain()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "instructions": _widest(toolchain.cpu if toolchain else ()),
        "system": f"{platform.system()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()).strip(),
        "python": platform.python_version(),
        "compiler": toolchain.version if toolchain else "none",
        "flags": list(profile("local").compile),
        "derive": __version__,
        **{name: _version(name) for name in PACKAGES},
    }


def load() -> float | None:
    """Processes that wanted to run in the last minute, where that is known."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _widest(features: tuple[str, ...]) -> str:
    for name in ("avx512f", "avx2", "avx", "sse2", "asimd"):
        if name in features:
            return name
    return "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
