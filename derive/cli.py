"""The command line: ``derive new | show | draw | verify | check | compile | generate | train``,
``bench``, ``cost``, ``cache`` and ``demo``.

Errors are one clear paragraph on standard error with exit status 2; a claim that fails is exit
status 1.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from derive.display import keep_training, run_training, show_claims, show_training
from derive.errors import DeriveError
from derive.version import __version__

console = Console(highlight=False, soft_wrap=True)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)

SPEC = click.argument("spec", type=click.Path(path_type=Path))
DTYPE = click.option("--dtype", default="float64", show_default=True, help="float64 or float32")
BATCH = click.option("--batch", is_flag=True, help="Arrays have a last axis of sequences.")
SCHEDULE = click.option("--schedule", default="auto", show_default=True,
                        help="auto, unrolled or tables")  # fmt: skip
ALGORITHM = click.option("--algorithm", help="The algorithm, instead of the one the spec names.")
OPTIONS = click.option("-o", "options", multiple=True, metavar="KEY=VALUE",
                       help="An option of the algorithm, as in -o h=9.")  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="derive")
def commands() -> None:
    """SymPy in, learning kernels out."""


def main() -> None:
    """Run a command; its errors become one paragraph."""
    warnings.showwarning = _warn
    try:
        code = commands.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        complaints.print("stopped")
        sys.exit(130)
    except DeriveError as error:
        complaints.print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        complaints.print(f"[bold red]error:[/] {escape(where + (error.strerror or str(error)))}")
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _warn(message: Any, *_: Any, **__: Any) -> None:
    complaints.print(f"[yellow]warning:[/] {escape(str(message))}")


@commands.command()
@click.argument("name")
@click.option("--cell", default="semilinear", show_default=True, help="A cell of the library.")
@click.option("--units", default=8, show_default=True, help="Hidden units.")
@click.option("--inputs", default=1, show_default=True, help="Input lines.")
@click.option("--outputs", default=1, show_default=True, help="Units of the linear read-out.")
@click.option("--path", type=click.Path(path_type=Path), help="The file; NAME.toml if not given.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@click.option("--spelled-out", is_flag=True, help="State the cell by its equations.")
def new(
    name: str,
    cell: str,
    units: int,
    inputs: int,
    outputs: int,
    path: Path | None,
    force: bool,
    spelled_out: bool,
) -> None:
    """Write a commented spec to go on from, and sample data for it."""
    from derive.network.starter import write_starter

    spec, sample = write_starter(name, cell, units, inputs, outputs, path, force, spelled_out)
    console.print(f"wrote {escape(str(spec))}, and sample data in {escape(str(sample))}")
    console.print(f"next: derive show {escape(str(spec))}, or verify, or train")


@commands.command()
@SPEC
@click.option("--full", is_flag=True, help="The whole document, for a terminal.")
@click.option("--latex", is_flag=True, help="The document for LaTeX; it stands alone.")
@click.option("--html", is_flag=True, help="The document as one HTML file.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Save the document: .txt, .tex or .html."
)
@click.option("--evidence", is_flag=True, help="Verify first; the document gets the claims.")
@click.option("--program", is_flag=True, help="Also the program, as pseudo-code.")
@click.option("--source", is_flag=True, help="Also the emitted module.")
@click.option("--proof", is_flag=True, help="Also the proof by induction, for all n and T.")
@ALGORITHM
@OPTIONS
@DTYPE
@BATCH
@SCHEDULE
def show(
    spec: Path,
    full: bool,
    latex: bool,
    html: bool,
    out: Path | None,
    evidence: bool,
    program: bool,
    source: bool,
    proof: bool,
    algorithm: str | None,
    options: tuple[str, ...],
    dtype: str,
    batch: bool,
    schedule: str,
) -> None:
    """Show how a network learns: its derivation, and on demand the code or a whole document."""
    asked = {"--full": full, "--latex": latex, "--html": html, "--out": out is not None}
    wanted = [name for name, given in asked.items() if given]
    if len(wanted) > 1:
        raise click.UsageError(f"{' and '.join(wanted)}: ask for one form of the document")
    if wanted:
        if source:
            raise click.UsageError(
                f"--source: the module is no part of a document; leave out {wanted[0]}"
            )
        _document(spec, wanted[0], out, evidence, algorithm, options, dtype, schedule)
        return
    if evidence:
        raise click.UsageError(
            "--evidence: claims are part of the document; add --full, --latex, --html or --out FILE"
        )
    _derivation(spec, program, source, proof, algorithm, options, dtype, batch, schedule)


def _derivation(
    spec: Path,
    program: bool,
    source: bool,
    proof: bool,
    algorithm: str | None,
    options: tuple[str, ...],
    dtype: str,
    batch: bool,
    schedule: str,
) -> None:
    import numpy as np

    from derive.kernel import as_network, checked_dtype, differentiate, emit
    from derive.options import read_options
    from derive.program.algorithms import programs, settle, structure_of
    from derive.program.schedules.choose import choose, scheduled

    net, chosen = as_network(spec), read_options(options)
    settled = settle(net, algorithm, chosen)
    found = programs(net, settled)
    choice = choose(net, found, batch, schedule, checked_dtype(dtype))
    itemsize = np.dtype(dtype).itemsize
    shown = [str(differentiate(net, algorithm, **chosen))]
    if (structure := structure_of(net, settled)) is not None:
        shown.append(f"On {net.name} {structure.words}.")
    if proof:
        from derive.verify.induction.proving import prove

        shown.append(str(prove(net, algorithm, **chosen)))
    if program:
        # What is computed once a call, or what a step and its window compute.
        names = [n for n in found if n not in ("forward", "gradient_all", "start")]
        shown += [str(scheduled(found[name], choice, itemsize)) for name in names]
    if source:
        shown.append(emit(net, settled, dtype, batch, schedule).text)
    click.echo("\n\n".join(shown))


def _document(
    spec: Path,
    form: str,
    out: Path | None,
    evidence: bool,
    algorithm: str | None,
    options: tuple[str, ...],
    dtype: str,
    schedule: str,
) -> None:
    from derive.document import checked_suffix, document
    from derive.kernel import as_network
    from derive.options import read_options
    from derive.verify import verify as check

    if out is not None:
        checked_suffix(out)
    net, chosen = as_network(spec), read_options(options)
    report = None
    if evidence:
        with _status() as say:
            report = check(net, algorithm, schedule=schedule, dtype=dtype, progress=say, **chosen)
    made = document(net, algorithm, report, **chosen)
    if out is not None:
        console.print(f"wrote {escape(str(made.save(out)))}")
    else:
        ways = {"--full": made.text, "--latex": made.latex, "--html": made.html}
        click.echo(ways[form](), nl=False)


@commands.command()
@SPEC
@click.option("--what", default="network", show_default=True, help="network, unrolled or flow")
@click.option("--steps", default=3, show_default=True, help="How many steps are unrolled.")
@click.option("--out", type=click.Path(path_type=Path), help="The .svg file; else to the output.")
@ALGORITHM
@OPTIONS
def draw(
    spec: Path,
    what: str,
    steps: int,
    out: Path | None,
    algorithm: str | None,
    options: tuple[str, ...],
) -> None:
    """Draw a network, its copies over time, or the flow of a learning step, as SVG."""
    from derive.kernel import as_network
    from derive.options import read_options
    from derive.pictures import draw as drawn

    picture = drawn(as_network(spec), what, steps, algorithm, **read_options(options))
    if out is None:
        click.echo(picture.svg, nl=False)
    else:
        console.print(f"wrote {escape(str(picture.save(out)))}: {escape(picture.description)}")


@commands.command()
@click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC|MODULE", required=False)
@click.option("--plant", help="Verify a program with this fault in it; it must be caught.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1),
              help="Of the random networks and weights.")  # fmt: skip
@click.option("--only", multiple=True, metavar="RUNG",
              help="Climb this rung only, as proof or quotients; may be repeated.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
@click.option("--out", type=click.Path(path_type=Path),
              help="Also write the report: .txt, .json or .html.")  # fmt: skip
@click.option("--trust", is_flag=True,
              help="Run a module although its text is not what this version emits.")  # fmt: skip
@click.option("--random", "count", type=click.IntRange(1, 100_000), metavar="N",
              help="Verify N random networks instead of a spec.")  # fmt: skip
@click.option("--shrink", type=click.Path(path_type=Path), metavar="DIR",
              help="Where to save the smallest network that still fails.")  # fmt: skip
@ALGORITHM
@OPTIONS
@DTYPE
@SCHEDULE
@click.pass_context
def verify(context: click.Context, spec: Path | None, as_json: bool, out: Path | None,
           **asked: Any) -> int:  # fmt: skip
    """Prove a network's program and check its kernel; exit status 1 when a claim fails.

    SPEC is a spec file; MODULE an emitted module, as generated/NAME.pyx, which is judged by the
    record in its text.
    """
    from derive.verify.asked import Asked, reports
    from derive.verify.reportfile import as_json as in_json
    from derive.verify.reportfile import writer

    default = click.core.ParameterSource.DEFAULT
    given = {k for k in asked if context.get_parameter_source(k) is not default}
    write = None if out is None else writer(out)
    found = []
    with _status(not as_json) as say:
        for report in reports(Asked(target=spec, given=frozenset(given), **asked), say):
            found.append(report)
            if not as_json and asked["count"] and report.ok:
                console.print(escape(f"{report.network}: {report.algorithm}: all "
                                     f"{len(report.claims)} claims hold"))  # fmt: skip
            elif not as_json:
                show_claims(console, report)
    if as_json:
        click.echo(in_json(found), nl=False)
    if write is not None:
        write(found)
    return 0 if all(r.ok for r in found) else 1


@commands.command()
@click.argument("claims", type=click.Path(path_type=Path))
@SPEC
@click.option("--json", "as_json", is_flag=True, help="The verdicts as JSON.")
@click.option("--out", type=click.Path(path_type=Path),
              help="Also write the verdicts: .txt, .json or .html.")  # fmt: skip
@ALGORITHM
def check(claims: Path, spec: Path, as_json: bool, out: Path | None, algorithm: str | None) -> int:
    """Judge the equations of a claims file; exit status 1 when one is not as the file says."""
    from derive.claims.claimsfile import judged, read_claims
    from derive.claims.page import as_json as in_json
    from derive.claims.page import summary, writer
    from derive.display import show_judged

    write = None if out is None else writer(out)
    found = []
    with _status(not as_json) as say:
        for one in judged(read_claims(claims), spec, algorithm):
            say(one.claim.name)
            found.append(one)
            if not as_json:
                show_judged(console, one)
    if as_json:
        click.echo(in_json(found), nl=False)
    else:
        console.print(summary(found))
    if write is not None:
        write(found)
    return 0 if all(one.ok for one in found) else 1


@contextmanager
def _status(shown: bool = True) -> Iterator[Callable[[str], None]]:
    if not shown or not complaints.is_terminal:
        yield lambda text: None
        return
    with complaints.status("starting") as status:
        yield lambda text: status.update(escape(text))


@commands.command()
@click.argument("spec", type=click.Path(path_type=Path), required=False)
@click.option("--into", type=click.Path(path_type=Path), default=Path("generated"),
              show_default=True, help="The folder of emitted modules.")  # fmt: skip
@click.option("--check", is_flag=True, help="Only say whether the folder is up to date.")
@click.option("--all", "everything", is_flag=True, help="Emit every module of the folder anew.")
@click.option("--no-build", is_flag=True, help="Emit the source only.")
@DTYPE
@BATCH
@SCHEDULE
def generate(
    spec: Path | None,
    into: Path,
    check: bool,
    everything: bool,
    no_build: bool,
    dtype: str,
    batch: bool,
    schedule: str,
) -> int:
    """Emit a network's module into a package and build it there."""
    from derive import generate as generating

    if check:
        wrong = generating.check(into)
        for line in wrong:
            complaints.print(escape(line))
        if not wrong:
            console.print(f"{escape(str(into))} is up to date")
        return 1 if wrong else 0
    if everything:
        for path in generating.regenerate(into):
            console.print(f"emitted {escape(str(path))}")
        return 0
    if spec is None:
        raise click.UsageError("give a spec file, or --check, or --all")
    path = generating.generate(
        spec, into, dtype=dtype, batch=batch, schedule=schedule, build=not no_build
    )
    console.print(f"emitted {'' if no_build else 'and built '}{escape(str(path))}")
    return 0


@commands.command()
@SPEC
@click.option("--weights", type=click.Path(path_type=Path), help="Where to save the weights.")
@click.option("--plot", type=click.Path(path_type=Path), help="Where to draw the prediction.")
@ALGORITHM
@OPTIONS
@click.option("--method", help="lbfgs, or online: weights move while the data go by.")
@click.option("--eta", type=float, help="Learn online, at this rate.")
@click.option("--epochs", type=int, help="Learn online, going through the data so many times.")
def train(
    spec: Path,
    weights: Path | None,
    plot: Path | None,
    algorithm: str | None,
    options: tuple[str, ...],
    method: str | None,
    eta: float | None,
    epochs: int | None,
) -> None:
    """Train a spec's network on its data and report it beside the baselines."""
    from derive.options import read_options

    report, net = run_training(
        complaints, spec, algorithm, read_options(options), method=method, eta=eta, epochs=epochs
    )
    show_training(console, report)
    keep_training(console, report, net, weights or Path(f"{net.name}_weights.npz"), plot)


@commands.command()
@click.argument("spec", type=click.Path(path_type=Path), required=False)
@click.option("--steps", default=1000, show_default=True, help="T, the length of the sequence.")
@click.option("--sequences", default=None, type=int, help="B: time a kernel over a batch.")
@click.option("--runs", default=50, show_default=True, help="Timed calls; the median is quoted.")
@ALGORITHM
@OPTIONS
@DTYPE
@SCHEDULE
@click.option("--quick", is_flag=True, help="Grid: some cells of each kind, in three minutes.")
@click.option("--only", multiple=True, metavar="PATTERN",
              help="Grid: cells with such a name, as 'plain-n64-*-gradient'.")  # fmt: skip
@click.option("--cells", default="plain,leaky,lstm", show_default=True,
              help="Grid: kinds of units.")  # fmt: skip
@click.option("--threads", default="1", show_default=True, metavar="COUNTS",
              help="How many share a batch; for the grid perhaps several, as 1,2.")  # fmt: skip
@click.option("--against", help="Grid: peers, as jax,numba; all if not given.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("benchmarks/results"),
              show_default=True, help="Grid: the folder of results.")  # fmt: skip
@click.option("--again", is_flag=True, help="Grid: measure also what is in the results.")
@click.option("--list", "only_list", is_flag=True, help="Grid: only name the cells.")
@click.pass_context
def bench(
    context: click.Context,
    spec: Path | None,
    steps: int,
    sequences: int | None,
    runs: int,
    algorithm: str | None,
    options: tuple[str, ...],
    dtype: str,
    schedule: str,
    threads: str,
    **asked: Any,
) -> int:
    """Time a network's kernel on random data; without SPEC the grid, beside other libraries.

    The grid's results are kept case by case, so that it can be stopped and gone on with.
    """
    default = click.core.ParameterSource.DEFAULT
    of_spec = ("steps", "sequences", "runs", "algorithm", "options", "dtype", "schedule")
    wrong = of_spec if spec is None else tuple(asked)
    for name in wrong:
        if context.get_parameter_source(name) is not default:
            flag = {"options": "-o", "only_list": "--list"}.get(name, f"--{name}")
            raise click.UsageError(
                f"{flag} is for a spec's kernel; give a spec file"
                if spec is None
                else f"{flag} is for the grid; leave out the spec"
            )
    if spec is None:
        from derive.display import run_grid

        return run_grid(console, complaints, threads=threads, **asked)
    shared = int(threads) if threads.isdecimal() else 0
    _time_kernel(spec, steps, sequences, runs, shared, algorithm, options, dtype, schedule)
    return 0


def _time_kernel(
    spec: Path,
    steps: int,
    sequences: int | None,
    runs: int,
    threads: int,
    algorithm: str | None,
    options: tuple[str, ...],
    dtype: str,
    schedule: str,
) -> None:
    import time

    import numpy as np

    from derive.kernel import as_network
    from derive.kernel import compile as compile_kernel
    from derive.options import read_options
    from derive.program.algorithms import settle

    if min(steps, runs, threads, 1 if sequences is None else sequences) < 1:
        raise click.UsageError("--steps, --sequences, --runs and --threads must be at least 1")
    net = as_network(spec)
    settled = settle(net, algorithm, read_options(options))
    kernel = compile_kernel(
        net, settled.pop("name"), dtype=dtype, batch=sequences is not None, schedule=schedule,
        threads=threads, **settled,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    tail = () if sequences is None else (sequences,)
    x = rng.normal(size=(steps, net.inputs, *tail)).astype(dtype)
    target = rng.normal(size=(steps, len(net.objective.targets), *tail)).astype(dtype)
    theta = net.init(0).astype(dtype)
    table = Table(title=repr(kernel), title_justify="left")
    for name in ("function", "median", "fastest", "per step"):
        table.add_column(name, justify="left" if name == "function" else "right")
    calls = {
        "forward": lambda: kernel.forward(theta, x),
        "gradient": lambda: kernel.gradient(theta, x, target),
    }
    for name, call in calls.items():
        call()
        taken = []
        for _ in range(runs):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
        median, least = float(np.median(taken)), min(taken)
        per_step = f"{median / steps / (sequences or 1) * 1e9:.0f} ns"
        table.add_row(name, f"{median * 1e6:.1f} µs", f"{least * 1e6:.1f} µs", per_step)
    console.print(table)
    console.print(escape(kernel.explain()))


@commands.command("compile")
@SPEC
@click.option("--explain", is_flag=True, help="Say why this schedule, and what bounds its time.")
@click.option("--ceilings", type=click.Path(path_type=Path), metavar="FILE",
              help="Results of derive bench: the peak measured instead of assumed.")  # fmt: skip
@ALGORITHM
@OPTIONS
@DTYPE
@BATCH
@SCHEDULE
def compile_(
    spec: Path,
    explain: bool,
    ceilings: Path | None,
    algorithm: str | None,
    options: tuple[str, ...],
    dtype: str,
    batch: bool,
    schedule: str,
) -> None:
    """Compile a network's kernel into the cache, and on demand explain it."""
    from derive.kernel import compile as compile_kernel
    from derive.options import read_options

    if ceilings is not None and not explain:
        raise click.UsageError("--ceilings: a bound is computed from it; add --explain")
    kernel = compile_kernel(
        spec, algorithm, dtype=dtype, batch=batch, schedule=schedule, **read_options(options)
    )
    console.print(escape(repr(kernel)))
    for stage, seconds in kernel.timings.items():
        console.print(f"  {stage}: {seconds:.2f} s")
    if not kernel.timings:
        console.print("  from the cache" if kernel.compiled else "  not compiled")
    if explain:
        click.echo(kernel.explain(ceilings))


@commands.command()
@SPEC
@click.option("--h", type=int, help="Steps of a window; the number of units if not given.")
@click.option("--h-prime", type=int, help="Steps between updates of BPTT(h; h′); h/2 if not given.")
@click.option("--groups", type=int, help="Also RTRL in so many groups of units.")
@click.option("--steps", default=100, show_default=True, help="L, the length of the history.")
def cost(spec: Path, h: int | None, h_prime: int | None, groups: int | None, steps: int) -> None:
    """Count what each algorithm costs on a network: per time step, read off its program."""
    from derive.kernel import as_network
    from derive.program.complexity import complexity
    from derive.program.spell import cost_table, formula_table, remarks

    found = complexity(as_network(spec), h, h_prime, groups, steps)
    counts, formulas = cost_table(found), formula_table(found)
    tables = {f"{found.network}: cost of a time step": counts, "the same as formulas": formulas}
    for title, rows in tables.items():
        table = Table(title=escape(title), title_justify="left")
        for i, name in enumerate(rows[0]):
            side: Any = "right" if i and rows is counts else "left"
            table.add_column(name, justify=side, min_width=max(map(len, name.split())))
        for row in rows[1:]:
            table.add_row(*map(escape, row))
        console.print(table)
    for line in remarks(found):
        console.print(escape(line))


@commands.group()
def cache() -> None:
    """The compiled kernels kept on disk."""


@cache.command("list")
def cache_list() -> None:
    """List the kernels in the cache."""
    import datetime

    from derive.build import cache as store

    table = Table()
    for name in ("digest", "network", "algorithm", "dtype", "batch", "made", "size"):
        table.add_column(name)
    for entry in store.entries():
        f = entry.fields
        made = datetime.datetime.fromtimestamp(float(entry.created))
        table.add_row(
            entry.digest[:12],
            escape(str(f.get("name"))),
            escape(str(f.get("algorithm", {}).get("name"))),
            str(f.get("dtype")),
            "yes" if f.get("batch") else "no",
            f"{made:%Y-%m-%d %H:%M}",
            f"{entry.size / 1024:.0f} KiB",
        )
    console.print(table)
    console.print(f"in {escape(str(store.root()))}")


@cache.command("clear")
@click.argument("digest", required=False)
def cache_clear(digest: str | None) -> None:
    """Remove all kernels, or the one whose digest starts with DIGEST."""
    from derive.build import cache as store

    count = store.clear(digest)
    console.print(f"{count} removed")


@cache.command("why")
@click.argument("a")
@click.argument("b")
def cache_why(a: str, b: str) -> None:
    """Say which fields of the keys of two kernels differ."""
    from derive.build import cache as store

    table = Table()
    for name in ("field", a, b):
        table.add_column(escape(name), overflow="fold")
    for field, left, right in store.why(a, b):
        table.add_row(escape(field), escape(str(left)), escape(str(right)))
    console.print(table)


@commands.command()
@click.option("--plot", type=click.Path(path_type=Path), default=Path("sunspots.png"),
              show_default=True, help="Where to draw the prediction.")  # fmt: skip
def demo(plot: Path) -> int:
    """Everything on real data: derive, prove, compile, check, train on sunspots, draw."""
    from derive.demo import run

    return run(console, complaints, plot)
