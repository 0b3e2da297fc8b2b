"""The main job from end to end, on the yearly sunspot numbers 1700–1979."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.rule import Rule

from derive.errors import DeriveError

SPEC = Path("sunspots.toml")


def find_spec() -> Path:
    """The spec of the demonstration: in this folder's examples, or beside the package.

    Raises
    ------
    DeriveError
        When neither place has it.
    """
    here = Path(__file__).resolve().parent
    places = [Path("examples"), here.parent / "examples", here / "examples"]
    for place in places:
        if (place / SPEC).is_file():
            return place / SPEC
    raise DeriveError(f"examples/{SPEC} is not here; run derive demo in a clone of the repository")


def run(console: Console, complaints: Console, plot: Path) -> int:
    """Derive, prove, emit, compile, check, train, report, draw; 0 when every claim holds."""
    from derive.display import keep_training, run_training, show_claims, show_training
    from derive.kernel import compile as compile_kernel
    from derive.kernel import differentiate
    from derive.network.network import Network
    from derive.verify import verify

    started = time.perf_counter()
    spec = find_spec()
    net = Network.load(spec)

    _heading(console, "1  What is stated", f"{spec}: {net!r}")
    for cell in net.cells:
        for state, body in cell.equations.states.items():
            console.print(f"    {cell.name}: {state}(t+1) = {escape(str(body))}")
    for term in net.objective.terms:
        console.print(f"    J(t) = Σ over {term.over} of {escape(str(term.expression))}")

    _heading(console, "2  What follows: derived, with the rule for each step", "")
    console.print(escape(str(differentiate(net))))

    _heading(console, "3  The program that is proved, and emitted", "")
    kernel = compile_kernel(net)
    console.print(escape(_shortened(str(kernel.program), 36)))
    how = kernel.timings or {"from the cache": 0.0}
    console.print(
        f"{len(kernel.source.splitlines())} lines of Cython, {kernel.explain()}; "
        + ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in how.items())
    )

    _heading(console, "4  Evidence", "exact proof, rounding, difference quotients, planted faults")
    with console.status("proving and checking") as status:
        report = verify(net, progress=lambda text: status.update(escape(text)))
    show_claims(console, report)

    _heading(console, "5  Training", "L-BFGS with the exact gradient of all training years")
    result, _ = run_training(complaints, spec)
    show_training(console, result)
    keep_training(console, result, net, Path(f"{net.name}_weights.npz"), plot)
    console.print(f"{time.perf_counter() - started:.0f} s in all")
    return 0 if report.ok else 1


def _heading(console: Console, title: str, remark: str) -> None:
    console.print()
    console.print(Rule(title, align="left"))
    if remark:
        console.print(escape(remark))


def _shortened(text: str, most: int) -> str:
    lines = text.splitlines()
    rest: list[Any] = [f"  … {len(lines) - most} more lines"] if lines[most:] else []
    return "\n".join(lines[:most] + rest)
