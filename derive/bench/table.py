"""Results as a page of Markdown: a line for each case, and what the ceilings were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEAD = (
    "case", "threads", "T", "derive", "best peer", "peer / derive", "of least times",
    "of processor time", "GFLOP/s", "of the FMA peak", "of gemm", "of sums by table",
    "of cached bandwidth",
)  # fmt: skip


def page(found: Mapping[str, Any]) -> str:
    """All of it."""
    cases = sorted(found["cases"].values(), key=_order)
    good = [c for c in cases if "failed" not in c]
    lines = ["# The grid", "", said_of_machine(found["machine"]), ""]
    lines += [f"- {said_of_ceilings(k, v)}" for k, v in sorted(found["ceilings"].items())]
    lines += ["", summary(good), "", _row(HEAD), "|---" * len(HEAD) + "|"]
    lines += [_row(row(c, found["ceilings"].get(str(c["threads"]), {}))) for c in good]
    if failed := [c for c in cases if "failed" in c]:
        lines += ["", "## Failed", "", *(f"- {c['key']}: {c['failed']}" for c in failed)]
    lines += ["", "## All medians, in µs", ""]
    for c in good:
        times = ", ".join(f"{k} {1e6 * v['median']:,.0f}" for k, v in c["seconds"].items())
        lines.append(f"- {c['key']}, {c['threads']}: {times}")
        lines += [f"  - not {name}: {why}" for name, why in c["refused"].items()]
    return "\n".join(lines) + "\n"


def _order(c: Mapping[str, Any]) -> tuple[Any, ...]:
    """As one reads a grid: kinds, then sizes, from full to sparse."""
    if "case" not in c:
        return (c["key"],)
    k = c["case"]
    return k["cell"], k["what"], k["units"], -k["density"], k["batch"], k["dtype"], c["threads"]


def said_of_machine(machine: Mapping[str, Any]) -> str:
    """A sentence: processor, compiler, versions."""
    packages = ", ".join(f"{k} {machine[k]}" for k in ("numpy", "jax", "torch", "numba"))
    return (
        f"{machine['cores']} cores of {machine['processor']} ({machine['instructions']}), "
        f"{machine['libc']}, {machine['compiler']} with `{' '.join(machine['flags'])}`, Python "
        f"{machine['python']}, derive {machine['derive']}, {packages}."
    )


def said_of_ceilings(threads: str, c: Mapping[str, float]) -> str:
    """A line: what the processor can do."""
    rates = ", ".join(
        f"{k} {v / 1e9:.0f} {'GB/s' if k in ('cached', 'memory') else 'GFLOP/s'}"
        for k, v in c.items()
    )
    return f"{threads} thread{'s' * (threads != '1')}: {rates}"


def summary(cases: list[Mapping[str, Any]]) -> str:
    """How many are ahead, and the closest and farthest."""
    ratios = {f"{c['key']}, {c['threads']}": c["ratio"]["median"] for c in cases if c["ratio"]}
    if not ratios:
        return "Nothing was compared."
    ahead = sum(r > 1 for r in ratios.values())
    worst, best = min(ratios, key=ratios.__getitem__), max(ratios, key=ratios.__getitem__)
    return (
        f"derive is ahead of the best peer in {ahead} of {len(ratios)} cases: from "
        f"{ratios[worst]:.2f} ({worst}) to {ratios[best]:.2f} ({best}). Brackets hold quartiles."
    )


def row(c: Mapping[str, Any], ceilings: Mapping[str, float]) -> tuple[str, ...]:
    """The cells of a case's line."""
    own = c["seconds"][c["derive"]]
    rate = c["operations"] / own["least"]
    dtype = c["case"]["dtype"]
    sums = "sparse" if c["case"]["batch"] > 1 else "sparse, one"
    by_table = ceilings.get(f"{sums} {dtype}") if c["case"]["density"] < 1 else None
    peer, ratio, least, processor = "none", "", "", ""
    if c["best_peer"]:
        r = c["ratio"]
        peer = f"{c['best_peer']}: {micro(c['seconds'][c['best_peer']])}"
        ratio = f"**{r['median']:.2f}** ({r['lower']:.2f}–{r['upper']:.2f})"
        least, processor = f"{c['least_ratio']:.2f}", f"{c['processor_ratio']['median']:.2f}"
    return (
        c["key"], str(c["threads"]), str(c["steps"]), micro(own), peer, ratio, least, processor,
        f"{rate / 1e9:.1f}", share(rate, ceilings.get(f"fma {dtype}")),
        share(rate, ceilings.get(f"gemm {dtype}")), share(rate, by_table),
        share((c["bytes"] or 0) / own["least"], ceilings.get("cached")) if c["bytes"] else "",
    )  # fmt: skip


def share(rate: float, ceiling: float | None) -> str:
    """A rate as per cent of a ceiling."""
    return f"{100 * rate / ceiling:.0f} %" if ceiling else ""


def micro(seconds: Mapping[str, float]) -> str:
    """A median in µs, with its quartiles."""
    median, lower, upper = (1e6 * seconds[k] for k in ("median", "lower", "upper"))
    return f"{median:,.0f} µs ({lower:,.0f}–{upper:,.0f})"


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
