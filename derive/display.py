"""What commands print: tables of claims and of training, with progress where it takes a while."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table


def claims_table(report: Any) -> Table:
    """A verification report as a table."""
    from derive.verify.report import number_text

    table = Table(title=f"{report.network}, {report.algorithm}", title_justify="left")
    table.add_column("claim")
    table.add_column("method")
    # A number that is cut off loses its exponent.
    for name in ("worst error", "limit", "verdict"):
        table.add_column(name, no_wrap=True)
    table.add_column("holds for")
    for claim in report.claims:
        colour = {"holds": "green", "FAILS": "bold red"}.get(claim.said, "yellow")
        table.add_row(
            escape(str(claim.name)),
            escape(str(claim.method)),
            number_text(claim.worst),
            number_text(claim.limit),
            f"[{colour}]{claim.said}[/]",
            escape(str(claim.scope)),
        )
    return table


SAID_IN_WORDS = ("proved on", "planted faults", "smallest that fails")
"""Claims of which the table's numbers say little."""


def show_claims(console: Console, report: Any) -> None:
    """Print a verification report: the table, what is known of each failure, the verdict."""
    console.print(claims_table(report))
    for claim in report.claims:
        if claim.ok and claim.name in SAID_IN_WORDS:
            console.print(f"{escape(claim.name)}: {escape(claim.detail)}")
    for claim in report.claims:
        if not claim.attempted:
            console.print(f"[yellow]{escape(claim.name)}[/]: {escape(claim.detail)}")
    for claim in report.failed:
        console.print(f"[bold red]{escape(claim.name)}[/], {escape(claim.method)}: "
                      f"{escape(claim.detail) or 'no detail'}")  # fmt: skip
        if claim.at:
            console.print(f"  at {escape(claim.at)}")
        if again := report.reproduce(claim):
            console.print(f"  reproduce: {escape(again)}")
    console.print("[bold green]all claims hold[/]" if report.ok else "[bold red]a claim fails[/]")


COLOURS = {"holds": "green", "false": "bold red", "ill-formed": "bold red", "undecided": "yellow"}


def show_judged(console: Console, judged: Any) -> None:
    """Print a claim with the verdict on each of its equations, and why."""
    line = "" if judged.claim.line is None else f"line {judged.claim.line}: "
    unexpected = "" if judged.ok else "  [bold red]not as expected[/]"
    console.print(f"[bold]{escape(line + judged.claim.name)}[/]{unexpected}")
    for v in judged.verdicts:
        text = " ".join(v.text.split())
        console.print(f"  [{COLOURS[v.verdict]}]{v.verdict}[/]  {escape(text)}")
        for said in (v.because, v.nearest, v.equation):
            if said:
                console.print(f"    {escape(said)}")


def run_training(
    complaints: Console,
    spec: Path,
    algorithm: str | None = None,
    options: Mapping[str, Any] | None = None,
    **learnt_by: Any,
) -> tuple[Any, Any]:
    """Train a spec's network with a progress bar; the report and the network.

    Parameters
    ----------
    complaints : Console
        Where the bar is shown.
    spec : Path
    algorithm, options
        Of the kernel, instead of what the spec says.
    **learnt_by
        ``method``, ``eta``, ``epochs``, instead of what the spec says.
    """
    from derive.kernel import compile as compile_kernel
    from derive.network.network import Network
    from derive.network.specfile import read
    from derive.program.algorithms import ALGORITHMS, settle
    from derive.timeseries import Task, TaskError
    from derive.train import train as fit_task

    data = read(spec)
    net = Network.load(spec)
    task = Task.from_spec(data.get("data", {}), data.get("training", {}), spec.parent)
    task = task.learnt_by(**learnt_by)
    settled = settle(net, algorithm, options or {})
    if task.method == "online" and not ALGORITHMS[settled["name"]].online:
        raise TaskError(
            f"method: 'online' needs an algorithm that learns at every step, and "
            f"{settled['name']!r} needs the whole sequence; take "
            + ", ".join(name for name, known in ALGORITHMS.items() if known.online)
        )
    kernel = compile_kernel(net, settled.pop("name"), **settled)
    bar = Progress(
        TextColumn("training"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.description}"),
        TimeElapsedColumn(),
        console=complaints,
        transient=True,
    )
    with bar:
        job = bar.add_task("", total=1.0)

        def progress(fraction: float, text: str) -> None:
            bar.update(job, completed=fraction, description=escape(text))

        return fit_task(task, net, kernel, progress), net


def show_training(console: Console, report: Any) -> None:
    """Print a training report beside its baselines."""
    header, *rows = report.table()
    table = Table(title="average relative variance, one step ahead", title_justify="left")
    for i, name in enumerate(header):
        table.add_column(escape(name), justify="right" if i else "left")
    for row in rows:
        style = "bold" if row[0] == report.network else None
        table.add_row(*map(escape, row), style=style)
    console.print(table)
    for restart in report.restarts:
        if restart.result is None or restart.result.diverged:
            how = "dropped: " if restart.result is None else ""
            console.print(f"[yellow]seed {restart.seed}[/] {how}{escape(restart.note)}")
    console.print(
        f"seed {report.seed} of {len(report.restarts)} restarts kept; "
        f"{report.seconds:.1f} s of training"
    )


def keep_training(
    console: Console, report: Any, net: Any, weights: Path, plot: Path | None
) -> None:
    """Save the weights, and draw the prediction where that is asked for."""
    from derive.train import plot as draw
    from derive.train import save_weights

    save_weights(weights, report.theta, net)
    console.print(f"weights saved in {escape(str(weights))}")
    if plot is not None:
        draw(report, plot)
        console.print(f"prediction drawn in {escape(str(plot))}")


def run_grid(
    console: Console,
    complaints: Console,
    *,
    quick: bool,
    only: tuple[str, ...],
    cells: str,
    threads: str,
    against: str | None,
    out: Path,
    again: bool,
    only_list: bool,
) -> int:
    """Measure cells of the grid, a line for each; exit status 1 when one fails.

    What was measured when the user stops it is kept, with its table and picture.
    """
    from derive.bench.grid import chosen
    from derive.bench.peers import checked
    from derive.bench.results import Results
    from derive.bench.running import counts, run

    cases = chosen(only, cells.split(","), quick)
    if only_list:
        for case in cases:
            console.print(f"{case.key}, T = {case.steps}")
        return 0
    peers, numbers = checked(against, quick), counts(threads)
    results = Results(out, "quick" if quick else "grid", again)
    failed = 0
    with complaints.status("starting") as status:
        say = (lambda text: status.update(escape(text))) if complaints.is_terminal else _ignore
        try:
            for found in run(cases, numbers, peers, quick, results, again, say):
                failed += "failed" in found
                console.print(_said_of_case(found))
        finally:
            if results.found["cases"]:
                for path in results.finish():
                    console.print(f"wrote {escape(str(path))}")
    return 1 if failed else 0


def _ignore(text: str) -> None:
    pass


def _said_of_case(found: Mapping[str, Any]) -> str:
    head = escape(f"{found['key']}, {found['threads']}")
    if "failed" in found:
        return f"{head}: [bold red]failed[/]: {escape(found['failed'])}"
    own = 1e6 * found["seconds"][found["derive"]]["median"]
    said = f"{head}: {own:,.0f} µs"
    if found["best_peer"]:
        ratio = found["ratio"]["median"]
        colour = "green" if ratio > 1 else "red"
        said += (
            f", [{colour}]{ratio:.2f}[/] times as fast as {escape(found['best_peer'])} "
            f"({found['least_ratio']:.2f} of least times)"
        )
    for name, why in found["refused"].items():
        said += f"\n  [yellow]{escape(name)}[/]: {escape(why)}"
    return said
