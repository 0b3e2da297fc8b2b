"""A prediction task on a table of numbers: what is read, what is predicted, and when.

A row of the table is one step of time. The task says which columns a network hears, which it
predicts and how many rows ahead, and which rows it may learn from. Two baselines that any network
should be held against live here too: persistence and linear autoregression.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from derive.errors import DeriveError

Floats = np.ndarray[Any, np.dtype[np.float64]]

DATA_KEYS = ("file", "time", "inputs", "targets", "scale", "ahead")
TRAINING_KEYS = (
    "train", "validation", "test", "washout", "seeds", "iterations", "l2", "normaliser",
    "autoregression", "published", "method", "eta", "epochs",
)  # fmt: skip
METHODS = ("lbfgs", "online")


class TaskError(DeriveError, ValueError):
    """The [data] or [training] table of a spec, or the file it names, cannot be used as it is."""


@dataclass(frozen=True)
class Span:
    """A named stretch of time, first and last included, in units of the time column."""

    name: str
    first: float
    last: float


@dataclass(frozen=True)
class Task:
    """What to predict, from what, and which rows to learn from.

    Attributes
    ----------
    file : Path
        The CSV file.
    time : str
        Its time column, strictly increasing.
    inputs, targets : tuple of str
        Columns the network hears (one per input line) and predicts (one per target unit).
    scale : float
        The network sees values divided by this; errors are reported in original units.
    ahead : int
        A prediction of row r uses rows up to r − ahead, at least 1.
    train : Span
        Rows the network learns from.
    validation : Span or None
        Rows of ``train`` kept out of the fit, by which the restart is then chosen.
    tests : tuple of Span
        Rows never learnt from.
    washout : int
        That many first rows are heard but not judged.
    seeds : tuple of int
        One restart each.
    iterations : int
        At most this many steps of the optimiser, per restart.
    l2 : float
        Weight decay: J − l2/2·|theta|² is maximised.
    normaliser : float
        Average relative variance is the mean squared error over this.
    autoregression : int
        Order of the linear baseline.
    published : tuple of (str, tuple of float)
        Values from the literature, one per test range.
    method : {"lbfgs", "online"}
        Climb by the gradient of the whole stretch, or learn step by step while going through it.
    eta : float
        The learning rate of ``online``: Δtheta = eta·∂J/∂theta at each update.
    epochs : int
        How often ``online`` goes through the stretch, per restart.
    """

    file: Path
    time: str
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    train: Span
    tests: tuple[Span, ...] = ()
    validation: Span | None = None
    scale: float = 1.0
    ahead: int = 1
    washout: int = 0
    seeds: tuple[int, ...] = (0,)
    iterations: int = 200
    l2: float = 0.0
    normaliser: float = 1.0
    autoregression: int = 12
    published: tuple[tuple[str, tuple[float, ...]], ...] = ()
    method: str = "lbfgs"
    eta: float = 0.01
    epochs: int = 100

    @classmethod
    def from_spec(cls, data: Mapping[str, Any], training: Mapping[str, Any], base: Path) -> Task:
        """The task of a spec's [data] and [training] tables.

        Parameters
        ----------
        data, training : mapping
            The two tables as read from TOML or JSON.
        base : Path
            The folder that ``file`` is relative to: the one the spec file is in.

        Raises
        ------
        TaskError
            Naming the key at fault and what would be right.
        """
        _known(data, DATA_KEYS, "data")
        _known(training, TRAINING_KEYS, "training")
        train = _span(_required(training, "train", "training"), "training.train", "train")
        tests = _tests(training.get("test", {}), train)
        validation = None
        if "validation" in training:
            validation = _span(training["validation"], "training.validation", "validation")
            if not train.first <= validation.first <= validation.last <= train.last:
                raise TaskError(
                    f"training.validation: {_years(validation)} must lie within train, "
                    f"{_years(train)}"
                )
        return cls(
            file=_file(_text(_required(data, "file", "data"), "data.file"), Path(base)),
            time=_text(_required(data, "time", "data"), "data.time"),
            inputs=_columns(_required(data, "inputs", "data"), "data.inputs"),
            targets=_columns(_required(data, "targets", "data"), "data.targets"),
            scale=number(data.get("scale", 1.0), "data.scale", above=0.0),
            ahead=whole(data.get("ahead", 1), "data.ahead", 1),
            train=train,
            validation=validation,
            tests=tests,
            washout=whole(training.get("washout", 0), "training.washout", 0),
            seeds=_seeds(training.get("seeds", [0])),
            iterations=whole(training.get("iterations", 200), "training.iterations", 1),
            l2=number(training.get("l2", 0.0), "training.l2"),
            normaliser=number(training.get("normaliser", 1.0), "training.normaliser", above=0.0),
            autoregression=whole(training.get("autoregression", 12), "training.autoregression", 1),
            published=_published(training.get("published", {}), tests),
            method=_method(training.get("method", "lbfgs"), "training.method"),
            eta=number(training.get("eta", 0.01), "training.eta", above=0.0),
            epochs=whole(training.get("epochs", 100), "training.epochs", 1),
        )

    def learnt_by(
        self, method: str | None = None, eta: float | None = None, epochs: int | None = None
    ) -> Task:
        """This task, learnt in another way: what is not given stays, a rate or epochs mean online.

        Raises
        ------
        TaskError
            Naming the one at fault.
        """
        for name, value in (("eta", eta), ("epochs", epochs)):
            if value is not None and method not in (None, "online"):
                raise TaskError(f"{name}: belongs to method 'online', not to {method!r}")
        if method is None:
            method = self.method if eta is None and epochs is None else "online"
        return replace(
            self,
            method=_method(method, "method"),
            eta=self.eta if eta is None else number(eta, "eta", above=0.0),
            epochs=self.epochs if epochs is None else whole(epochs, "epochs", 1),
        )


@dataclass(frozen=True)
class Series:
    """The columns of a CSV file: ``time`` (R,) strictly increasing, and others (R,) by name."""

    time: Floats
    columns: Mapping[str, Floats]

    def table(self, names: tuple[str, ...]) -> Floats:
        """The named columns side by side, (R, len(names))."""
        for name in names:
            if name not in self.columns:
                raise TaskError(f"no column {name!r} in the data; {_near(name, self.columns)}")
        return np.column_stack([self.columns[n] for n in names])

    def rows(self, span: Span) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which rows lie in the span, (R,).

        Raises
        ------
        TaskError
            When the span reaches beyond the data.
        """
        if span.first < self.time[0] or span.last > self.time[-1]:
            raise TaskError(
                f"{span.name}: {_years(span)} reaches beyond the data, "
                f"{self.time[0]:g} to {self.time[-1]:g}"
            )
        inside = (self.time >= span.first) & (self.time <= span.last)
        if not inside.any():
            raise TaskError(f"{span.name}: {_years(span)} holds no row of the data")
        return inside


def load_series(path: str | Path, time: str | None = None) -> Series:
    """Read a CSV file with a header line; every cell must be a finite number.

    Parameters
    ----------
    path : str or Path
        The file, UTF-8.
    time : str, optional
        The name of the time column; the first one if not given.

    Raises
    ------
    TaskError
        With the file, and the line and column at fault.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = [(i, line) for i, line in enumerate(csv.reader(file), 1) if line]
    except OSError as error:
        raise TaskError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise TaskError(f"{path}: not CSV in UTF-8: {error}") from None
    if len(lines) < 2:
        raise TaskError(f"{path}: expected a header line and at least one row")
    names = [n.strip() for n in lines[0][1]]
    if len(set(names)) < len(names):
        raise TaskError(f"{path}: two columns have one name; header: {', '.join(names)}")
    time = names[0] if time is None else time
    if time not in names:
        raise TaskError(f"{path}: no column {time!r}; {_near(time, names)}")
    values = np.empty((len(lines) - 1, len(names)))
    for row, (number, cells) in enumerate(lines[1:]):
        if len(cells) != len(names):
            raise TaskError(f"{path}, line {number}: {len(cells)} cells for {len(names)} columns")
        for column, cell in enumerate(cells):
            try:
                value = float(cell)
            except ValueError:
                value = math.nan
            if not math.isfinite(value):
                raise TaskError(
                    f"{path}, line {number}, column {names[column]!r}: "
                    f"expected a finite number, got {cell!r}"
                )
            values[row, column] = value
    columns = {n: values[:, i].copy() for i, n in enumerate(names)}
    late = np.flatnonzero(np.diff(columns[time]) <= 0)
    if late.size:
        raise TaskError(
            f"{path}, line {lines[late[0] + 2][0]}: {time!r} must increase from row to row"
        )
    return Series(columns[time], columns)


def persistence(series: Floats, ahead: int = 1) -> Floats:
    """ŷ(r) = y(r − ahead): what was, stays. (R, c) in and out; NaN where there is no past."""
    guess = np.full_like(series, np.nan)
    guess[ahead:] = series[:-ahead]
    return guess


def autoregression(
    series: Floats, fit_rows: np.ndarray[Any, np.dtype[np.bool_]], order: int, ahead: int = 1
) -> Floats:
    """ŷ(r) = a₀ + Σ_{i<order} a_i·y(r − ahead − i), least squares, each column by itself.

    Parameters
    ----------
    series : (R, c)
    fit_rows : (R,) bool
        Rows whose values are the targets of the fit; those without a full past are left out.
    order, ahead : int

    Returns
    -------
    (R, c), NaN where the past is shorter than the order.

    Raises
    ------
    TaskError
        When there are not more rows to fit than coefficients.
    """
    start = ahead + order - 1
    rows = np.arange(start, len(series))
    use = fit_rows[start:]
    if use.sum() <= order + 1:
        raise TaskError(
            f"training.autoregression: {order + 1} coefficients need more than that many rows "
            f"to fit; there are {int(use.sum())}"
        )
    guess = np.full_like(series, np.nan)
    for c in range(series.shape[1]):
        past = [series[rows - ahead - i, c] for i in range(order)]
        design = np.column_stack([np.ones(len(rows)), *past])
        coefficients = np.linalg.lstsq(design[use], series[rows[use], c], rcond=None)[0]
        guess[rows, c] = design @ coefficients
    return guess


# --- reading the tables ----------------------------------------------------------------------


def _near(name: Any, known: Any) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"


def _known(table: Any, keys: tuple[str, ...], where: str) -> None:
    if not isinstance(table, Mapping):
        raise TaskError(f"[{where}]: expected a table, got {table!r}")
    for key in table:
        if key not in keys:
            raise TaskError(f"[{where}]: unknown key {key!r}; {_near(key, keys)}")


def _required(table: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in table:
        raise TaskError(f"[{where}]: {key!r} is missing")
    return table[key]


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise TaskError(f"{where}: expected text, got {value!r}")
    return value


def _file(name: str, base: Path) -> Path:
    path = base / name
    if not path.is_file():
        raise TaskError(f"data.file: there is no file {path} (paths are relative to the spec file)")
    return path


def _columns(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise TaskError(f"{where}: expected a list of column names, got {value!r}")
    return tuple(value)


def number(value: Any, where: str, above: float | None = None) -> float:
    """A finite number that is not negative, or is more than ``above``."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not good or (value <= above if above is not None else value < 0):
        bound = "> 0" if above is not None else "≥ 0"
        raise TaskError(f"{where}: expected a finite number {bound}, got {value!r}")
    return float(value)


def whole(value: Any, where: str, least: int) -> int:
    """A whole number that is at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise TaskError(f"{where}: expected a whole number ≥ {least}, got {value!r}")
    return value


def _method(value: Any, where: str) -> str:
    if value not in METHODS:
        raise TaskError(f"{where}: expected {' or '.join(map(repr, METHODS))}, got {value!r}")
    return str(value)


def _seeds(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not value:
        raise TaskError(f"training.seeds: expected a list of whole numbers, got {value!r}")
    seeds = tuple(whole(v, "training.seeds", 0) for v in value)
    if len(set(seeds)) < len(seeds):
        raise TaskError(f"training.seeds: each seed once, got {value!r}")
    return seeds


def _years(span: Span) -> str:
    return f"{span.first:g} to {span.last:g}"


def _span(value: Any, where: str, name: str) -> Span:
    good = isinstance(value, list) and len(value) == 2
    if not good or not all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in value
    ):
        raise TaskError(f"{where}: expected [first, last], got {value!r}")
    if value[0] > value[1]:
        raise TaskError(f"{where}: the first, {value[0]}, is after the last, {value[1]}")
    return Span(name, float(value[0]), float(value[1]))


def _tests(value: Any, train: Span) -> tuple[Span, ...]:
    if not isinstance(value, Mapping):
        raise TaskError(f"training.test: expected a table of name = [first, last], got {value!r}")
    spans = tuple(_span(v, f"training.test.{k}", k) for k, v in value.items())
    for s in spans:
        if s.first <= train.last and s.last >= train.first:
            raise TaskError(
                f"training.test.{s.name}: {_years(s)} overlaps train, {_years(train)}; "
                "a test is on rows never learnt from"
            )
    return spans


def _published(value: Any, tests: tuple[Span, ...]) -> tuple[tuple[str, tuple[float, ...]], ...]:
    if not isinstance(value, Mapping):
        raise TaskError(f"training.published: expected a table, got {value!r}")
    found = []
    for name, numbers in value.items():
        where = f"training.published.{name}"
        if not isinstance(numbers, list) or len(numbers) != len(tests):
            raise TaskError(f"{where}: expected {len(tests)} numbers, one per test range")
        found.append((name, tuple(number(v, where) for v in numbers)))
    return tuple(found)
