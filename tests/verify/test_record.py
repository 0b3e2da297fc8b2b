"""What an emitted module says of itself, and that it is believed no further than it can be held."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from derive import cli
from derive.errors import RecordError
from derive.kernel import emit
from derive.network.network import Network
from derive.program.algorithms import settle
from derive.verify.emitted import difference, record_claims, verify_module
from derive.verify.record import find_module, is_module, read_record
from derive.verify.report import Report
from tests.verify.examples import NETS

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "generated"
QUICK = ("quotients",)


def alone(tmp_path: Path, name: str = "wz3x5") -> Path:
    """A module of the repository by itself in an empty folder."""
    return Path(shutil.copy(GENERATED / f"{name}.pyx", tmp_path))


def changed(path: Path, old: str, new: str, last: bool = False) -> Path:
    """The same module with one place of its text changed."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    if last:
        head, _, tail = text.rpartition(old)
        text = head + new + tail
    else:
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    return path


def module(tmp_path: Path, net: Network, batch: bool = False, **options: Any) -> Path:
    """A network's module."""
    algorithm = settle(net, options.pop("algorithm", None), options)
    path = tmp_path / f"{net.name}.pyx"
    path.write_text(emit(net, algorithm, "float64", batch).text, encoding="utf-8")
    return path


def failures(report: Report) -> dict[str, str]:
    return {f"{c.name}: {c.method}": c.detail for c in report.failed}


def unfounded(path: Path) -> dict[str, str]:
    """What fails of the record alone."""
    return failures(Report("", "", tuple(record_claims(read_record(path)))))


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(GENERATED.glob("*.pyx")), ids=lambda p: p.stem)
def test_a_kept_module_carries_its_network_whole(path: Path) -> None:
    record = read_record(path)
    spec = Network.load(ROOT / "examples" / f"{path.stem}.toml")
    assert record.net.digest == record.digest == spec.digest
    assert record.algorithm == settle(spec, None, {})


def test_a_module_is_found_by_each_of_its_names(tmp_path: Path, monkeypatch: Any) -> None:
    text = GENERATED / "wz3x5.pyx"
    binary = GENERATED / "wz3x5.cpython-311-x86_64-linux-gnu.so"
    for name in (text, GENERATED / "wz3x5", binary):
        assert is_module(name) and find_module(name) == text
    monkeypatch.chdir(ROOT)
    assert is_module("generated.wz3x5")
    assert find_module("generated.wz3x5") == Path("generated/wz3x5.pyx")
    assert not is_module(ROOT / "examples" / "wz3x5.toml")
    assert not is_module("wz3x5")
    with pytest.raises(RecordError, match="has its .pyx beside it"):
        find_module(tmp_path / "wz3x5.so")


SPEC: dict[str, Any] = json.loads(
    (GENERATED / "wz3x5.pyx").read_text().split("\nRECORD = '")[1].split("'\n")[0]
)


def stated(**changes: Any) -> str:
    """The record's line with some fields changed."""
    return f"RECORD = {json.dumps({**SPEC, **changes})!r}"


def with_spec(**changes: Any) -> str:
    return stated(spec={**SPEC["spec"], **changes})


HOSTILE = {
    "nothing": ("", "no line says RECORD"),
    "two": (f"{stated()}\n{stated()}", "2 lines say RECORD"),
    "code": ("RECORD = __import__('os').getcwd()", "expected one string literal"),
    "joined": ("RECORD = 'a' + 'b'", "expected one string literal"),
    "formatted": ("RECORD = f'{1 + 1}'", "expected one string literal"),
    "escaped": (r"RECORD = '\x7b'", "expected one string literal"),
    "truncated": (stated()[:300], "expected one string literal"),
    "truncated inside": (stated()[:300] + "'", "not JSON"),
    "not a number": (stated(batch=float("nan")), "NaN is no number of a record"),
    "infinite": (stated(dtype=float("inf")), "Infinity is no number"),
    "twice": (stated()[:-2] + ', "batch": true}\'', "'batch' stands twice"),
    "nested": (f"RECORD = {'[' * 200_000 + ']' * 200_000!r}", "nested too deeply"),
    "a list": ("RECORD = '[]'", "expected the keys"),
    "a key too many": (stated(more=1), "expected the keys"),
    "wrong kind": (stated(batch="false"), "batch: expected int"),
    "no sequences": (stated(batch=-3), "RECORD.batch: -3"),
    "version": (stated(derive="0.1\n; import os"), "RECORD.derive"),
    "digest": (stated(digest="abc"), "RECORD.digest"),
    "schedule": (stated(schedule="lanes, unrolled"), "RECORD.schedule"),
    "dtype": (stated(dtype="object"), "RECORD.dtype"),
    "algorithm": (stated(algorithm={"name": "sgd"}), "no 'sgd'"),
    "unnamed": (stated(algorithm={}), "algorithm: no ''"),
    "option": (stated(algorithm={"name": "truncated", "h": 10**30}), "expected 1 … "),
    "huge": (with_spec(network={**SPEC["spec"]["network"], "units": 10**9}), "network.units"),
    "long": (
        with_spec(network={**SPEC["spec"]["network"], "units": 10**5}),
        "connections",
    ),
    "longest": (stated().replace('"units": 3', f'"units": {"9" * 5000}'), "RECORD: not JSON"),
    "a file": (
        with_spec(network={"units": 3, "inputs": 2, "connections": {"csv": "/etc/passwd"}}),
        "names a file",
    ),
    "evaluated": (
        with_spec(cell={"equations": {"y": "__import__('os').system('false')"}}),
        "what it states cannot be",
    ),
    "named": (with_spec(name="../../x"), "name"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_record_that_is_none_is_refused(case: str, tmp_path: Path) -> None:
    """Without running any of it, in one paragraph that names the file."""
    line, said = HOSTILE[case]
    path = tmp_path / "wz3x5.pyx"
    path.write_text(f"import os\n\n{line}\n\nraise SystemExit(7)\n", encoding="utf-8")
    with pytest.raises(RecordError) as refused:
        read_record(path)
    message = str(refused.value)
    assert said in message and str(path) in message
    assert len(message) < 700 and "\n" not in message


def test_a_refusal_is_one_paragraph_and_exit_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    binary, hostile = tmp_path / "binary.pyx", tmp_path / "hostile.pyx"
    binary.write_bytes(b"\xff\xfe\x00")
    hostile.write_text(HOSTILE["code"][0], encoding="utf-8")
    for path in (binary, hostile, tmp_path / "missing.pyx", tmp_path / "missing.so"):
        monkeypatch.setattr(sys, "argv", ["derive", "verify", str(path)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert str(path) in said and "Traceback" not in said and said.count("\n") == 1


# --- holding it to what it says ------------------------------------------------------------------


def test_a_module_alone_is_verified_from_its_text(tmp_path: Path) -> None:
    report = verify_module(alone(tmp_path), only=QUICK)
    assert report.ok, str(report)
    assert all((c.scope == "this module") == (c.rung == "text") for c in report.claims)
    methods = {c.method for c in report.claims}
    assert {"emitted again from the record", "compiled from this text", "complex step"} <= methods
    assert "manifest.json" not in methods
    assert report.command == f"derive verify {tmp_path / 'wz3x5.pyx'} --seed 0 --only quotients"


SIGN = ("v_delta_0_0 = bar_s", "v_delta_0_0 = -bar_s")


def test_a_changed_text_is_caught_and_not_run(tmp_path: Path) -> None:
    report = verify_module(changed(alone(tmp_path), *SIGN))
    assert not report.ok
    found = failures(report)
    text = found["text: emitted again from the record"]
    assert "1 line differs" in text and "gradient_core" in text
    assert "'v_delta_0_0 = -bar_s' where 'v_delta_0_0 = bar_s' is emitted" in text
    assert "not run" in found["kernel: compiled from this text"]


def test_what_a_changed_sign_spoils_is_named_when_it_is_run(tmp_path: Path) -> None:
    """The claims are about the very text: fresh from the emitter the gradient would be right."""
    report = verify_module(
        changed(alone(tmp_path), *SIGN), trust=True, only=["rounding", "quotients"]
    )
    found = failures(report)
    assert "text: emitted again from the record" in found
    assert "∂J/∂theta: differences of the forward pass, extrapolated" in found
    assert "∂J/∂theta: rounding: float64 against 50 digits, in ulp" in found
    assert not [name for name in found if name.startswith(("forward y", "J^total"))]
    assert "--trust" in report.command


def test_a_text_with_other_ends_of_lines_is_not_the_one_emitted(tmp_path: Path) -> None:
    path = alone(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert "the ends of lines differ" in str(failures(verify_module(path)))


def test_a_record_of_another_network_is_caught(tmp_path: Path) -> None:
    """The digest, the text below it, or both: a record cannot be changed alone."""
    path = changed(alone(tmp_path), '"targets": [2]', '"targets": [1]')
    found = failures(verify_module(path))
    assert "digest of the network: the module's record" in found
    assert "text: emitted again from the record" in found


def test_a_manifest_that_disagrees_is_caught(tmp_path: Path) -> None:
    path = alone(tmp_path)
    shutil.copy(GENERATED / "manifest.json", tmp_path)
    changed(tmp_path / "manifest.json", read_record(path).digest, "0" * 64)
    assert set(unfounded(path)) == {"digest of the network: manifest.json"}
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    assert set(unfounded(path)) == {"manifest.json: read"}


def test_a_module_under_another_name_is_caught(tmp_path: Path) -> None:
    path = alone(tmp_path).rename(tmp_path / "other.pyx")
    assert set(unfounded(path)) == {"name: the module's record"}


def test_the_text_of_another_version_is_not_called_wrong(tmp_path: Path) -> None:
    """It is run where only the version differs; else it is not compared, and not run."""
    path = alone(tmp_path)
    changed(path, "; derive 0.1.0.\n", "; derive 0.0.9.\n")
    changed(path, '"derive": "0.1.0"', '"derive": "0.0.9"')
    report = verify_module(path, only=QUICK)
    (text,) = [c for c in report.claims if c.name == "text"]
    assert report.ok and "emitted by derive 0.0.9" in text.detail
    assert "the same text but for that" in text.detail
    report = verify_module(changed(path, *SIGN), only=QUICK)
    (text,) = [c for c in report.claims if c.name == "text"]
    assert text.ok and "text not compared" in text.detail
    assert set(failures(report)) == {"kernel: compiled from this text"}


def test_a_text_that_does_not_compile_fails_its_claim(tmp_path: Path) -> None:
    path = changed(alone(tmp_path), "v_delta_0_0 = bar_s", "v_delta_0_0 = = bar_s")
    found = failures(verify_module(path, trust=True, only=QUICK))
    assert "Cython could not translate it" in found["kernel: compiled from this text"]


@pytest.mark.parametrize("algorithm", ["truncated", "settling"])
def test_a_module_over_a_batch_is_verified(algorithm: str, tmp_path: Path) -> None:
    net = NETS["sharing"]
    options = {"h": 2} if algorithm == "truncated" else {}
    path = module(tmp_path, net, batch=True, algorithm=algorithm, **options)
    rungs = ("agreement",) if algorithm == "truncated" else ("relaxing",)
    report = verify_module(path, only=rungs)
    assert report.ok, str(report)
    batch = [c for c in report.claims if c.method == "agreement: a batch with its sequences"]
    assert bool(batch) == (algorithm == "truncated")


def test_where_nothing_compiles_the_programs_stand_in_for_their_own_text_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERIVE_NO_COMPILER", "1")
    path = alone(tmp_path)
    with pytest.warns(UserWarning, match="no C compiler"):
        report = verify_module(path, only=QUICK)
    assert report.ok and "run on NumPy" in str(report)
    report = verify_module(changed(path, *SIGN), trust=True, only=QUICK)
    assert "cannot be compiled here" in failures(report)["kernel: compiled from this text"]


def test_a_difference_says_where_it_is() -> None:
    emitted = "x = 1\ndef f(a):\n    b = 1\n    c = 2\n    return b\n"
    one: Callable[[str], str] = lambda given: difference(given, emitted)  # noqa: E731
    assert one(emitted.replace("c = 2", "c = 3")) == (
        "1 line differs: line 4, in f: 'c = 3' where 'c = 2' is emitted"
    )
    assert one(emitted + "import os\n") == (
        "1 line differs: line 6: 'import os' where nothing is emitted"
    )
    assert one(emitted.replace("    c = 2\n", "")).startswith("1 line differs: line 4, in f:")
