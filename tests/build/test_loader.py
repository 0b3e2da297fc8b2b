"""A file becomes a module that no name can be confused with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from derive.build.loader import load_extension
from derive.build.toolchain import Built, Toolchain, compile_module, profile
from derive.errors import BuildError


def test_loading_twice_gives_the_same_module(adds: Built) -> None:
    assert load_extension(adds.path, "adds") is load_extension(adds.path, "adds")


def test_two_modules_of_one_name_both_work(
    adds: Built, adds_source: str, tmp_path: Path, toolchain: Toolchain
) -> None:
    source = adds_source.replace("return a + b", "return a - b")
    other = compile_module(source, "adds", tmp_path, profile("portable"), toolchain)
    first, second = load_extension(adds.path, "adds"), load_extension(other.path, "adds")
    assert (first.add(5, 3), second.add(5, 3), first.add(5, 3)) == (8, 2, 8)


def test_name_stays_free_for_others(adds: Built) -> None:
    load_extension(adds.path, "adds")
    assert "adds" not in sys.modules


def test_file_that_is_no_module_is_a_build_error(tmp_path: Path, adds: Built) -> None:
    path = tmp_path / adds.path.name
    path.write_bytes(b"not a module")
    with pytest.raises(BuildError, match="cannot be loaded; build it again") as caught:
        load_extension(path, "adds")
    assert caught.value.output
    with pytest.raises(BuildError, match="No such file"):
        load_extension(tmp_path / "nothing.so", "nothing")
