"""Claims about starter specs: for every cell of the library, what is written works as it is."""

from __future__ import annotations

import inspect
import os
import sys
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from derive import cli
from derive.network.library import LIBRARY
from derive.network.network import Network
from derive.network.starter import described, long_form, sample_data, starter, write_starter
from derive.timeseries import Task, load_series

CELLS = sorted(LIBRARY)
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """``derive ARGUMENTS`` in an empty folder: exit status, standard output, standard error."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["derive", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


# --- what is written works ----------------------------------------------------------------------


@pytest.mark.parametrize("spelled_out", [False, True], ids=["by name", "spelled out"])
@pytest.mark.parametrize("cell", CELLS)
def test_the_text_states_the_cell_and_a_linear_readout(cell: str, spelled_out: bool) -> None:
    net = Network.load(tomllib.loads(starter("first", cell, 3, 2, 1, spelled_out)))
    hidden, out = (net.cells[net.cell_index[k]] for k in (0, 3))
    assert dict(net.populations) == {"hidden": range(3), "out": range(3, 4)}
    assert (net.inputs, net.objective.targets, net.name) == (2, (3,), "first")
    assert long_form(hidden)["equations"] == long_form(LIBRARY[cell]())["equations"]
    assert hidden.equations == LIBRARY[cell]().equations
    assert hidden.parameters == LIBRARY[cell]().parameters
    assert long_form(out)["equations"] == {"y": "b + s"}
    ports = {(c.net_input, c.source) for c in net.connections if c.target == 0}
    assert ports == {(p, s) for p in hidden.net_inputs for s in (0, 1, 2, 4, 5)}


@pytest.mark.parametrize("cell", CELLS)
def test_show_verify_and_train_work_on_it(run: Run, cell: str) -> None:
    sizes = ("--units", 2, "--inputs", 2, "--outputs", 1)
    code, out, err = run("new", "first", "--cell", cell, *sizes)
    assert (code, err) == (0, "") and "first.toml" in out and "first_sample.csv" in out
    code, out, err = run("show", "first.toml")
    assert (code, err) == (0, "") and "δ" in out
    code, out, err = run("verify", "first.toml")
    assert (code, err) == (0, "") and "all claims hold" in out, out
    path = Path("first.toml")
    text = path.read_text(encoding="utf-8")
    assert "iterations = 100" in text
    path.write_text(text.replace("iterations = 100", "iterations = 3"), encoding="utf-8")
    code, out, err = run("train", "first.toml")
    assert code == 0 and "Traceback" not in err and "first" in out
    assert Path("first_weights.npz").exists()


def test_what_is_learnt_from_the_sample_is_better_than_persistence(run: Run) -> None:
    run("new", "first", "--units", 4)
    code, out, _ = run("train", "first.toml")
    rows = {line.split("│")[1].strip(): line.split("│")[3] for line in out.splitlines()
            if line.startswith("│")}  # fmt: skip
    assert code == 0 and float(rows["first"]) < float(rows["persistence"]) / 2


@pytest.mark.parametrize("cell", CELLS)
def test_every_option_of_the_cell_is_listed_with_its_default(cell: str) -> None:
    text = starter("first", cell)
    table = tomllib.loads(text)["cells"][cell]
    for key, parameter in inspect.signature(LIBRARY[cell]).parameters.items():
        if isinstance(parameter.default, (bool, int, float, str)):
            assert table[key] == parameter.default, key
        else:
            assert f"# {key} = …" in text
    for key, body in long_form(LIBRARY[cell]())["equations"].items():
        assert f"#   {key} = {body}\n" in text


@pytest.mark.parametrize("cell", CELLS)
def test_the_text_is_narrow_and_its_remarks_are_plain(cell: str) -> None:
    for line in starter("first", cell, 8, 3, 2).splitlines():
        assert line == line.rstrip() and "``" not in line and ":func:" not in line
        # An equation stands on one line, however long.
        assert len(line) <= 100 or line.startswith("#   "), line


def test_the_task_covers_the_sample(tmp_path: Path) -> None:
    spec, sample = write_starter("first", "leaky", 2, 3, 2, tmp_path / "first.toml")
    data = tomllib.loads(spec.read_text(encoding="utf-8"))
    task = Task.from_spec(data["data"], data["training"], tmp_path)
    series = load_series(sample, task.time)
    assert task.file == sample and series.table(task.inputs).shape == (240, 3)
    assert series.rows(task.train).sum() + series.rows(task.tests[0]).sum() == 240
    assert sample.read_text() == sample_data(3) == sample_data(3)


def test_remarks_come_from_the_docstring() -> None:
    text = """A cell.

    Parameters
    ----------
    a, b : float
        The first sentence. The second,
        which goes on.
    c : bool
        Whether to.

    Raises
    ------
    NetworkError
        d : never.
    """
    assert described(inspect.cleandoc(text)) == {
        "a": "The first sentence.",
        "b": "The first sentence.",
        "c": "Whether to.",
    }
    assert described("No section.") == {}


# --- what is refused -----------------------------------------------------------------------------


def test_nothing_is_overwritten_unless_forced(run: Run) -> None:
    for name in ("first.toml", "first_sample.csv"):
        Path(name).write_text("mine")
        code, out, err = run("new", "first")
        assert (code, out) == (2, "") and f"{name}: is there already; --force" in err
        assert Path(name).read_text() == "mine" and os.listdir() == [name]
        Path(name).unlink()
    Path("first.toml").write_text("mine")
    Path("first_sample.csv").write_text("mine")
    assert run("new", "first", "--force")[0] == 0
    assert "mine" not in Path("first.toml").read_text() + Path("first_sample.csv").read_text()


def test_a_dangling_link_is_there_already(run: Run) -> None:
    os.symlink("elsewhere.toml", "first.toml")
    assert run("new", "first")[0] == 2 and not Path("elsewhere.toml").exists()


def test_nothing_is_left_when_the_spec_cannot_be_written(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import derive.network.starter as module

    whole = module.write_whole

    def full_disk(path: Path, content: str) -> None:
        if path.suffix == ".toml":
            raise OSError(28, "No space left on device")
        whole(path, content)

    monkeypatch.setattr(module, "write_whole", full_disk)
    code, out, err = run("new", "first")
    assert code == 2 and "first.toml: cannot be written: No space left" in err
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["my net"], "name 'my net': use ASCII letters"),
        (["../first"], "name '../first': use ASCII letters"),
        (["import"], "'import' is a keyword of Python"),
        (["first", "--cell", "semilinaer"], "no 'semilinaer' in the library; did you mean"),
        (["first", "--units", 0], "units must be at least 1, got 0"),
        (["first", "--units", 10**7], "populations.hidden.size must be at most 1000000"),
        (["first", "--units", 20_000], "more than 33554432"),
        (["first", "--inputs", 0], "inputs must be at least 1, got 0"),
        (["first", "--outputs", 1001], "outputs must be at most 1000, got 1001"),
        (["first", "--path", "first.json"], "first.json does not end in .toml"),
        (["first", "--path", "first"], "first does not end in .toml"),
        (["first", "--path", "no/first.toml"], "no/first.toml: cannot be written: No such file"),
    ],
)  # fmt: skip
def test_a_bad_argument_is_one_clear_error_and_nothing_is_written(
    run: Run, arguments: list[Any], message: str
) -> None:
    code, out, err = run("new", *arguments)
    assert (code, out) == (2, "") and err.startswith("error: ") and message in err
    assert "Traceback" not in err and "\n\n" not in err.strip()
    assert os.listdir() == []


def test_a_path_cannot_write_into_the_text(run: Run) -> None:
    Path("folder").mkdir()
    path = Path("folder") / 'x\nname = "other"\n#.toml'
    assert run("new", "first", "--path", path)[0] == 0
    assert Network.load(path).name == "first"
    assert sorted(os.listdir("folder")) == ["first_sample.csv", path.name]
