"""A first spec file to go on from: a layer of one of the library's cells and a linear read-out."""

from __future__ import annotations

import copy
import inspect
import math
import re
import textwrap
import tomllib
from pathlib import Path
from typing import Any

from derive.errors import NetworkError
from derive.files import write_whole
from derive.network.cell import Cell
from derive.network.identifiers import validate_identifier
from derive.network.library import LIBRARY
from derive.network.network import Network
from derive.network.specfile import near
from derive.network.topology import whole

ROWS = 240
MOST_LINES = 1000
WIDTH = 98
REMARK = 34
"""The column where remarks begin."""

TEMPLATE = """\
# {name}: {units} units with the cell {cell}, and a linear read-out.
#
#   derive show {file}      the equations it learns by
#   derive verify {file}    proofs and measurements of these
#   derive train {file}     fit it to the data named below
#
# docs/spec.md has every key.
spec = "derive/1"
name = "{name}"                 # an identifier; the emitted module has this name

# --- the cell: the equations of one unit ---------------------------------------------------
{cells}
# --- units, numbered population by population ----------------------------------------------

[populations.hidden]
cell = "{cell}"                 # a table [cells.NAME], or a table here
size = {units}

[populations.out]
cell = {{ library = "semilinear", activation = "identity", bias = true }}
size = {outputs}

[network]
inputs = {inputs}               # input lines, the columns of x

# --- connections: from and to are populations or "inputs", or lists of these ----------------
# pattern: "full" (default), "one_to_one", "ring", {{ random = 0.1, seed = 0 }},
#          {{ pairs = [[target, source], …] }} or {{ csv = "file.csv" }}
# also:    net_inputs = ["…"], weight = "an id to share", self = false

[[connections]]
from = ["inputs", "hidden"]
to = "hidden"                   # every net input of its units: {net_inputs}
delay = 1                       # steps from source to target

[[connections]]
from = "hidden"
to = "out"
delay = 0                       # the read-out is of the same step

# --- what the outputs are judged by ---------------------------------------------------------

[objective]
J = "-(d - y)**2/2"             # of target d and output y, summed over targets; it is maximised
targets = "out"                 # a population, or a list of units

[algorithm]
name = "epochwise"              # realtime, truncated, rtrl, hybrid, settling: see the README

# --- what derive train learns: the next row of made-up signals, until you name your own data --

[data]
file = "{sample}"   # relative to this file
time = "step"
inputs = [{input_columns}]
targets = [{target_columns}]
ahead = 1                       # predict this many rows ahead

[training]
train = [0, {last_train}]       # first and last step, both included
washout = 10                    # the first steps are heard but not judged
seeds = [0]                     # one restart each; the largest objective is kept
iterations = 100

[training.test]
later = [{first_test}, {last}]
"""


def write_starter(
    name: str,
    cell: str = "semilinear",
    units: int = 8,
    inputs: int = 1,
    outputs: int = 1,
    path: str | Path | None = None,
    force: bool = False,
    spelled_out: bool = False,
) -> tuple[Path, Path]:
    """Write a starter spec and its sample data; nothing is written unless the spec is valid.

    Parameters
    ----------
    name : str
        Of the network; an identifier.
    cell : str
        A cell of the library.
    units, inputs, outputs : int
        Hidden units, input lines, and units of the read-out.
    path : path, optional
        Of the spec, ending in .toml; ``NAME.toml`` in the current folder if not given. The sample,
        ``NAME_sample.csv``, comes beside it.
    force : bool
        Overwrite what is there.
    spelled_out : bool
        State the cell by its equations instead of by its name in the library.

    Returns
    -------
    tuple of Path
        The spec and the sample.

    Raises
    ------
    NetworkError
        Naming the argument at fault, or the file that is there already.
    """
    validate_identifier(name, "name")
    spec = Path(f"{name}.toml") if path is None else Path(path)
    if spec.suffix.lower() != ".toml":
        raise NetworkError(f"path: a starter is written as TOML; {spec} does not end in .toml")
    sample = spec.with_name(f"{name}_sample.csv")
    for there in (spec, sample):
        if not force and (there.exists() or there.is_symlink()):
            raise NetworkError(f"{there}: is there already; --force overwrites it")
    shown = spec.name if re.fullmatch(r"[\w.+-]+", spec.name) else f"{name}.toml"
    text = starter(name, cell, units, inputs, outputs, spelled_out, shown)
    Network.load(tomllib.loads(text))
    was_there = sample.exists()
    try:
        write_whole(sample, sample_data(max(inputs, outputs)))
        try:
            write_whole(spec, text)
        except OSError:
            if not was_there:
                sample.unlink()
            raise
    except OSError as error:
        raise NetworkError(f"{spec}: cannot be written: {error.strerror}") from None
    return spec, sample


def starter(
    name: str,
    cell: str = "semilinear",
    units: int = 8,
    inputs: int = 1,
    outputs: int = 1,
    spelled_out: bool = False,
    file: str | None = None,
) -> str:
    """The text of a starter spec; the arguments are those of :func:`write_starter`."""
    validate_identifier(name, "name")
    if not isinstance(cell, str) or cell not in LIBRARY:
        raise NetworkError(f"cell: no {cell!r} in the library; {near(cell, LIBRARY)}")
    whole(units, "units", 1)
    whole(inputs, "inputs", 1, MOST_LINES)
    whole(outputs, "outputs", 1, MOST_LINES)
    made = LIBRARY[cell]()
    text = TEMPLATE.format(
        name=name,
        file=file or f"{name}.toml",
        cell=cell,
        cells=_spelled_out(cell, made) if spelled_out else _by_name(cell, made),
        net_inputs=", ".join(made.net_inputs),
        units=units,
        inputs=inputs,
        outputs=outputs,
        sample=f"{name}_sample.csv",
        input_columns=", ".join(f'"signal_{i}"' for i in range(inputs)),
        target_columns=", ".join(f'"signal_{i}"' for i in range(outputs)),
        last_train=ROWS * 3 // 4 - 1,
        first_test=ROWS * 3 // 4,
        last=ROWS - 1,
    )
    return "\n".join(map(_aligned, text.splitlines())) + "\n"


def sample_data(columns: int) -> str:
    """A CSV of slowly beating sines, one column each."""
    lines = [",".join(["step", *(f"signal_{i}" for i in range(columns))])]
    for t in range(ROWS):
        values = (
            math.sin(2 * math.pi * t / (9 + 2 * i)) * (0.5 + 0.3 * math.cos(2 * math.pi * t / 50))
            for i in range(columns)
        )
        lines.append(",".join([str(t), *(f"{v:.4f}" for v in values)]))
    return "\n".join(lines) + "\n"


# --- the cell ---------------------------------------------------------------------------------


def long_form(cell: Cell) -> dict[str, Any]:
    """The ``[cell]`` table that states a cell by its equations."""
    unnamed = copy.copy(cell)
    unnamed._spec = None
    return unnamed.to_spec()


def _spelled_out(name: str, cell: Cell) -> str:
    import tomli_w

    spec = {k: v for k, v in long_form(cell).items() if k != "name"}
    return (
        "# The value of each state at the next step. On the right a state is its value at this\n"
        "# step, and a net input the weighted sum for the step being computed.\n\n"
        + tomli_w.dumps({"cells": {name: spec}})
    )


def _by_name(name: str, cell: Cell) -> str:
    lines = [f"# {line}".rstrip() for line in _summary(name)]
    lines += ["#"] if lines else []
    lines += ["# One unit at the next step; on the right a state is its value at this step:"]
    lines += [f"#   {equation}" for equation in _equations(cell)]
    lines += ["", f"[cells.{name}]", f'library = "{name}"']
    return "\n".join(lines + list(_options(name))) + "\n"


def _summary(name: str) -> list[str]:
    text = inspect.getdoc(LIBRARY[name]) or ""
    return text.split("\n\n", 1)[0].splitlines()


def _equations(cell: Cell) -> list[str]:
    spec = long_form(cell)
    stated = {**spec.get("intermediates", {}), **spec["equations"]}
    return [f"{key} = {body}" for key, body in stated.items()]


def _options(name: str) -> list[str]:
    """Lines for each parameter of the cell: its default, and what the docstring says of it."""
    lines = []
    for key, parameter in inspect.signature(LIBRARY[name]).parameters.items():
        value = _toml(parameter.default)
        line = f"{key} = {value}" if value is not None else f"# {key} = …"
        remark = _remark(name, key)
        if len(remark) > WIDTH - REMARK:
            lines += textwrap.wrap(remark, WIDTH, initial_indent="# ", subsequent_indent="# ")
            remark = ""
        lines.append(_aligned(f"{line}  # {remark}") if remark else line)
    return lines


def _remark(name: str, key: str) -> str:
    """What the docstring of a cell says of a parameter, as plain text."""
    text = described(inspect.getdoc(LIBRARY[name]) or "").get(key, "")
    other = re.fullmatch(r"As for :func:`(\w+)`\.", text)
    if other and other[1] in LIBRARY and other[1] != name:
        return _remark(other[1], key)
    return re.sub(r":\w+:`~?([^`]*)`|``([^`]*)``", r"\1\2", text)


def _aligned(line: str) -> str:
    """A line with its remark, if it has one, where the remarks of other lines stand."""
    found = re.fullmatch(r"([^#\s][^#]*?) +# (.*)", line)
    return line if found is None else f"{found[1]:<{REMARK - 3}} # {found[2]}"


def _toml(value: Any) -> str | None:
    """A plain value as TOML; ``None`` for one that a spec cannot state."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str) and re.fullmatch(r"[ -~]*", value) and not re.search(r'["\\]', value):
        return f'"{value}"'
    return None


def described(docstring: str) -> dict[str, str]:
    """The first sentence on each parameter in the ``Parameters`` section of a numpydoc string."""
    _, _, rest = docstring.partition("Parameters\n----------\n")
    body = re.split(r"\n\n?[A-Z]\w+\n-{3,}\n", rest)[0]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in body.splitlines():
        head = re.fullmatch(r"([\w, ]+?) *: .*", line)
        if head:
            names = [n.strip() for n in head[1].split(",")]
            found.update(dict.fromkeys(names, ""))
        elif line.startswith("    "):
            for name in names:
                found[name] = f"{found[name]} {line.strip()}".strip()
    return {name: re.split(r"(?<=\.) ", text)[0] for name, text in found.items()}
