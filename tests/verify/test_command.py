"""``derive verify`` with an algorithm and its options."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from derive.cli import commands
from derive.errors import DerivationError
from tests.verify.examples import NETS


def verify(tmp_path: Path, *arguments: str) -> Result:
    spec = tmp_path / "sharing.json"
    NETS["sharing"].save(spec)
    return CliRunner().invoke(commands, ["verify", str(spec), "--json", *arguments],
                              standalone_mode=False)  # fmt: skip


def test_an_algorithm_and_its_options_can_be_given(tmp_path: Path) -> None:
    result = verify(tmp_path, "--algorithm", "truncated", "-o", "h=2", "-o", "h_prime=2")
    assert result.return_value == 0, result.output
    report = json.loads(result.stdout)
    assert report["algorithm"].startswith("truncated h=2 h_prime=2")


def test_an_option_that_the_algorithm_does_not_take_is_refused(tmp_path: Path) -> None:
    for text in ("hh=2", "schedule=1"):
        result = verify(tmp_path, "--algorithm", "hybrid", "-o", text, "-o", "h=2")
        assert isinstance(result.exception, DerivationError), text
        assert "takes no option" in str(result.exception)
