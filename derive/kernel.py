"""From a network to a function on arrays.

    stage        in                          out
    differentiate  Network                   Derivation         derive.calculus
    program        Network, algorithm        Programs           derive.program
    schedule       Program, counted size     Program            derive.program.schedules
    emit           Programs                  text of a module   derive.emit
    build          text                      binary             derive.build
    load           binary                    Kernel             here

:func:`compile` calls them in that order, or skips to the last where the cache has the binary:
then SymPy is not even imported.
"""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derive.blocks import SINGLE, Block, block_for
from derive.errors import DerivationError, DeriveError
from derive.threads import checked_threads, default_threads, sharing
from derive.version import __version__

if TYPE_CHECKING:
    from derive.calculus.derivation import Derivation
    from derive.network.network import Network
    from derive.online import Online
    from derive.program.ir import Program

DTYPES = ("float64", "float32")


class Kernel:
    """A network's compiled functions, and everything on the way to them.

    Attributes
    ----------
    net : Network
    algorithm : dict
        Its name and options.
    dtype : numpy.dtype
        Of every array it takes and gives.
    batch : bool or int
        Whether arrays carry a last axis B of sequences.
    threads : int
        How many share the work in a call that does not say.
    schedule, reason : str
        How the loops are laid out, and why so.
    timings : dict of str to float
        Seconds of each stage that was run; empty when the kernel came from the cache.
    path : pathlib.Path or None
        The compiled module; None when the Program runs on NumPy.
    build_log : str
        Every command of the build and what it printed.
    """

    def __init__(
        self,
        net: Network,
        module: Any,
        *,
        algorithm: Mapping[str, Any],
        dtype: str,
        batch: bool | int,
        schedule: str,
        reason: str,
        source: str,
        path: Path | None = None,
        build_log: str = "",
        timings: Mapping[str, float] | None = None,
        digest: str = "",
        made_with: Mapping[str, Any] | None = None,
    ) -> None:
        import numpy as np

        self.net = net
        self.module = module
        self.algorithm = dict(algorithm)
        self.dtype = np.dtype(dtype)
        self.batch = batch
        self.schedule = schedule
        self.reason = reason
        self.source = source
        self.path = path
        self.build_log = build_log
        self.timings = dict(timings or {})
        self.digest = digest
        self._made_with = dict(made_with or {})
        self.threads = int(self._made_with.get("threads", 1))
        if self.algorithm["name"] == "settling":
            from derive.program.algorithms import options_of
            from derive.settling import Settling

            options = options_of(self.algorithm)
            self.module = Settling(
                net, module, dtype, bool(batch), options["tol"], options["max_steps"]
            )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made from; unpickling takes it from the cache or makes it anew."""
        made = {"dtype": self.dtype.name, "batch": self.batch, **self._made_with}
        made["threads"] = self.threads
        return _made_again, (self.net.to_spec(), self.net.digest, self.algorithm, made)

    def start(
        self,
        theta: Any,
        y0: Any = None,
        B: int | None = None,
        history: Any = None,
        threads: int | None = None,
    ) -> Online:
        """Begin an online run: one step at a time, weights free to move between steps.

        Parameters
        ----------
        theta : (P,) array
            First weights; they are copied.
        y0 : (N[, B]) array, optional
            Initial state, zero if not given.
        B : int, optional
            Sequences of a batch; needed where ``y0`` does not tell.
        history : (D−1, N+m[, B]) array, optional
            As for :meth:`forward`.
        threads : int, optional
            As for :meth:`forward`, at every step.

        Returns
        -------
        Online

        Raises
        ------
        DerivationError
            For an algorithm that has no steps: epochwise.
        """
        from derive.online import Online

        return Online(self, theta, y0, B, history, threads)

    def settle(
        self, theta: Any, x_t: Any, target_t: Any, mask_t: Any = None, y0: Any = None
    ) -> Any:
        """Relax one pattern to its fixed point, and ε there; only for ``settling``.

        Parameters
        ----------
        theta : (P,) array
        x_t : (m[, B]) array
            The held input.
        target_t, mask_t : (n_T[, B]) array
            Targets of the outputs at the fixed point, and 1 where one exists.
        y0 : (N[, B]) array, optional
            Where relaxing begins, zero if not given.

        Returns
        -------
        Settled
            y, J, gradient, and for each way steps and change.

        Raises
        ------
        ConvergenceError
            With the last change, the steps done and the spectral radius seen.
        """
        if self.algorithm["name"] != "settling":
            raise DerivationError(
                f"settle: algorithm {self.algorithm['name']!r} does not relax; compile with "
                "algorithm='settling'"
            )
        import numpy as np

        B = np.shape(x_t)[-1] if self.batch and np.ndim(x_t) else None
        online = self.start(theta, y0, B if y0 is None else None)
        online.step(x_t, target_t, mask_t)
        return self.module.relaxation

    def forward(
        self,
        theta: Any,
        x: Any,
        y0: Any = None,
        out: Any = None,
        history: Any = None,
        threads: int | None = None,
    ) -> Any:
        """The states of every step; of a settling net the fixed points, one for each row of x.

        Parameters
        ----------
        theta : (P,) array
            Parameters, laid out as ``net.parameters`` says.
        x : (T, m[, B]) array
            Inputs; y[t+1] is computed from x[t].
        y0 : (N[, B]) array, optional
            Initial state, zero if not given.
        out : (T+1, N[, B]) array, optional
            Where to write the result.
        history : (D−1, N+m[, B]) array, optional
            What was before time 0, where the longest delay D reaches there: states, then inputs,
            of times −(D−1) … −1. Zero if not given.
        threads : int, optional
            How many threads share the blocks of a batch, each of as many sequences as a vector
            holds (with AVX-512 8 in float64, 16 in float32; with AVX half, elsewhere a quarter of
            that); at most one a block works. Where there are fewer blocks, or one sequence, and
            of large nets, they divide the units, up to 16 of them; one sequence of a small net is
            for one thread. ``kernel.threads`` if not given.
            The results are the same to the last bit for any number.

        Returns
        -------
        (T+1, N[, B]) array
            Columns as ``net.states`` says; y[0] is the initial state.

        Raises
        ------
        TypeError, ValueError
            Naming the argument, its expected shape or type and the given one.
        """
        more = sharing(self, threads)
        if history is not None:
            from derive.online import past

            more |= past(self, history, x)
        return self.module.forward(theta, x, y0, out, **more)

    def gradient(
        self,
        theta: Any,
        x: Any,
        target: Any,
        mask: Any = None,
        y0: Any = None,
        wrt: Any = None,
        out: Any = None,
        history: Any = None,
        threads: int | None = None,
    ) -> Any:
        """J^total and its gradient. J is maximised: ascend along it.

        Parameters
        ----------
        theta, x, y0, history, threads
            As for :meth:`forward`; no gradient is given by the history.
        target : (T, n_T[, B]) array
            target[t] is for y[t+1]; columns in the order of the objective's targets.
        mask : (T, n_T[, B]) array, optional
            1 where a target exists. Where it is 0 the target is not read and may be NaN; other
            values weight the term. Without it all exist; those of a term stated with
            ``at="end"`` at the last step only.
        wrt : tuple of {"theta", "x", "y0"}, optional
            With it the result is a named tuple.
        out : array or tuple of arrays, optional
            Where to write the gradient(s), in the order of ``wrt``.

        Notes
        -----
        An online algorithm gives, by theta only, the sum of the gradients its steps give with
        theta fixed, a last window that is not whole included. So exact algorithms are exact for
        every T.

        Returns
        -------
        (J, g), or a named tuple (J, theta, x, y0) with None for what was not asked
            A batch sums J and the gradient by theta over B.
        """
        more = sharing(self, threads)
        if history is not None:
            from derive.online import past

            more |= past(self, history, x)
        return self.module.gradient(theta, x, target, mask, y0, wrt, out, **more)

    @property
    def compiled(self) -> bool:
        """Whether this is machine code, or the Program run on NumPy."""
        return self.path is not None

    @cached_property
    def programs(self) -> dict[str, Program]:
        """The scheduled Programs that were emitted, by function."""
        from derive.program.algorithms import programs
        from derive.program.schedules.choose import Choice
        from derive.program.schedules.lanes import laid_out

        name, block = laid_out(self.schedule)
        choice = Choice(name, self.batch, self.reason, block)
        return _scheduled(programs(self.net, self.algorithm), choice, self.dtype.itemsize)

    @property
    def program(self) -> Program:
        """The Program of ``gradient``, or of a step back; it prints as pseudo-code."""
        return self.programs.get("gradient") or self.programs["relax_back"]

    @cached_property
    def derivation(self) -> Derivation:
        """The equations that the Program computes, and the rules that give them."""
        options = {k: v for k, v in self.algorithm.items() if k != "name"}
        return differentiate(self.net, self.algorithm["name"], **options)

    def explain(self, ceilings: Any = None) -> str:
        """Which schedule was chosen and why, what a step counts, and what bounds its time.

        Parameters
        ----------
        ceilings : path, optional
            Results of ``derive bench``, whose measured peak replaces an assumed one.

        Returns
        -------
        str
            Of each function: operations, numbers read and written, and lower bounds in cycles and
            nanoseconds, the largest first. Programs are derived anew for it where the kernel came
            from the cache.

        Raises
        ------
        DeriveError
            If ``ceilings`` is no such file.
        """
        from derive.explain import explanation

        return explanation(
            self.net, self.algorithm, self.dtype.name, bool(self.batch), self.schedule,
            self.reason, ceilings,
        )  # fmt: skip

    def __repr__(self) -> str:
        how = self.schedule if self.compiled else "run on NumPy"
        return (
            f"Kernel({self.net.name!r}, {self.algorithm['name']!r}, {self.dtype}, "
            f"batch={self.batch}, {how})"
        )


def differentiate(net: Any, algorithm: str | None = None, **options: Any) -> Derivation:
    """How a network learns, as numbered equations with the rule that gives each.

    Parameters
    ----------
    net : Network, dict or path of a spec
    algorithm : str, optional
        The one the spec names if not given.
    **options
        The algorithm's own, as for :func:`compile`.

    Returns
    -------
    Derivation
        Prints as equations; ``latex()``, and ``_repr_latex_`` in notebooks.
    """
    from derive.calculus.derivation import derivation
    from derive.program.algorithms import settle

    net = as_network(net)
    settled = settle(net, algorithm, options)
    # How much room a run has is no matter of the equations.
    chosen = {k: v for k, v in settled.items() if k not in ("name", "capacity")}
    return derivation(net, settled["name"], chosen)


def compile(
    net: Any,
    algorithm: str | None = None,
    *,
    dtype: str = "float64",
    batch: bool | int = False,
    schedule: str = "auto",
    profile: str = "local",
    cache: bool = True,
    threads: int | None = None,
    **options: Any,
) -> Kernel:
    """Compile a network's learning algorithm into a kernel, or take it from the cache.

    Parameters
    ----------
    net : Network, dict or path of a spec
    algorithm : str, optional
        ``"epochwise"``, ``"realtime"``, ``"truncated"``, ``"rtrl"``, ``"hybrid"`` or
        ``"settling"``; the one the spec names if not given.
    dtype : {"float64", "float32"}
    batch : bool or int
        Let arrays have a last axis B of sequences, computed in SIMD lanes. A number says how
        many sequences there will mostly be: vectors are then no wider than these need. Any
        other number of sequences still fits.
    schedule : {"auto", "unrolled", "tables"}
        How loops are laid out; chosen from counted work if "auto".
    profile : {"local", "portable", "reproducible"}
        Compiler flags: this machine's instructions, any machine's, or bit-equal results across
        schedules.
    cache : bool
        Whether to look for the kernel on disk and keep it there.
    threads : int, optional
        How many threads share the work in a call that does not say; the
        environment's ``DERIVE_THREADS`` if not given, else 1. The same binary serves any number.
    **options
        The algorithm's own: ``h`` and ``h_prime`` for truncated, ``h`` for hybrid, ``groups`` for
        rtrl, ``capacity`` for realtime, ``tol`` and ``max_steps`` for settling,
        ``teacher_forcing`` for all.

    Raises
    ------
    NetworkError, DerivationError, ProgramError, BuildError, CacheError
        Each names what is at fault. Without a compiler there is no error but one warning: the
        same Program then runs on NumPy arrays.
    """
    from derive.build import cache as store
    from derive.build.toolchain import find_toolchain
    from derive.build.toolchain import profile as flags_of
    from derive.program.algorithms import settle

    net = as_network(net)
    dtype = checked_dtype(dtype)
    if not isinstance(batch, int) or (batch < 1 and not isinstance(batch, bool)):
        raise DerivationError(
            f"batch: expected True, False or a number of sequences, got {batch!r}"
        )
    threads = default_threads() if threads is None else checked_threads(threads)
    settled = settle(net, algorithm, options)
    flags = flags_of(profile)
    block = block_for(flags.register, 8 if dtype == "float64" else 4, batch, net.size)
    toolchain = find_toolchain()
    made_with = {"schedule": schedule, "profile": profile, "cache": cache, "threads": threads}
    if toolchain is None:
        return _interpreted(net, settled, dtype, batch, made_with)
    fields = {
        "network": net.digest,
        "name": net.name,
        "algorithm": settled,
        "dtype": dtype,
        "batch": batch,
        "block": [block.vectors, block.registers, block.page, block.groups],
        "schedule": schedule,
        "derive": {"version": __version__, "sources": sources_digest()},
        "build": toolchain.key(flags),
    }
    digest = store.digest(fields)
    entry = store.lookup(digest) if cache else None
    timings: dict[str, float] = {}
    if entry is None:
        made = _Making(net, settled, dtype, batch, schedule, block, timings)
        if not cache:
            return made.uncached(flags, toolchain, made_with)
        entry = store.store(fields, lambda folder: made.into(folder, flags, toolchain))
    return _from_entry(net, entry, settled, dtype, batch, timings, made_with)


def _made_again(
    spec: Any, digest: str, algorithm: Mapping[str, Any], made: Mapping[str, Any]
) -> Kernel:
    net = as_network(spec)
    if net.digest != digest:
        raise DeriveError(
            f"network {net.name!r}: what was pickled and what its spec gives now differ; "
            "compile it anew with this version"
        )
    options = {k: v for k, v in algorithm.items() if k != "name"}
    return compile(net, algorithm["name"], **made, **options)


class _Making:
    """One run through all stages, with the time each took."""

    def __init__(
        self,
        net: Network,
        algorithm: dict[str, Any],
        dtype: str,
        batch: bool | int,
        schedule: str,
        block: Block,
        timings: dict[str, float],
    ) -> None:
        self.net, self.algorithm, self.dtype = net, algorithm, dtype
        self.batch, self.schedule, self.block = batch, schedule, block
        self.timings = timings

    def into(self, folder: Path, flags: Any, toolchain: Any) -> dict[str, Any]:
        """Emit and build in ``folder``; what to remember of it."""
        from derive.build.toolchain import compile_module, start_ahead

        started = time.perf_counter()
        start_ahead()
        emitted = emit(self.net, self.algorithm, self.dtype, self.batch, self.schedule, self.block)
        self.timings["derive and emit"] = time.perf_counter() - started
        built = compile_module(emitted.text, self.net.name, folder, flags, toolchain)
        self.timings.update(built.seconds)
        (folder / "build.log").write_text(built.log, encoding="utf-8")
        return {
            "module": built.path.name,
            "schedule": emitted.schedule,
            "reason": emitted.reason,
        }

    def uncached(self, flags: Any, toolchain: Any, made_with: Mapping[str, Any]) -> Kernel:
        """A kernel in a folder of its own that goes when the process does."""
        import atexit
        import shutil
        import tempfile

        from derive.build.loader import load_extension

        folder = Path(tempfile.mkdtemp(prefix="derive-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        meta = self.into(folder, flags, toolchain)
        path = folder / meta["module"]
        return Kernel(
            self.net,
            load_extension(path, self.net.name),
            algorithm=self.algorithm,
            dtype=self.dtype,
            batch=self.batch,
            schedule=meta["schedule"],
            reason=meta["reason"],
            source=(folder / f"{self.net.name}.pyx").read_text(encoding="utf-8"),
            path=path,
            build_log=(folder / "build.log").read_text(encoding="utf-8"),
            timings=self.timings,
            made_with=made_with,
        )


def _from_entry(
    net: Network,
    entry: Any,
    algorithm: dict[str, Any],
    dtype: str,
    batch: bool | int,
    timings: dict[str, float],
    made_with: Mapping[str, Any],
) -> Kernel:
    from derive.build.loader import load_extension

    meta = entry.meta
    path = entry.path / meta["module"]
    started = time.perf_counter()
    module = load_extension(path, net.name)
    if timings:
        timings["load"] = time.perf_counter() - started
    return Kernel(
        net,
        module,
        algorithm=algorithm,
        dtype=dtype,
        batch=batch,
        schedule=meta["schedule"],
        reason=meta["reason"],
        source=(entry.path / f"{net.name}.pyx").read_text(encoding="utf-8"),
        path=path,
        build_log=(entry.path / "build.log").read_text(encoding="utf-8"),
        timings=timings,
        digest=entry.digest,
        made_with=made_with,
    )


class Emitted:
    """The text of a module, and how its loops are laid out."""

    def __init__(self, text: str, schedule: str, reason: str) -> None:
        self.text, self.schedule, self.reason = text, schedule, reason


def emit(
    net: Network,
    algorithm: Mapping[str, Any],
    dtype: str = "float64",
    batch: bool | int = False,
    schedule: str = "auto",
    block: Block = SINGLE,
) -> Emitted:
    """The text of a network's module: the same text for the same network and version.

    ``block`` says how a number of a batch stands in registers.
    """

    import numpy as np

    from derive.calculus.summary import summary
    from derive.emit.cython import Facts, module
    from derive.program.algorithms import programs, structure_of
    from derive.program.schedules.choose import choose

    dtype = checked_dtype(dtype)
    stated = programs(net, algorithm)
    choice = choose(net, stated, batch, schedule, dtype, block)
    scheduled = _scheduled(stated, choice, np.dtype(dtype).itemsize)
    laid_out = next(iter(scheduled.values())).schedule
    structure = structure_of(net, algorithm)
    record = {
        "derive": __version__,
        "digest": net.digest,
        "algorithm": dict(algorithm),
        "dtype": dtype,
        "batch": batch,
        "schedule": laid_out,
        "spec": net.to_spec(),
    }
    facts = Facts(
        __version__,
        algorithm,
        dtype,
        laid_out,
        summary(net, algorithm["name"] != "rtrl", structure is not None),
        structure.words if structure is not None else "",
        record,
    )
    return Emitted(module(net, scheduled, facts), laid_out, choice.reason)


def _scheduled(stated: Mapping[str, Program], choice: Any, itemsize: int) -> dict[str, Program]:
    from derive.program.schedules.choose import scheduled

    return {k: scheduled(p, choice, itemsize) for k, p in stated.items()}


def _interpreted(
    net: Network,
    algorithm: dict[str, Any],
    dtype: str,
    batch: bool | int,
    made_with: Mapping[str, Any],
) -> Kernel:
    from derive.build.toolchain import toolchain_problem
    from derive.interpreted import Interpreted
    from derive.program.algorithms import programs
    from derive.program.schedules.choose import choose

    warnings.warn(
        f"no C compiler ({toolchain_problem() or 'none was found'}): "
        "the same Program runs on NumPy arrays instead, slowly",
        stacklevel=3,
    )
    schedule = made_with["schedule"]
    stated = programs(net, algorithm)
    choice = choose(net, stated, batch, schedule, dtype)
    text = emit(net, algorithm, dtype, batch, schedule).text
    return Kernel(
        net,
        Interpreted(net, stated, dtype, bool(batch), algorithm["name"]),
        algorithm=algorithm,
        dtype=dtype,
        batch=batch,
        schedule=choice.name,
        reason=choice.reason,
        source=text,
        made_with=made_with,
    )


def as_network(net: Any) -> Network:
    """A Network from itself, a dict, or the path of a spec."""
    from derive.network.network import Network

    if isinstance(net, Network):
        return net
    if isinstance(net, (str, os.PathLike, Mapping)):
        return Network.load(net if isinstance(net, Mapping) else Path(net))
    raise DeriveError(f"net: expected a Network, a dict or the path of a spec, got {net!r}")


def checked_dtype(dtype: Any) -> str:
    """The name of a type of number that kernels have."""
    import numpy as np

    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in DTYPES:
        raise DerivationError(f"dtype: expected {' or '.join(DTYPES)}, got {name!r}")
    return name


@cache
def sources_digest() -> str:
    """A digest of the code that shapes a kernel: an edited derive does not use old kernels."""
    here = Path(__file__).parent
    h = hashlib.sha256()
    files = [here / "functions.py", here / "kernel.py"]
    for package in ("network", "calculus", "program", "emit", "build"):
        files += sorted((here / package).rglob("*.py"))
    for file in files:
        h.update(file.relative_to(here).as_posix().encode())
        h.update(file.read_bytes())
    return h.hexdigest()
