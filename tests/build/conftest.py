"""One small module, compiled once, and a cache of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from derive.build.toolchain import Built, Toolchain, compile_module, find_toolchain, profile

ADDS = '''\
# cython: language_level=3
"""Adds, in C."""
from libc.math cimport tanh

cdef double _add(double a, double b) noexcept nogil:
    return a + b

def add(double a, double b):
    return _add(a, b)

def squash(double a):
    return tanh(a)
'''


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    found = find_toolchain()
    assert found is not None, "these tests need a C compiler and Cython"
    return found


@pytest.fixture(scope="session")
def adds(tmp_path_factory: pytest.TempPathFactory, toolchain: Toolchain) -> Built:
    """The built module; tests leave its folder as it is."""
    folder = tmp_path_factory.mktemp("adds")
    return compile_module(ADDS, "adds", folder, profile("portable"), toolchain)


@pytest.fixture
def adds_source() -> str:
    return ADDS


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory that does not exist yet."""
    place = tmp_path / "cache"
    monkeypatch.setenv("DERIVE_CACHE_DIR", str(place))
    return place
