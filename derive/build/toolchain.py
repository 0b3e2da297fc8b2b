"""Which compiler, with which flags; and the compilation of one module out of process.

Out of process because Cython is large, keeps state, and may fail or crash in ways that must not
reach the user's session: what comes back is a finished module or one :class:`BuildError`.
"""

from __future__ import annotations

import atexit
import difflib
import json
import keyword
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from derive.errors import BuildError

WINDOWS = os.name == "nt"
JOB = Path(__file__).with_name("compile_job.py")

# Neither changes a value: the first lets sqrt and its kind be instructions, since nobody reads
# errno; the second lets both sides of a choice be computed, since nobody traps on the flags.
# -ffast-math, which does change values and what becomes of NaN, is in no profile.
_QUIET = ("-fno-math-errno", "-fno-trapping-math")


@dataclass(frozen=True)
class Profile:
    """Compiler flags with one promise.

    Attributes
    ----------
    name : str
    compile, link : tuple of str
        Flags.
    native : bool
        Whether the binary may use whatever this machine's processor has, and so runs only on
        machines that have it too.
    """

    name: str
    compile: tuple[str, ...]
    link: tuple[str, ...]
    native: bool = False

    @property
    def register(self) -> int:
        """Bytes of a vector register that its binaries use."""
        return register_bytes() if self.native else REGISTERS[""]


def profiles() -> dict[str, Profile]:
    """All profiles, by name.

    ``local`` is for this machine only and may fuse multiplication and addition; ``portable`` is
    what ``setup.py`` uses; ``reproducible`` fuses nothing, so that results are equal bit by bit
    across schedules and machines.
    """
    if WINDOWS:
        msvc = ("/O2", "/fp:precise")
        return {name: Profile(name, msvc, ()) for name in ("local", "portable", "reproducible")}
    native = "-mcpu=native" if platform.machine() in ("arm64", "aarch64") else "-march=native"
    wide: list[str] = ["-mprefer-vector-width=512"] if "avx512f" in cpu_features() else []
    if has_vector_math():
        wide.append("-DK_VECTOR_MATH")
    # Batch kernels start threads; older C libraries keep these in a library of their own.
    link = ("-lm", "-pthread")
    made = (
        Profile("local", ("-O3", native, *wide, "-ffp-contract=fast", *_QUIET), link, native=True),
        Profile("portable", ("-O3", *_QUIET), link),
        Profile("reproducible", ("-O3", "-ffp-contract=off", *_QUIET), link),
    )
    return {p.name: p for p in made}


def has_vector_math() -> bool:
    """Whether the C library has exp, tanh and their kind on vectors: glibc from 2.35, x86-64."""
    library, version = platform.libc_ver()
    numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
    return library == "glibc" and numbers >= [2, 35] and platform.machine() == "x86_64"


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises
    ------
    BuildError
        If there is none; the nearest name is suggested.
    """
    known = profiles()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise BuildError(f"profile: expected one of {', '.join(known)}, got {name!r}{hint}")


@dataclass(frozen=True)
class Toolchain:
    """What turns text into a binary here.

    Attributes
    ----------
    compiler : tuple of str
        The command, with the flags that came with it.
    version : str
        The first line the compiler says about itself.
    cython, python, platform : str
        Version, tag of the extension modules, and kind of machine.
    cpu : tuple of str
        The processor's features.
    include : str
        Folder of ``Python.h``.
    """

    compiler: tuple[str, ...]
    version: str
    cython: str
    python: str
    platform: str
    cpu: tuple[str, ...]
    include: str

    def key(self, profile: Profile) -> dict[str, Any]:
        """Everything here that shapes a binary made with ``profile``, as plain data.

        The processor's features count only where the profile uses them, so that machines share
        portable binaries.
        """
        fields: dict[str, Any] = {
            "compiler": list(self.compiler),
            "version": self.version,
            "cython": self.cython,
            "python": self.python,
            "platform": self.platform,
            "profile": profile.name,
            "flags": [*profile.compile, *profile.link],
            "numpy": _numpy().__version__,
        }
        return {**fields, "cpu": list(self.cpu)} if profile.native else fields


def find_toolchain() -> Toolchain | None:
    """The compiler and Cython of this machine, or None where one is missing.

    ``$CC`` decides if it is set, then the compiler Python was built with, then ``cc``, ``gcc``
    and ``clang`` in that order. ``DERIVE_NO_COMPILER=1`` says that there is none.
    :func:`toolchain_problem` tells why it is None.
    """
    found = _search()
    return found if isinstance(found, Toolchain) else None


def toolchain_problem() -> str:
    """Why :func:`find_toolchain` gives None, in a phrase; empty when it does not."""
    found = _search()
    return found if isinstance(found, str) else ""


def _search() -> Toolchain | str:
    if os.environ.get("DERIVE_NO_COMPILER", "") not in ("", "0"):
        return "DERIVE_NO_COMPILER is set"
    return _search_once(os.environ.get("CC", ""), os.environ.get("PATH", ""))


@cache
def _search_once(cc: str, path: str) -> Toolchain | str:
    # The arguments are what the answer depends on; a change of either is looked at afresh.
    try:
        from Cython.Shadow import __version__ as cython  # light, unlike the compiler
    except ImportError:
        return "Cython is not installed"
    compiler: tuple[str, ...] = ("msvc",)
    version = sys.version
    if not WINDOWS:
        known = [cc] if cc.strip() else [sysconfig.get_config_var("CC"), "cc", "gcc", "clang"]
        for command in filter(None, known):
            compiler = tuple(shlex.split(command))
            version = _version_line(compiler)
            if version:
                break
        else:
            tried = ", ".join(dict.fromkeys(filter(None, known)))
            return f"no working C compiler (tried {tried})"
    return Toolchain(
        compiler=compiler,
        version=version,
        cython=cython,
        python=str(sysconfig.get_config_var("EXT_SUFFIX")),
        platform=sysconfig.get_platform(),
        cpu=cpu_features(),
        include=sysconfig.get_path("include"),
    )


def _version_line(compiler: tuple[str, ...]) -> str:
    if shutil.which(compiler[0]) is None:
        return ""
    try:
        said = subprocess.run(
            [*compiler, "--version"], capture_output=True, timeout=20, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    words = said.stdout.decode(errors="replace").strip() if said.returncode == 0 else ""
    return words.splitlines()[0].strip() if words else ""


@cache
def cpu_features() -> tuple[str, ...]:
    """Sorted names of the instruction sets the processor has; empty where nothing tells."""
    try:
        if sys.platform == "darwin":
            names = ("machdep.cpu.brand_string", "machdep.cpu.features")
            said = subprocess.run(["sysctl", "-n", *names], capture_output=True, timeout=5)
            return tuple(sorted(set(said.stdout.decode(errors="replace").split())))
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith(("flags", "Features")):
                    return tuple(sorted(set(line.partition(":")[2].split())))
    except (OSError, subprocess.TimeoutExpired):
        pass
    return ()


REGISTERS = {"avx512f": 64, "avx2": 32, "avx": 32, "": 16}
"""Bytes of a vector register by the set of instructions that has it, the widest first."""


def register_bytes() -> int:
    """Bytes of this processor's vector registers."""
    features = cpu_features()
    return next(size for name, size in REGISTERS.items() if not name or name in features)


@dataclass(frozen=True)
class Built:
    """A module that was compiled and can be imported.

    Attributes
    ----------
    path : pathlib.Path
        The extension module.
    log : str
        Each command and what it printed.
    seconds : dict of str to float
        Of each stage: ``start`` (a process with Cython in it), ``cython``, ``cc``, ``import``.
    """

    path: Path
    log: str
    seconds: dict[str, float]


def compile_module(
    source: str, name: str, directory: Path, profile: Profile, toolchain: Toolchain
) -> Built:
    """Translate, compile, link and import-test one Cython module, in another process.

    Parameters
    ----------
    source : str
        Its text, written to ``<name>.pyx``.
    name : str
        An identifier.
    directory : pathlib.Path
        An existing folder that is the build's own.
    profile : Profile
    toolchain : Toolchain

    Raises
    ------
    BuildError
        With the command that failed, its own words, and the folder.
    """
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name):
        raise BuildError(f"module name: expected an ASCII identifier, got {name!r}")
    directory = Path(directory).absolute()
    pyx = directory / f"{name}.pyx"
    pyx.write_text(source, encoding="utf-8", newline="\n")
    module = name + toolchain.python
    job = {
        "directory": str(directory),
        "name": name,
        "module": module,
        "cc": _cc(name, module, profile, toolchain),
        "include": _headers(toolchain),
        "flags": [*profile.compile],
        "path": [entry for entry in sys.path if os.path.isabs(entry)],
    }
    steps = _run(job, directory)
    log = "\n".join(f"$ {s['command']}\n{s['output']}".rstrip() for s in steps) + "\n"
    (directory / "build.log").write_text(log, encoding="utf-8")
    last = steps[-1]
    if not last["ok"]:
        raise BuildError(
            f"module {name!r}: {_FAILED[last['stage']]}{_hint(last['output'], toolchain)}",
            last["command"],
            last["output"],
            directory,
        )
    # Megabytes that anyone can make again from the .pyx.
    for made in (f"{name}.c", "*.bin", "*.h"):
        for path in directory.glob(made):
            path.unlink(missing_ok=True)
    return Built(directory / module, log, {s["stage"]: s["seconds"] for s in steps})


_FAILED = {
    "start": "the compiling process died",
    "cython": "Cython could not translate it",
    "cc": "the C compiler failed",
    "import": "it was compiled but cannot be imported",
}


def _hint(output: str, toolchain: Toolchain) -> str:
    if "Python.h" in output and not Path(toolchain.include, "Python.h").exists():
        return f"; {toolchain.include} has no Python.h: install Python's development headers"
    return ""


def _numpy() -> Any:
    # Here and not above: looking for a compiler imports nothing heavy, and an isolated build of
    # this package asks only for flags.
    import numpy

    return numpy


def _headers(toolchain: Toolchain) -> list[str]:
    return [toolchain.include, _numpy().get_include()]


def _cc(name: str, module: str, profile: Profile, toolchain: Toolchain) -> list[str]:
    """One command compiles and links; file names are relative, so no path gets into a binary."""
    if WINDOWS:
        return []  # compile_job asks setuptools, which knows how to find MSVC
    shared = ["-shared"]
    if sys.platform == "darwin":
        # A universal Python would have both architectures made; one is enough here.
        shared = ["-bundle", "-undefined", "dynamic_lookup", "-arch", platform.machine()]
    # As Python itself is compiled: no assertions, and signed integers wrap around.
    headers = ["-I" + folder for folder in _headers(toolchain)]
    common = ["-fPIC", "-DNDEBUG", "-fwrapv", *headers]
    files = [f"{name}.c", "-o", module]
    return [*toolchain.compiler, *shared, *common, *profile.compile, *files, *profile.link]


# Cython takes a third of a second to be ready. A process started before the text is made is ready
# by the time that it is: one at most, and it dies with this process.
_waiting: list[tuple[int, subprocess.Popen[bytes]]] = []
_lock = threading.Lock()


def start_ahead() -> None:
    """Start the process of the next :func:`compile_module` now, to make Cython ready meanwhile.

    Costs a few milliseconds here and never raises: without it a process is started when needed.
    """
    with _lock:
        if _waiting and _waiting[0][0] == os.getpid() and _waiting[0][1].poll() is None:
            return
        _waiting.clear()
        try:
            _waiting.append((os.getpid(), _start("--ahead")))
        except OSError:
            return


@atexit.register
def stop_ahead() -> None:
    """End the process that :func:`start_ahead` started, if it still waits for work."""
    process = _take()
    if process is not None:
        process.kill()
        process.communicate()


def _take() -> subprocess.Popen[bytes] | None:
    with _lock:
        owner, process = _waiting.pop() if _waiting else (0, None)
    # After a fork the waiting process is the parent's, not ours.
    return process if owner == os.getpid() and process and process.poll() is None else None


def _start(*options: str) -> subprocess.Popen[bytes]:
    # -I: neither the current folder nor PYTHON* variables decide what the process imports.
    command = [sys.executable, "-I", str(JOB), *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)


def _run(job: dict[str, Any], directory: Path) -> list[dict[str, Any]]:
    command = shlex.join([sys.executable or "python", "-I", str(JOB)])
    try:
        process = _take() or _start()
    except OSError as error:
        raise BuildError("no process to compile in", command, str(error), directory) from error
    try:
        answer, said = process.communicate(json.dumps(job).encode() + b"\n")
    except BaseException:  # an interrupt must not leave the process behind
        process.kill()
        process.wait()
        raise
    words = said.decode(errors="replace")
    try:
        steps: list[dict[str, Any]] = json.loads(answer)
    except ValueError:
        # It died: of a signal while importing the module, of memory, or of itself.
        words += f"\n(exit status {process.returncode})"
        steps = [{"stage": "start", "command": command, "output": words, "ok": False}]
    return steps
