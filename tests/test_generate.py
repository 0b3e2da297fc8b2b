"""Emitted modules kept in a folder: tied to their specs, importable alone, never half written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import derive
from derive import generate as generating
from derive.build import toolchain
from derive.errors import BuildError, DeriveError, NetworkError

ROOT = Path(__file__).parents[1]
SPEC = """\
spec = "derive/1"
name = "NAME"
[cell]
library = "semilinear"
activation = "tanh"
[network]
units = 2
inputs = 1
connections = "full"
[objective]
targets = [1]
"""


def write_spec(path: Path, name: str, **changes: str) -> Path:
    text = SPEC.replace("NAME", name)
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with two specs and the modules emitted from them, not built."""
    for name in ("one", "two"):
        spec = write_spec(tmp_path / f"{name}.toml", name)
        generating.generate(spec, tmp_path / "kept", build=False)
    return tmp_path


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


# --- what is written ----------------------------------------------------------------------------


def test_generated_folder_is_a_package_with_a_manifest(place: Path) -> None:
    kept = place / "kept"
    assert set(content(kept)) == {"__init__.py", "manifest.json", "one.pyx", "two.pyx"}
    manifest = json.loads((kept / "manifest.json").read_text())
    assert list(manifest["modules"]) == ["one", "two"]
    item = manifest["modules"]["one"]
    assert item["spec"] == "../one.toml"
    assert item["digest"] == derive.Network.load(place / "one.toml").digest
    assert item["dtype"] == "float64" and item["batch"] is False


def test_options_are_kept_in_the_manifest_and_used_again(place: Path) -> None:
    kept = place / "kept"
    path = generating.generate(
        place / "one.toml", kept, dtype="float32", batch=True, schedule="tables", build=False
    )
    text = path.read_text()
    assert 'np.dtype("float32")' in text and "LANES" in text
    assert generating.check(kept) == []
    generating.regenerate(kept)
    assert path.read_text() == text


def test_existing_package_file_is_left_alone(place: Path) -> None:
    (place / "kept" / "__init__.py").write_text("MINE = 1\n")
    generating.generate(place / "one.toml", place / "kept", build=False)
    assert (place / "kept" / "__init__.py").read_text() == "MINE = 1\n"


def test_regenerating_gives_the_same_bytes(place: Path) -> None:
    before = content(place / "kept")
    assert [p.name for p in generating.regenerate(place / "kept")] == ["one.pyx", "two.pyx"]
    assert content(place / "kept") == before


def test_order_of_generation_does_not_show(place: Path) -> None:
    for name in ("two", "one"):
        generating.generate(place / f"{name}.toml", place / "other", build=False)
    assert content(place / "other") == content(place / "kept")


EMIT = """
import sys
from derive.kernel import as_network, emit
net = as_network(sys.argv[1])
sys.stdout.buffer.write(emit(net, {"name": "epochwise"}, "float64", False, "auto").text.encode())
"""


def test_hash_seed_does_not_show_in_what_is_emitted() -> None:
    spec = ROOT / "examples" / "sparse_delayed.toml"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", EMIT, str(spec)],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
        )
        for seed in ("1", "2")
    ]
    texts = [p.communicate(timeout=120)[0] for p in running]
    assert texts[0] == texts[1] and b"sparse_delayed" in texts[0]


# --- whether it is up to date -------------------------------------------------------------------


def test_fresh_folder_is_up_to_date(place: Path) -> None:
    assert generating.check(place / "kept") == []


def test_one_changed_byte_is_found(place: Path) -> None:
    path = place / "kept" / "two.pyx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    (wrong,) = generating.check(place / "kept")
    assert "two.pyx is not what" in wrong and "derive generate" in wrong


def test_changed_spec_is_found(place: Path) -> None:
    write_spec(place / "one.toml", "one", tanh="logistic")
    (wrong,) = generating.check(place / "kept")
    assert "one.pyx is not what" in wrong
    generating.generate(place / "one.toml", place / "kept", build=False)
    assert generating.check(place / "kept") == []


def test_comment_in_a_spec_changes_nothing(place: Path) -> None:
    with (place / "one.toml").open("a") as file:
        file.write("# a remark\n")
    assert generating.check(place / "kept") == []


def test_module_in_no_manifest_is_found(place: Path) -> None:
    (place / "kept" / "stray.pyx").write_text("x = 1\n")
    assert generating.check(place / "kept") == [f"{place / 'kept' / 'stray.pyx'} is in no manifest"]


@pytest.mark.parametrize("missing", ["one.toml", "kept/one.pyx"])
def test_missing_file_is_found(place: Path, missing: str) -> None:
    (place / missing).unlink()
    (wrong,) = generating.check(place / "kept")
    assert wrong.endswith("is missing") and Path(missing).name in wrong


def test_digest_of_the_manifest_is_checked(place: Path) -> None:
    path = place / "kept" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["modules"]["one"]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    (wrong,) = generating.check(place / "kept")
    assert "one.pyx: its digest in manifest.json is out of date" in wrong


def test_missing_manifest_is_found(tmp_path: Path) -> None:
    (wrong,) = generating.check(tmp_path)
    assert "manifest.json is missing" in wrong
    with pytest.raises(BuildError, match="manifest.json is missing"):
        generating.regenerate(tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"format": "other", "modules": {}}', '{"format": "derive/generated/1"}',
     '{"format": "derive/generated/1", "modules": {"a": {"spec": "a.toml"}}}'],
)  # fmt: skip
def test_damaged_manifest_is_one_error_that_names_it(place: Path, text: str) -> None:
    path = place / "kept" / "manifest.json"
    path.write_text(text)
    for call in (generating.check, generating.regenerate):
        with pytest.raises(BuildError) as raised:
            call(place / "kept")
        assert str(path) in str(raised.value)


def test_kernels_of_this_repository_are_up_to_date() -> None:
    assert generating.check(ROOT / "generated") == []


# --- errors leave everything as it was ----------------------------------------------------------


def fails_to_compile(*_: Any, **__: Any) -> None:
    raise BuildError("the compiler gave up")


@pytest.mark.parametrize(
    "case", ["invalid", "missing", "hostile", "dtype", "schedule", "compiler", "none", "clash"]
)
def test_error_leaves_everything_as_it_was(
    place: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = place / "one.toml"
    options: dict[str, Any] = {}
    match case:
        case "invalid":
            write_spec(spec, "one", units="unit")
        case "missing":
            spec.unlink()
        case "hostile":
            write_spec(spec, "one", tanh="__import__('os').getcwd()")
        case "dtype" | "schedule":
            options = {case: "float16"}
        case "compiler":
            monkeypatch.setattr(toolchain, "compile_module", fails_to_compile)
        case "none":
            monkeypatch.setenv("DERIVE_NO_COMPILER", "1")
        case "clash":
            spec = write_spec(place / "elsewhere.toml", "one", tanh="logistic")
    before = content(place / "kept")
    for into in (place / "kept", place / "new"):
        if case == "clash" and into.name == "new":
            continue
        with pytest.raises(DeriveError):
            generating.generate(spec, into, **options)
    assert content(place / "kept") == before
    assert not (place / "new").exists()


def test_two_specs_of_one_name_are_refused_by_both_paths(place: Path) -> None:
    spec = write_spec(place / "elsewhere.toml", "one")
    with pytest.raises(NetworkError, match=r"already has a module 'one', from \.\./one\.toml"):
        generating.generate(spec, place / "kept", build=False)


# --- the module on its own ----------------------------------------------------------------------

ALONE = """
import json, sys
sys.path.insert(0, sys.argv[1])
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("derive", "sympy", "Cython"):
            raise ImportError("refused: " + name)
sys.meta_path.insert(0, Refuse())
from kept import wz3x5
theta = [0.1*i - 0.7 for i in range(15)]
x, target = [[1.0, -1.0], [0.5, 0.25], [0.0, 2.0]], [[0.5], [0.1], [-0.2]]
J, g = wz3x5.gradient(theta, x, target)
try:
    wz3x5.forward(theta, [[1.0]*3]*10)
except ValueError as error:
    said = str(error)
print(json.dumps([J, g.tolist(), wz3x5.forward(theta, x).tolist(), said,
                  json.loads(wz3x5.RECORD)["digest"]]))
"""


def test_built_module_runs_alone_from_its_own_folder(tmp_path: Path) -> None:
    spec = ROOT / "examples" / "wz3x5.toml"
    path = generating.generate(spec, tmp_path / "kept")
    assert path == tmp_path / "kept" / "wz3x5.pyx"
    shutil.rmtree(tmp_path / "kept" / "__pycache__", ignore_errors=True)
    ran = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path)],
        cwd=tmp_path, env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    J, g, y, said, digest = json.loads(ran.stdout)
    kernel = derive.compile(derive.Network.load(spec))
    theta = [0.1 * i - 0.7 for i in range(15)]
    x, target = [[1.0, -1.0], [0.5, 0.25], [0.0, 2.0]], [[0.5], [0.1], [-0.2]]
    # Portable and native instructions round a little differently.
    expected_J, expected_g = kernel.gradient(theta, x, target)
    assert pytest.approx(expected_J, rel=1e-13) == J
    np.testing.assert_allclose(g, expected_g, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(y, kernel.forward(theta, x), rtol=1e-13)
    assert said == "x: expected (T, m=2), got (10, 3)"
    assert digest == kernel.net.digest
    assert generating.check(tmp_path / "kept") == []
