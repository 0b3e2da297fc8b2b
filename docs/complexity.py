"""Writes docs/complexity.md: every number in it is counted when this runs.

    python docs/complexity.py > docs/complexity.md

What they are held against stands in ``published.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import sympy
from published import EXACT, ORDERS, Order, straightforward

from derive.network import connect
from derive.network.library import semilinear
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.program.complexity import STEPS, AlgorithmCost, Complexity, complexity
from derive.program.spell import number, spelled

SIZES = (4, 8, 16, 32, 64)


# --- the networks --------------------------------------------------------------------------------


def tanh_net(
    units: int, inputs: int, connections: Any, targets: Sequence[int] | None = None
) -> Network:
    """Semilinear tanh units; a target on each of them, if not said otherwise."""
    chosen = range(units) if targets is None else targets
    return Network(semilinear("tanh"), units, inputs, connections, SquaredError(chosen), name="n")


def full_net(units: int) -> Network:
    """Everything connected, as many input lines as units."""
    return tanh_net(units, units, connect.full())


def sparse_net(units: int) -> Network:
    """Three units and one of two input lines into each unit, whatever their number."""
    wires = [(k, (k - back) % units) for k in range(units) for back in (1, 2, 3)]
    return tanh_net(units, 2, wires + [(k, units + k % 2) for k in range(units)])


@cache
def counted(make: Callable[[int], Network], units: int) -> Complexity:
    """All algorithms on a network of that size; h = n, h′ = n/2, groups of four units."""
    return complexity(make(units), groups=units // 4)


# --- growth --------------------------------------------------------------------------------------


def exponent(counts: Sequence[float]) -> float:
    """The slope of log count over log n, by least squares."""
    slope, _ = np.polyfit(np.log(SIZES), np.log(np.array(counts, dtype=float)), 1)
    return float(slope)


def growth(make: Callable[[int], Network], what: str, form: Callable[[Order], Any]) -> list[str]:
    """A table: counts for each n, the fitted exponent, that of the last doubling, and Θ's."""
    rows = [["algorithm", *(f"n = {units}" for units in SIZES), "fitted", "last", "Θ"]]
    for order in ORDERS:
        said = form(order)
        if said is None:
            continue
        counts = [getattr(counted(make, units)[order.title], what) for units in SIZES]
        last = float(np.log2(float(counts[-1]) / float(counts[-2])))
        fits = [f"{exponent(counts):.2f}", f"{last:.2f}"]
        rows.append([order.title, *map(number, counts), *fits, said])
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as Markdown, numbers to the right."""
    aligned = ["---", *("--:" if _is_number(cell) else "---" for cell in rows[1][1:])]
    return [f"| {' | '.join(row)} |" for row in (rows[0], aligned, *rows[1:])]


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("×", "").strip().isdigit()


# --- exact counts --------------------------------------------------------------------------------


def exact_counts() -> list[str]:
    """The table of exact counts on one full net, each checked to be what it says."""
    found = counted(full_net, 8)
    rows = [["algorithm", "straightforward sparse code", "ours has besides", "sum", "counted"]]
    for exact in EXACT:
        row = found[exact.title]
        expected = straightforward(row, exact)
        if expected != row.multiplications:
            raise AssertionError(f"{exact.title}: {expected} expected, {row.multiplications}")
        texts = [_plain(exact.straightforward), spelled(sympy.expand(exact.besides))]
        rows.append([exact.title, *texts, number(int(expected)), number(row.multiplications)])
    return table(rows)


def _plain(formula: Any) -> str:
    return str(formula).replace("**2", "²").replace("*", "·")


# --- structure -----------------------------------------------------------------------------------


def examples() -> dict[str, Network]:
    """Sparse nets of 32 units, by what they are."""
    loops = [(k, k) for k in range(32)] + [(k, 32 + k % 4) for k in range(32)]
    return {
        "self-loops alone, targets on all": tanh_net(32, 4, loops),
        "four layers of eight, recurrent within, targets on the last": tanh_net(
            32, 4, connect.layers(8, 8, 8, 8), range(24, 32)
        ),
        "random, 3 %, targets on all": tanh_net(32, 4, connect.random(0.03, 0)),
        "random, 10 %, one target": tanh_net(32, 4, connect.random(0.1, 0), [0]),
        "random, 10 %, targets on all": tanh_net(32, 4, connect.random(0.1, 0)),
        "full, targets on all": tanh_net(32, 4, connect.full()),
    }


def structure() -> list[str]:
    """What RTRL and the hybrid take on sparse nets, beside code that knows no structure."""
    rows = [["net", "sensitivities", "of n·w_A", "RTRL", "straightforward", "ratio", "FP/BPTT(32)",
             "straightforward", "ratio"]]  # fmt: skip
    for what, net in examples().items():
        found = complexity(net, h=32)
        values = found["RTRL"].names.values
        line = [what, number(values["p"]), number(values["n"] * values["w_A"])]
        for exact in EXACT:
            if exact.title in ("RTRL", "FP/BPTT(h)"):
                ours = found[exact.title].multiplications
                theirs = float(straightforward(found[exact.title], exact))
                line += [number(ours), f"{theirs:,.0f}", f"{theirs / float(ours):.1f}×"]
        rows.append(line)
    return table(rows)


def delays() -> list[str]:
    """What the hybrid's sweeps cost where connections are slow."""
    rows = [["delay", "RTRL", "FP/BPTT(h)", "BPTT(h)", "kept by RTRL", "kept by FP/BPTT(h)"]]
    for delay in (1, 2, 4):
        found = complexity(tanh_net(16, 16, connect.full(delay)))
        counts = [found[t].multiplications for t in ("RTRL", "FP/BPTT(h)", "BPTT(h)")]
        space = [found[t].kept for t in ("RTRL", "FP/BPTT(h)")]
        rows.append([str(delay), *map(number, (*counts, *space))])
    return table(rows)


def formulas() -> list[str]:
    """Multiplications and numbers kept as formulas, in a full net."""
    rows = [["algorithm", "multiplications per step", "numbers kept"]]
    for row in counted(full_net, 16).rows:
        rows.append([row.title, *(spelled(row.formulas[w]) for w in ("multiplications", "kept"))])
    return table(rows)


# --- the page ------------------------------------------------------------------------------------


def page() -> str:
    """The whole document."""
    found = counted(full_net, 64)
    rtrl, hybrid, epochwise = (found[t] for t in ("RTRL", "FP/BPTT(h)", "epochwise BPTT"))
    grouped = found["RTRL in g groups"]
    loops = complexity(examples()["self-loops alone, targets on all"], h=32)
    beyond = hybrid.names.values["w_U"]
    parts = [
        "# What learning costs",
        "*Written by `python docs/complexity.py`; every number is counted when it runs. "
        "`derive cost SPEC` prints the same for a network of yours.*",
        "The counts are read off the Programs that are emitted: every multiplication in the loops "
        "of a time step, in the steady state, averaged over a window where an algorithm works in "
        "windows. Numbers kept are those of the state between steps and of the scratch within one; "
        "the caller's arrays (parameters, inputs, gradient) are left out. "
        "Nets here have tanh units, a target on each unit at every step, unless said otherwise.",
        "## Growth",
        "Fully connected, m = n input lines, h = n, h′ = n/2, groups of four units, "
        f"L = {STEPS}. *Fitted* is the slope of log count over log n by least squares over all "
        "five sizes, *last* that of the last doubling. Θ is the order re-derived from the "
        "equations; Williams and Zipser's own printed table could not be seen, so the "
        "comparison is with these forms and, below, with exact counts of straightforward code.",
        "### Multiplications per step",
        growth(full_net, "multiplications", lambda o: f"{o.time} ∝ n{_power(o.full[0])}"),
        "### Numbers kept",
        growth(full_net, "kept", lambda o: f"{o.space} ∝ n{_power(o.full[1])}"),
        "### The same with a fixed fan-in",
        "Each unit hears three others and one of m = 2 input lines, so w_U = 3n and w_A = 4n; "
        "every unit reaches every other, so there is no structure to save by. Multiplications per "
        "step, then numbers kept:",
        growth(sparse_net, "multiplications",
               lambda o: o.sparse and f"{o.time} ∝ n{_power(o.sparse[0])}"),
        growth(sparse_net, "kept", lambda o: o.sparse and f"{o.space} ∝ n{_power(o.sparse[1])}"),
        "The fits lie a little below Θ where a term of lower order still weighs at n = 4: the "
        "forward pass, J and e, and for space the few locals of a unit. Those of the last "
        "doubling are closer.",
        "## Formulas",
        "In a full net. p is the number of sensitivities kept, n·w_A where everything reaches "
        "everything, and q that of products w·p in a step of RTRL, w_U·w_A there; n_T units have "
        "targets, and p_T sensitivities are theirs.",
        formulas(),
        "## Beside straightforward code",
        "Exact multiplications per step of straightforward sparse code, which takes f′ and e as "
        "given and leaves the forward pass out. Ours counts these too: w_A for the forward pass; 4 "
        "for each target, for J and e = m·(d − y), each with its mask m; n for f′ = 1 − y² "
        "each time it is found. "
        "With that added the counts agree exactly. The numbers are for n = m = 8, h = 8, h′ = 4, "
        f"g = 2, L = {STEPS}:",
        exact_counts(),
        "The equality is tested for full nets and for random sparse ones in which every unit "
        "reaches every other, and the formulas are tested to be the counts on random "
        "nets of all kinds (`tests/test_complexity.py`).",
        "## Where ours is better",
        "A sensitivity that no path from its weight reaches is zero, and one from which no path "
        "leads to a target is of no use. Neither is kept or computed. All nets have 32 units and 4 "
        "input lines; multiplications per step; *straightforward* is the table above.",
        structure(),
        "A net of self-loops keeps one sensitivity a weight instead of n, as the special "
        "algorithm for such nets would. The hybrid saves by the same structure: one sweep for "
        "each unit that counts, and for each parameter only those sweeps that it reaches.",
        "Subgroups: g equal groups of a full net keep a g-th of the sensitivities and take a g²-th "
        f"of the products, exactly: at n = m = 64 and g = {grouped.names.values['g']} it is "
        f"{number(grouped.names.values['p'])} instead of {number(rtrl.names.values['p'])}, and "
        f"{number(grouped.names.values['q'])} instead of {number(rtrl.names.values['q'])}. "
        f"The whole step takes 1/{ratio(rtrl, grouped)} of RTRL's multiplications, since e·p and "
        "the forward pass shrink less.",
        "## Where ours is worse, and why",
        "\n".join([
            f"- **Two times of sensitivities.** RTRL keeps p(t−1) beside p(t), {number(rtrl.kept)} "
            "numbers at n = m = 64. Parameter by parameter they could be renewed in place, with "
            f"little more than n·w_A = {number(rtrl.names.values['p'])}; they are renewed unit by "
            "unit, in long runs of neighbours, which is what vectors are good at. "
            f"The hybrid keeps both ends of a window and what it gathers, {number(hybrid.kept)}.",
            "- **Masks.** A target may be missing at any step, so J and e carry a factor m: 2 of "
            "the 4 multiplications a target.",
            "- **The last step of a window.** BPTT(h) carries ε across the connections once more "
            f"than the gradient needs, at n = m = 64 {number(beyond)} multiplications a sweep: one "
            "loop body serves all steps, and the hybrid needs that ε.",
            "- **f′ twice in the hybrid.** The sweep of errors and those of the units each find "
            "1 − y², n multiplications a step more than needed.",
            "- **The backward sweeps know no structure.** Units from which no path leads to a "
            "target have ε = 0, and are passed like the others in all forms of BPTT.",
            "- **The hybrid's sweeps know little of it.** At each unit and connection the sweeps "
            "of all Q units that count are a run of neighbours, the zeros among them too. "
            f"In the net of self-loops above that is {number(loops['FP/BPTT(h)'].multiplications)} "
            f"multiplications where RTRL takes {number(loops['RTRL'].multiplications)}.",
            "- **Held inputs in settling.** Each step of relaxing adds up the input lines anew, "
            "w_I multiplications, though they do not change.",
            "- **Delays in the hybrid.** With a longest delay D the sensitivities of D times are "
            "needed at a window's end, and each takes sweeps of its own, with terms from D times "
            "at its start: D times the sweeps and D² times the edge. RTRL has them anyway. A full "
            "net, n = m = 16, h = 16, all delays the same:",
        ]),
        delays(),
        f"Epochwise BPTT keeps the whole epoch, {number(epochwise.kept)} numbers for L = {STEPS} "
        "at n = m = 64, and is the cheapest per step. Of the algorithms that "
        "run on for ever and are exact, FP/BPTT(h) takes less than RTRL from "
        f"n = {crossing()} on in a full net, and {ratio(rtrl, hybrid)} times less at n = 64.",
    ]  # fmt: skip
    texts = [part if isinstance(part, str) else "\n".join(part) for part in parts]
    return "\n\n".join(texts) + "\n"


def _power(exponent: int) -> str:
    return "" if exponent == 1 else str(exponent).translate(str.maketrans("234", "²³⁴"))


def ratio(more: AlgorithmCost, less: AlgorithmCost) -> str:
    """How many times the multiplications of one are those of another."""
    return f"{float(more.multiplications / less.multiplications):.0f}"


def crossing() -> int:
    """The smallest full net with m = n in which the hybrid multiplies less often than RTRL."""
    for units in range(1, 16):
        found = complexity(full_net(units))
        if found["FP/BPTT(h)"].multiplications < found["RTRL"].multiplications:
            return units
    raise AssertionError("none up to 16 units")


if __name__ == "__main__":
    print(page(), end="")
