"""``derive draw``: a picture on the output or in a file, errors in one paragraph."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from derive import cli
from derive.pictures import draw
from tests.pictures.reading import root

SPEC = Path(__file__).parents[2] / "examples" / "wz3x5.toml"


@pytest.mark.parametrize("what", ["network", "unrolled", "flow"])
def test_draw_writes_the_picture_to_the_output(what: str) -> None:
    result = CliRunner().invoke(cli.commands, ["draw", str(SPEC), "--what", what])
    assert result.exit_code == 0
    assert result.output == draw(SPEC, what).svg
    root(result.output)


def test_draw_writes_a_file_and_says_what_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "net.svg"
    arguments = ["draw", str(SPEC), "--what", "unrolled", "--steps", "5", "--out", str(path)]
    result = CliRunner().invoke(cli.commands, arguments)
    assert result.exit_code == 0
    assert path.read_text(encoding="utf-8") == draw(SPEC, "unrolled", 5).svg


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--what", "graph"], "no picture 'graph'"),
        (["--what", "unrolled", "--steps", "99"], "steps must be at most 12"),
        (["--what", "flow", "--algorithm", "none"], "'none'"),
        (["--out", "net.jpg"], "must end in .svg"),
    ],
)
def test_an_error_is_one_paragraph_with_status_2(
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["derive", "draw", str(SPEC), *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    complaint = capsys.readouterr().err
    assert stopped.value.code == 2
    assert said in complaint and "Traceback" not in complaint
