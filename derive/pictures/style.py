"""How pictures look: colours for light and dark, lines, type.

Every rule is for one picture only, by its id, so that several can stand in one page. A page that
has colours of its own can set ``--derive-ink`` and ``--derive-paper``.
"""

from __future__ import annotations

GROUPS = 6
"""So many tints tell populations apart; the legend names the units of each."""

LIGHT = {
    "ink": "#1c2230",
    "paper": "#ffffff",
    "quiet": "#5b6474",
    "late": "#1f5fbf",
    "now": "#b3540f",
    "back": "#a3195b",
    "own": "#2b7a3d",
    "g0": "#e3ecfb",
    "g1": "#fdeed4",
    "g2": "#e0f3e3",
    "g3": "#f7e1ee",
    "g4": "#e4f4f6",
    "g5": "#ece6f9",
}
DARK = {
    "ink": "#e8ebf2",
    "paper": "#14171e",
    "quiet": "#a3adbd",
    "late": "#86b4ff",
    "now": "#ffae6b",
    "back": "#ff8dc0",
    "own": "#86d596",
    "g0": "#22314d",
    "g1": "#4a3a1a",
    "g2": "#1f4028",
    "g3": "#4a2338",
    "g4": "#1c4145",
    "g5": "#372c55",
}
OPEN = {"ink": "--derive-ink", "paper": "--derive-paper"}

RULES = """
{id} {{ color: var(--dp-ink); font-family: "DejaVu Sans", "Segoe UI", Arial, sans-serif; }}
{id} text {{ fill: currentColor; stroke: none; font-size: 13px; }}
{id} .dp-paper {{ fill: var(--dp-paper); stroke: none; }}
{id} .dp-title {{ font-size: 16px; font-weight: 600; }}
{id} .dp-quiet {{ fill: var(--dp-quiet); font-size: 12px; }}
{id} .dp-math {{ font-family: "DejaVu Serif", Georgia, "Times New Roman", serif; }}
{id} .dp-small {{ font-size: 11px; }}
{id} .dp-label {{ paint-order: stroke; stroke: var(--dp-paper); stroke-width: 4px;
  stroke-linejoin: round; }}
{id} .dp-node {{ fill: var(--dp-paper); stroke: currentColor; stroke-width: 1.6; }}
{id} .dp-ring {{ fill: none; stroke: currentColor; stroke-width: 1.6; }}
{id} .dp-line {{ fill: none; stroke: currentColor; stroke-width: 1.3; }}
{id} .dp-head {{ fill: currentColor; stroke: currentColor; stroke-width: 1; }}
{id} .dp-hollow {{ fill: var(--dp-paper); stroke: currentColor; stroke-width: 1.3; }}
{id} .dp-input {{ color: var(--dp-quiet); }}
{id} .dp-late {{ color: var(--dp-late); }}
{id} .dp-now {{ color: var(--dp-now); }}
{id} .dp-back {{ color: var(--dp-back); }}
{id} .dp-own {{ color: var(--dp-own); }}
{id} .dp-fixed .dp-line {{ stroke-dasharray: 5 4; }}
{id} .dp-dotted .dp-line {{ stroke-dasharray: 2 4; }}
{id} .dp-faint .dp-line, {id} .dp-faint .dp-head {{ opacity: 0.55; }}
{id} .dp-tied .dp-line {{ stroke-width: 2.8; opacity: 1; }}
{id} .dp-grid {{ fill: none; stroke: var(--dp-quiet); stroke-width: 0.8; }}
{id} .dp-dot {{ fill: currentColor; stroke: none; }}
{id} .dp-edge:hover .dp-line {{ stroke-width: 3; }}
"""


def css(name: str) -> str:
    """The style sheet of the picture with this id."""
    here = f"#{name}"

    def set_to(colours: dict[str, str]) -> str:
        given = {
            key: f"var({OPEN[key]}, {value})" if key in OPEN else value
            for key, value in colours.items()
        }
        return f"{here} {{ {' '.join(f'--dp-{k}: {v};' for k, v in given.items())} }}"

    tints = "\n".join(f"{here} .dp-g{i} {{ fill: var(--dp-g{i}); }}" for i in range(GROUPS))
    dark = f"@media (prefers-color-scheme: dark) {{ {set_to(DARK)} }}"
    return f"\n{set_to(LIGHT)}\n{dark}{RULES.format(id=here)}{tints}\n"
