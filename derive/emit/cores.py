"""How a core function is called: by one thread, or by several.

These share the blocks of a batch, each with scratch of its own, or do each block together; one
sequence is a block by itself. What the threads have in common is in a struct, and one function does
one block. :data:`derive.emit.frame.C_THREADS` has the threads themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from derive.emit.elements import WIDE, element_type, index_text, is_vector
from derive.emit.groups import adds_by_group
from derive.emit.statements import CREW, passed
from derive.network.network import Network
from derive.program.ir import THREAD, THREADS, Array, Index, Program, Var, rebuilt
from derive.program.once import added_once, cleared
from derive.program.schedules.lanes import COUNT
from derive.program.state import state_arrays
from derive.program.storage import is_heavy_program

ROWS = {
    "x": "T*{m}",
    "target": "T*{n_T}",
    "mask": "mask_rows*{n_T}",
    "y0": "{states}",
    "history": "{history}",
}


@dataclass(frozen=True)
class Core:
    """A core function and what it is given.

    Attributes
    ----------
    rows : mapping of str to str
        How many numbers of a sequence each array has that is packed or gathered.
    scratch : tuple of (str, str)
        The arrays that are no caller's, and their numbers of a sequence.
    summed : frozenset of str
        Results that the core has summed over the sequences of a block: single numbers, which each
        block has its own of.
    kept : mapping of str to int
        The arrays that are parts of an online run's state, and where they begin in it.
    """

    program: Program
    name: str
    rows: Mapping[str, str]
    scratch: tuple[tuple[str, str], ...]
    summed: frozenset[str]
    kept: Mapping[str, int]

    @property
    def lanes(self) -> bool:
        """Whether it computes a block of sequences at once."""
        return self.program.lane_width > 1

    @property
    def given(self) -> list[str]:
        """The caller's arrays, but for results of one number."""
        named = [a.name for a in passed(self.program) if a.role not in ("work", "state")]
        return [name for name in named if name not in SINGLE] + ["state"] * bool(self.kept)

    @property
    def total(self) -> str:
        """The numbers of scratch, as an expression."""
        factor = "*K_BLOCK" if self.lanes else ""
        return " + ".join(f"{extent}{factor}" for _, extent in self.scratch) or "1"

    @property
    def by_several(self) -> bool:
        """Whether threads may share what it does."""
        return self.lanes or self.program.grains > 1

    def call(self, prefix: str = "") -> str:
        """The call itself; ``prefix`` stands before the names of what is the caller's.

        That is, of threads that work together, by each; without it by one.
        """
        in_scratch = {name for name, _ in self.scratch}
        arguments = []
        for a in passed(self.program):
            if a.name in in_scratch:
                kind = element_type(self.program, a)
                arguments.append(f"w_{a.name}" if kind == "real" else f"<{kind} *>w_{a.name}")
            elif a.name in self.kept:
                at, state = self.kept[a.name], f"{prefix}p_state"
                block = f"({state} + (b0//K_BLOCK*STATE_SIZE + {at})*K_BLOCK)"
                arguments.append(f"<lane *>{block}" if self.lanes else f"{state} + {at}")
            elif a.name in SINGLE:
                arguments.append(f"&{prefix}{a.name}")
            else:
                arguments.append(f"{prefix}p_{a.name}")
        sizes = [*self.program.sizes, *([CREW] if self.program.grains > 1 else [])]
        alone = {} if prefix else {THREAD: "0", THREADS: "1", CREW: "NULL"}
        return f"{self.name}_core({', '.join([*arguments, *(alone.get(n, n) for n in sizes)])})"

    def pack(self, prefix: str = "") -> list[str]:
        """Lay a block's inputs side by side."""
        in_scratch = {name for name, _ in self.scratch}
        return [
            f"k_pack(w_{a.name}, {prefix}p_{a.name}, {self.rows[a.name]}, B, b0, {_who(prefix)})"
            for a in passed(self.program)
            if a.name in in_scratch and a.role == "in"
        ]

    def unpack(self, prefix: str = "") -> list[str]:
        """Put a block's results of each sequence where they go."""
        return [
            f"k_unpack({prefix}p_{a.name}, w_{a.name}, {self.rows[a.name]}, B, b0, {_who(prefix)})"
            for a in passed(self.program)
            if a.role == "out" and a.name not in GATHERED
        ]

    @property
    def in_place(self) -> list[str]:
        """The results that the core sums in the caller's own arrays for the first block."""
        return [name for name, _ in self.scratch if name in self.summed and name not in SINGLE]

    @property
    def at_once(self) -> str:
        """When blocks may add to these one after another, and give every bit as with scratch.

        That is where each adds to an element only once.
        """
        turns = [added_once(self.program, name) for name in self.in_place]
        known = [index_text(_outside(self.program, i)) for i in turns if i is not None]
        if len(known) < len(turns) or adds_by_group(self.program):
            return ""
        if self.program.vectors * self.program.groups > 1:
            known.append(f"k_parts({COUNT})")
        return " and ".join(f"{i} <= 1" for i in known)

    def gather(self, prefix: str = "", in_place: bool = False) -> list[str]:
        """Add a block's results to those of the blocks before, if not ``in_place`` already."""
        lines = []
        for a in passed(self.program):
            if a.role == "out" and a.name in GATHERED:
                to = f"&{prefix}{a.name}" if a.name in SINGLE else f"{prefix}p_{a.name}"
                add = "k_add" if a.name in self.summed else GATHERED[a.name]
                later = "if apart: " if in_place and a.name in self.in_place else ""
                what = f"{to}, w_{a.name}, {self.rows[a.name]}, B, b0"
                lines.append(f"{later}{add}({what}, {_who(prefix)})")
        return lines


def _who(prefix: str) -> str:
    """Which of how many threads does something: the only one where nothing is shared."""
    return f"{THREAD}, {THREADS}" if prefix else "0, 1"


def core_of(program: Program, name: str, outputs: Mapping[str, str], net: Network) -> Core:
    """The core function ``name``, given the number of rows of each array that is packed."""
    sizes = {
        "m": net.inputs, "n_T": len(net.objective.targets), "states": len(net.states),
        "history": net.lookback*(len(net.states) + net.inputs),
    }  # fmt: skip
    rows = {k: v.format(**sizes) for k, v in ROWS.items()} | dict(outputs)
    scratch: list[tuple[str, str]] = []
    summed: set[str] = set()
    for a in passed(program):
        if a.role == "work":
            scratch.append((a.name, _room(program, a)))
        elif _is_summed(program, a):
            scratch.append((a.name, f"(({rows[a.name]} + K_BLOCK - 1)//K_BLOCK)"))
            summed.add(a.name)
        elif a.role != "state" and element_type(program, a) == "lane":
            scratch.append((a.name, f"({rows[a.name]})"))
    kept = {array: at for array, (at, _) in state_arrays(program).items()}
    return Core(program, name, rows, tuple(scratch), frozenset(summed), kept)


def as_emitted(program: Program) -> Program:
    """A Program without what who calls its function does: clear what is summed over blocks."""
    sums = [a for a in passed(program) if _is_summed(program, a) and a.name not in SINGLE]
    clearing = [cleared(program, a.name) for a in sums]
    body = tuple(s for s in program.body if not any(s is c for c in clearing))
    return replace(program, body=body)


def _is_summed(program: Program, a: Array) -> bool:
    """Whether a core sums a result over the sequences of a block."""
    lanes = program.lane_width > 1
    return a.role == "out" and lanes and element_type(program, a) == "real"


@dataclass(frozen=True)
class Call:
    """How a core function is called: what stands before it, the call itself, what is freed.

    ``setup`` finds the caller's arrays and allocates scratch; ``run`` is done without the GIL, for
    each block of sequences where there are several; ``after`` takes what it left. ``declared`` are
    local to the function that calls, ``helpers`` stand before it. What is summed over blocks begins
    at zero in the caller's arrays, or ``in_place`` with the first.
    """

    setup: tuple[str, ...]
    run: tuple[str, ...]
    declared: frozenset[str]
    after: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    in_place: bool = False

    @property
    def lines(self) -> list[str]:
        """Set up, run once, free."""
        inside = [f"    {line}" for line in (*self.run, "k_release(work)")]
        return [*self.setup, "with nogil:", *inside, *self.after]


def prepared(core: Core) -> Call:
    """The call of a core function by one thread."""
    factor = "*K_BLOCK" if core.lanes else ""
    lines = [f"p_{name} = k_data({name})" for name in core.given]
    lines += [f"work = k_workspace({core.total})", "free_here = work"]
    for i, (array, extent) in enumerate(core.scratch):
        lines.append(f"w_{array} = free_here")
        if i + 1 < len(core.scratch):
            lines.append(f"free_here += {extent}{factor}")
    declared = frozenset(f"real *{line.split(' = ')[0]}" for line in lines if " = " in line)
    if not core.lanes:
        return Call(tuple(lines), (core.call(),), declared)
    block = ["b0 = block*K_BLOCK", LEFT, *core.pack(), core.call(), *core.gather(), *core.unpack()]
    run = ["for block in range((B + K_BLOCK - 1)//K_BLOCK):", *(f"    {line}" for line in block)]
    return Call(tuple(lines), tuple(run), declared | {f"Py_ssize_t block, b0, {COUNT}"})


LEFT = f"{COUNT} = B - b0 if B - b0 < K_BLOCK else K_BLOCK"
"""How many sequences a block has: the last of a batch perhaps fewer than its lanes."""

SINGLE = ("J", "change")
"""Results that are one number."""

GATHERED = {"J": "k_sum", "grad_theta": "k_sum", "change": "k_largest"}
"""How the results of the sequences of a batch become one."""


def call_of(core: Core) -> Call:
    """The call of a core function: by several threads where these can share it."""
    return shared(core) if core.by_several else prepared(core)


def by_several(programs: Iterable[Program]) -> bool:
    """Whether threads may share what some functions do; what relaxes one does in lockstep."""
    programs = list(programs)
    relaxes = any(p.name == "relax" for p in programs)
    return not relaxes and any(p.lane_width > 1 or p.grains > 1 for p in programs)


def keyword(several: bool) -> str:
    """The argument that says how many threads, where these may share the work."""
    return ", threads=1" if several else ""


def threads_check(several: bool) -> list[str]:
    """The check of that argument."""
    return ["cdef size_t sharing = k_threads(threads)"] if several else []


def shared(core: Core) -> Call:
    """The call by as many threads as ``sharing`` says."""
    kind, given, work = f"{core.name}_arguments", f"{core.name}_given", f"{core.name}_block"
    sizes = ["B"] * core.lanes
    sizes += [size for size in core.program.sizes if size not in (COUNT, THREAD, THREADS)]
    if any("mask_rows" in extent for _, extent in core.scratch):
        sizes.append("mask_rows")
    single = [a.name for a in passed(core.program) if a.role == "out" and a.name in SINGLE]
    setup = [f"{given}.p_{name} = k_data({name})" for name in core.given]
    setup += [f"{given}.{name} = {name}" for name in (*sizes, *single)]
    sequences = "B" if core.lanes else "1"
    # Threads that each do some blocks of a heavy net keep one another waiting for what all read.
    how = f"{core.program.grains}, {int(is_heavy_program(core.program))}"
    rooms = f"k_rooms(sharing, {sequences}, {how})"
    setup += [f"scratch = {core.total}", f"work = k_workspace({rooms}*scratch)"]
    return Call(
        setup=tuple(setup),
        run=(f"k_share({work}, &{given}, {sequences}, work, scratch, sharing, {how})",),
        declared=frozenset([f"{kind} {given}", "real *work", "size_t scratch"]),
        after=tuple(f"{name} = {given}.{name}" for name in single),
        helpers=(_struct(kind, core, single, sizes), _block(work, kind, core, sizes)),
        in_place=bool(core.in_place),
    )


def _struct(kind: str, core: Core, single: list[str], sizes: list[str]) -> str:
    """The caller's arrays, results of one number, and sizes."""
    members = [f"real *p_{name}" for name in core.given] + [f"real {name}" for name in single]
    return "\n".join([f"cdef struct {kind}:", *(f"    {m}" for m in members),
                      f"    Py_ssize_t {', '.join(sizes)}"])  # fmt: skip


def _block(name: str, kind: str, core: Core, sizes: list[str]) -> str:
    """What a thread does for one block: all, or its part of it."""
    takes = "void *arguments, k_crew *crew, real *work, size_t b0, size_t thread, size_t threads"
    together = core.program.grains > 1
    meet = ["k_meet(crew)"] if together and core.lanes else []
    lines = [
        f"cdef void {name}({takes}) noexcept nogil:",
        '    """Do the block of sequences from b0 on; scratch is that of who does it."""',
        f"    cdef {kind} *given = <{kind} *>arguments",
        *(f"    cdef Py_ssize_t {size} = given.{size}" for size in sizes),
        *([f"    cdef Py_ssize_t {LEFT}"] if core.lanes else []),
    ]
    place, factor = "work", "*K_BLOCK" if core.lanes else ""
    for array, extent in core.scratch:
        lines.append(f"    cdef real *w_{array} = {place}")
        place = f"w_{array} + {extent}{factor}"
    if not core.lanes:
        return "\n".join([*lines, f"    {core.call('given.')}"])
    if core.in_place:
        here = f" and not (k_alone(crew) and {core.at_once})" if core.at_once else ""
        lines.append(f"    cdef bint apart = b0 > 0{here}")
        lines.append("    if not apart:")
        lines += [f"        w_{name} = given.p_{name}" for name in core.in_place]
        to_clear = [n for n in core.in_place if cleared(core.program, n) is not None]
        if to_clear:
            lines.append("    if apart or b0 == 0:")
            lines += [f"        k_zero(w_{n}, {core.rows[n]}, thread, threads)" for n in to_clear]
    block = [*core.pack("given."), *meet, core.call("given."), *meet, *core.unpack("given.")]
    if gathered := core.gather("given.", in_place=True):
        # Last, since the blocks before may not be done.
        block += ["k_wait(crew, b0)", *gathered, "k_pass(crew)"]
    return "\n".join([*lines, *(f"    {line}" for line in block)])


def function(head: str, doc: list[str], body: list[str], *calls: Call) -> str:
    """A Python function of the module, what its calls need declared first."""
    declared = [f"cdef {d}" for d in sorted(frozenset().union(*(c.declared for c in calls)))]
    text = "\n".join([head, *(f"    {line}".rstrip() for line in (*doc, *declared, *body))])
    return "\n\n\n".join([*(helper for c in calls for helper in c.helpers), text])


def _room(program: Program, a: Array) -> str:
    """The numbers of a sequence that a work array is given, so that all begin at 64 bytes."""
    room, kind = _extent(program, a), element_type(program, a)
    if kind.startswith("wide"):
        room += f"*{WIDE // program.itemsize}"
    if is_vector(kind):
        return room
    lanes = program.lane_width > 1
    return f"(({room} + K_BLOCK - 1)//K_BLOCK)" if lanes else f"(({room} + 15)//16*16)"


def _extent(program: Program, a: Array) -> str:
    """The number of elements of a work array, as an expression of T."""
    known, rest = 1, []
    for e in (_outside(program, e) for e in a.shape):
        if isinstance(e, int):
            known *= e
        else:
            rest.append(f"({index_text(e)})")
    return "*".join([*rest, str(known)]) if rest else str(known)


def _outside(program: Program, index: Index) -> Index:
    """An index without what follows from the sizes, which the core function alone knows."""

    def change(part: Index) -> Index | None:
        derived = program.derived.get(part.name) if isinstance(part, Var) else None
        return None if derived is None else _outside(program, derived)

    return rebuilt(index, change)
