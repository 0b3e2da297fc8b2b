"""What is found in the cache is whole, is what was asked for, and is nobody else's."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from derive.build import cache
from derive.build.loader import load_extension
from derive.build.toolchain import Toolchain, compile_module, profile
from derive.errors import BuildError, CacheError

FIELDS: dict[str, Any] = {"network": {"units": 3, "tau": 0.1}, "flags": ["-O3"], "batch": False}


def make(folder: Path) -> dict[str, Any]:
    (folder / "module.so").write_bytes(bytes(range(256)) * 40)
    (folder / "module.pyx").write_text("x = 1\n")
    return {"module": "module.so", "schedule": "unrolled"}


def leftovers(place: Path) -> list[str]:
    return [path.name for path in place.iterdir() if path.name.startswith("making-")]


def test_stored_entry_is_found(own_cache: Path) -> None:
    name = cache.digest(FIELDS)
    assert cache.lookup(name) is None
    stored = cache.store(FIELDS, make)
    assert cache.lookup(name) == stored
    assert stored.digest == name and stored.path == own_cache / "v1" / name
    assert stored.fields == FIELDS
    assert stored.meta == {"module": "module.so", "schedule": "unrolled"}
    assert stored.files["module.so"] == 10240 and stored.size > 10240
    assert set(stored.files) == {"key.json", "meta.json", "module.pyx", "module.so"}
    assert not leftovers(own_cache)


def test_cache_is_closed_to_others(own_cache: Path) -> None:
    old = os.umask(0)
    try:
        entry = cache.store(FIELDS, make)
    finally:
        os.umask(old)
    for path in (own_cache, own_cache / "v1", entry.path, *entry.path.iterdir()):
        assert path.stat().st_mode & 0o077 == 0, path
    assert cache.lookup(entry.digest) == entry


def truncate(folder: Path) -> None:
    os.truncate(folder / "module.so", 100)


def change_a_byte(folder: Path) -> None:
    content = bytearray((folder / "module.so").read_bytes())
    content[5] ^= 1
    (folder / "module.so").write_bytes(content)


def lose_a_file(folder: Path) -> None:
    (folder / "module.so").unlink()


def lose_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def cut_the_manifest(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 50)


def nest_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[" * 100_000)


def empty_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{}")


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    edit(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change_a_hash(folder: Path) -> None:
    edit_manifest(folder, lambda m: m["files"]["module.so"].update(sha256="0" * 64))


def point_outside(folder: Path) -> None:
    edit_manifest(folder, lambda m: m["files"].update({"../x": {"size": 0, "sha256": ""}}))


def be_made_from_something_else(folder: Path) -> None:
    # Consistent in itself, but not what its name says.
    import hashlib

    content = b'{"network":"another"}'
    (folder / "key.json").write_bytes(content)
    seen = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    edit_manifest(folder, lambda m: m["files"].update({"key.json": seen}))


def open_a_file_to_others(folder: Path) -> None:
    (folder / "module.so").chmod(0o666)


def link_elsewhere(folder: Path) -> None:
    (folder / "module.so").rename(folder.parent.parent / "elsewhere.so")
    (folder / "module.so").symlink_to(folder.parent.parent / "elsewhere.so")


def become_a_file(folder: Path) -> None:
    folder.rename(folder.parent.parent / "moved")
    folder.write_text("")


DAMAGES = [
    truncate,
    change_a_byte,
    lose_a_file,
    lose_the_manifest,
    cut_the_manifest,
    nest_the_manifest,
    empty_the_manifest,
    change_a_hash,
    point_outside,
    be_made_from_something_else,
    open_a_file_to_others,
    link_elsewhere,
    become_a_file,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_damaged_entry_is_none_and_out_of_the_way(
    own_cache: Path, damage: Callable[[Path], None]
) -> None:
    entry = cache.store(FIELDS, make)
    damage(entry.path)
    assert cache.entries() == []
    assert cache.lookup(entry.digest) is None
    assert not entry.path.exists()
    again = cache.store(FIELDS, make)
    assert cache.lookup(entry.digest) == again
    assert not leftovers(own_cache)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_damaged_entry_is_replaced_when_stored_over(
    own_cache: Path, damage: Callable[[Path], None]
) -> None:
    entry = cache.store(FIELDS, make)
    damage(entry.path)
    assert cache.store(FIELDS, make).files == entry.files
    assert cache.lookup(entry.digest) is not None


def test_truncated_module_is_rebuilt_and_loads(
    own_cache: Path, toolchain: Toolchain, adds_source: str
) -> None:
    def build(folder: Path) -> dict[str, Any]:
        built = compile_module(adds_source, "adds", folder, profile("portable"), toolchain)
        return {"module": built.path.name}

    entry = cache.store(FIELDS, build)
    assert {"adds.pyx", "build.log", "key.json", "meta.json"} < set(entry.files)
    os.truncate(entry.path / entry.meta["module"], 5000)
    assert cache.lookup(entry.digest) is None
    again = cache.store(FIELDS, build)
    assert load_extension(again.path / again.meta["module"], "adds").add(1, 1) == 2


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o702])
def test_cache_that_others_can_write_is_refused(own_cache: Path, mode: int) -> None:
    entry = cache.store(FIELDS, make)
    own_cache.chmod(mode)
    for use in (
        lambda: cache.lookup(entry.digest),
        lambda: cache.store(FIELDS, make),
        cache.entries,
        cache.clear,
    ):
        with pytest.raises(CacheError, match=f"chmod go-w {own_cache}"):
            use()
    own_cache.chmod(0o755)
    assert cache.lookup(entry.digest) == entry


def test_open_folder_inside_is_refused(own_cache: Path) -> None:
    entry = cache.store(FIELDS, make)
    (own_cache / "v1").chmod(0o777)
    with pytest.raises(CacheError, match="chmod go-w"):
        cache.lookup(entry.digest)


def test_cache_of_somebody_else_is_refused(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = cache.store(FIELDS, make)
    other = os.geteuid() + 1
    monkeypatch.setattr(cache.os, "geteuid", lambda: other)
    with pytest.raises(CacheError, match="belongs to user .* not to you"):
        cache.lookup(entry.digest)


def test_cache_that_cannot_be_made_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "cache"):
        monkeypatch.setenv("DERIVE_CACHE_DIR", str(place))
        with pytest.raises(CacheError, match="set DERIVE_CACHE_DIR to"):
            cache.store(FIELDS, make)


def test_cache_that_cannot_be_written_names_the_variable(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.tempfile, "mkdtemp", full)
    with pytest.raises(CacheError, match="No space left on device; set DERIVE_CACHE_DIR"):
        cache.store(FIELDS, make)


def test_empty_variable_means_the_platforms_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import platformdirs

    monkeypatch.setenv("DERIVE_CACHE_DIR", "")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda app: str(tmp_path / app))
    assert cache.root() == tmp_path / "derive"


def test_looking_creates_nothing(own_cache: Path) -> None:
    assert cache.lookup("0" * 64) is None
    assert cache.entries() == [] and cache.clear() == 0
    assert not own_cache.exists()


def test_exception_leaves_no_entry(own_cache: Path) -> None:
    def interrupted(folder: Path) -> dict[str, Any]:
        make(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.store(FIELDS, interrupted)
    assert cache.entries() == [] and not leftovers(own_cache)


def test_failed_builds_are_kept_up_to_the_last_five(own_cache: Path) -> None:
    kept = []
    for i in range(7):

        def fail(folder: Path, i: int = i) -> dict[str, Any]:
            (folder / "bad.pyx").write_text(str(i))
            raise BuildError("no", "cc bad.c", "bad.c:1: error", folder)

        with pytest.raises(BuildError) as caught:
            cache.store(FIELDS, fail)
        kept.append(caught.value.kept)
        assert kept[-1] is not None and (kept[-1] / "bad.pyx").read_text() == str(i)
        assert str(kept[-1]) in str(caught.value)
    assert sorted(p.name for p in (own_cache / "failed").iterdir()) == [p.name for p in kept[2:]]
    assert cache.entries() == [] and not leftovers(own_cache)


def test_build_error_survives_pickling() -> None:
    error = BuildError("no", "cc", "words", Path("kept"))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.command, again.kept) == (str(error), "cc", Path("kept"))


def test_metadata_that_is_not_plain_is_refused(own_cache: Path) -> None:
    with pytest.raises(TypeError, match=r"fields\.path: expected plain data, got .*Path"):
        cache.store(FIELDS, lambda folder: {"path": folder})
    assert cache.entries() == [] and not leftovers(own_cache)


BUILDER = """
import json, os, sys, time
from pathlib import Path
from derive.build import cache

def make(folder):
    (folder / "module.so").write_bytes(os.urandom(50_000))
    time.sleep(0.05)
    return {"builder": os.getpid()}

fields = json.loads(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
found = cache.lookup(cache.digest(fields))
entry = cache.store(fields, make)
print(json.dumps([found is not None, entry.meta["builder"], entry.files]))
"""


@pytest.mark.parametrize("damaged", [False, True])
def test_sixteen_builders_leave_one_usable_entry(own_cache: Path, damaged: bool) -> None:
    if damaged:
        truncate(cache.store(FIELDS, make).path)
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", BUILDER, json.dumps(FIELDS)]
    builders = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(16)]
    for builder in builders:
        assert builder.stdout is not None and builder.stdout.readline() == "ready\n"
    for builder in builders:
        assert builder.stdin is not None
        builder.stdin.write("go\n")
        builder.stdin.flush()
    answers = [json.loads(builder.communicate()[0]) for builder in builders]
    assert [builder.returncode for builder in builders] == [0] * 16
    [entry] = cache.entries()
    assert {answer[1] for answer in answers} == {entry.meta["builder"]}
    assert entry == cache.lookup(cache.digest(FIELDS))
    assert not leftovers(own_cache)


def test_builder_that_dies_leaves_a_usable_cache(own_cache: Path) -> None:
    code = (
        "import os; from derive.build import cache\n"
        "def make(folder):\n    (folder / 'half').write_bytes(b'x')\n    os._exit(9)\n"
        "cache.store({'a': 1}, make)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    assert len(leftovers(own_cache)) == 1
    assert cache.lookup(cache.digest({"a": 1})) is None
    cache.store({"a": 1}, make)
    assert len(leftovers(own_cache)) == 1, "it might still be at work"
    past = time.time() - 2 * 86400
    os.utime(own_cache / leftovers(own_cache)[0], (past, past))
    cache.store({"a": 2}, make)
    assert not leftovers(own_cache)
    assert len(cache.entries()) == 2


def test_why_names_the_fields_that_differ(own_cache: Path) -> None:
    other = {"network": {"units": 4, "tau": 0.1, "h": 9}, "flags": ["-O2"], "batch": 0}
    a, b = cache.store(FIELDS, make), cache.store(other, make)
    assert cache.why(a.digest[:8], b.digest) == [
        ("batch", False, 0),
        ("flags", ["-O3"], ["-O2"]),
        ("network.h", cache.ABSENT, 9),
        ("network.units", 3, 4),
    ]
    assert cache.why(a.digest, a.digest[:8]) == []


def test_unknown_and_ambiguous_digests_are_named(own_cache: Path) -> None:
    entries = [cache.store({"i": i}, make) for i in range(17)]
    firsts = [entry.digest[0] for entry in entries]
    twice = next(first for first in firsts if firsts.count(first) > 1)
    with pytest.raises(CacheError, match=f"cache entries begin with '{twice}'"):
        cache.why(twice, entries[0].digest)
    with pytest.raises(CacheError, match="no cache entry begins with 'xyz'"):
        cache.clear("xyz")
    with pytest.raises(CacheError, match="no cache entry begins with ''"):
        cache.clear("")


def test_clear_removes_one_or_all(own_cache: Path) -> None:
    entries = [cache.store({"i": i}, make) for i in range(4)]
    assert cache.clear(entries[1].digest[:16]) == 1
    assert [e.fields["i"] for e in cache.entries()] == [0, 2, 3]
    assert cache.clear() == 3
    assert cache.entries() == [] and cache.clear() == 0


def test_digest_depends_on_values_and_not_on_order() -> None:
    assert cache.digest({"a": 1, "b": (1, 2)}) == cache.digest({"b": [1, 2], "a": 1})
    different = [{"a": 1}, {"a": 1.0}, {"a": "1"}, {"a": True}, {"a": None}, {"a": [1]}, {"b": 1}]
    assert len({cache.digest(fields) for fields in different}) == len(different)


@pytest.mark.parametrize("value", [{1, 2}, b"x", Path("x"), {1: 2}, 1j])
def test_fields_without_one_spelling_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=r"fields\.inner\.x.*expected"):
        cache.digest({"inner": {"x": value}})


def test_digest_is_the_same_under_every_hash_seed() -> None:
    code = (
        "from derive.build.cache import digest;"
        "print(digest({k: {j: ord(j) for j in set('state')} for k in set('network')}))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "31")
    }
    assert len(said) == 1 and len(said.pop().strip()) == 64
