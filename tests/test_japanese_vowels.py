"""Claims about ``examples/japanese_vowels.py``, on data made here: what is read, masked, learnt."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import derive

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
HEADER = """# a remark
@problemName tiny
@timeStamps false
@univariate false
@dimensions 2
@equalLength false
@classLabel true a b
"""
GOOD = HEADER + "@data\n1,2,3:4,5,6.5:b\n\n-1e-1:0:a\n"


@pytest.fixture(scope="module")
def vowels() -> Iterator[ModuleType]:
    """The script imports its neighbour by name, as it does when it is run."""
    sys.path.insert(0, str(EXAMPLES))
    yield importlib.import_module("japanese_vowels")
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def kernel(vowels: ModuleType) -> derive.Kernel:
    return derive.compile(vowels.SPEC, batch=True)


def spoken(vowels: ModuleType, count: int, seed: int, longest: int = 9) -> Any:
    """Sequences whose speaker shows: each channel's mean is the speaker's own, with noise."""
    means = np.random.default_rng(99).normal(size=(9, 12))
    rng = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(9), count)
    lengths = rng.integers(3, longest + 1, len(speaker))
    noise = [0.5 * rng.normal(size=(L, 12)) for L in lengths]
    return vowels.Utterances([means[k] + e for k, e in zip(speaker, noise, strict=True)], speaker)


def write(path: Path, said: Any) -> None:
    lines = ["@timestamps false", "@dimensions 12", "@classLabel true 1 2 3 4 5 6 7 8 9", "@data"]
    for sequence, k in zip(said.sequences, said.speaker, strict=True):
        channels = [",".join(map(repr, channel.tolist())) for channel in sequence.T]
        lines.append(":".join([*channels, str(k + 1)]))
    path.write_text("\n".join(lines), encoding="utf-8")


# --- the reader ------------------------------------------------------------------------------


def test_sequences_are_read_with_time_first_and_classes_from_0(
    vowels: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "t.ts").write_text(GOOD, encoding="utf-8")
    said = vowels.read(tmp_path / "t.ts", 2, ("a", "b"))
    assert [s.tolist() for s in said.sequences] == [[[1, 4], [2, 5], [3, 6.5]], [[-0.1, 0]]]
    assert said.speaker.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("@dimensions 2", "@dimensions 3", "@dimensions is '3' where '2' is expected"),
        ("@dimensions 2\n", "", "the header has no @dimensions"),
        ("@timeStamps false", "@timeStamps true", "@timestamps is 'true' where 'false'"),
        ("true a b", "true a b c", "@classlabel is 'true a b c' where 'true a b'"),
        ("@data\n", "", "there is no line @data"),
        ("@univariate", "univariate", "line 4: before @data only lines with @ and #"),
        ("4,5,6.5", "4,5", "line 9: channels of 2 and of 3 steps"),
        ("4,5,6.5:", "", "line 9: 1 channels where 2 are expected"),
        (":b", ":c", "line 9: class 'c' is none of a, b"),
        ("6.5", "NaN", "line 9: a value is not finite"),
        ("-1e-1", "inf", "line 11: a value is not finite"),
        ("6.5", "?", "line 9: could not convert string to float: '?'"),
        ("4,5,6.5", "", "line 9: could not convert string to float: ''"),
        (GOOD[GOOD.index("1,2") :], "", "nothing follows @data"),
        (GOOD, "", "there is no line @data"),
    ],
)
def test_a_file_that_is_not_as_expected_is_refused_with_the_place(
    vowels: ModuleType, tmp_path: Path, was: str, now: str, told: str
) -> None:
    assert was in GOOD
    path = tmp_path / "t.ts"
    path.write_text(GOOD.replace(was, now, 1), encoding="utf-8")
    with pytest.raises(vowels.DataError) as error:
        vowels.read(path, 2, ("a", "b"))
    assert "t.ts" in error.value.message and told in error.value.message


def test_a_file_that_is_not_there_or_no_text_is_told_of(vowels: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(vowels.DataError, match="cannot be read"):
        vowels.read(tmp_path / "t.ts")
    (tmp_path / "t.ts").write_bytes(b"\xff\xfe")
    with pytest.raises(vowels.DataError, match="cannot be read"):
        vowels.read(tmp_path / "t.ts")


def test_without_the_data_one_sentence_says_how_to_get_them(
    vowels: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vowels.importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(vowels.main, [])
    assert result.exit_code == 1
    assert "pip install --no-deps aeon" in result.output and "--data" in result.output


def test_an_installed_aeon_is_looked_into_and_not_imported(
    vowels: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = tmp_path / "aeon" / "datasets" / "data" / "JapaneseVowels"
    kept.mkdir(parents=True)
    (tmp_path / "aeon" / "__init__.py").write_text("raise ImportError", encoding="utf-8")
    for name in [m for m in sys.modules if m.split(".")[0] == "aeon"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert vowels.folder() == kept


# --- the batch -------------------------------------------------------------------------------


def test_the_spec_is_a_small_net_of_two_layers_and_nine_outputs(kernel: derive.Kernel) -> None:
    net = kernel.net
    assert net.inputs == 24 and len(net.objective.targets) == 9
    assert list(net.objective.targets) == list(net.populations["out"])


def test_both_masks_give_every_sequence_the_weight_1(vowels: ModuleType) -> None:
    said = spoken(vowels, 2, seed=0)
    scale = vowels.Scale.of(said)
    for at in vowels.TARGETS_AT:
        given = vowels.batch(said, scale, at, steps=12)
        assert given.mask.sum(axis=0) == pytest.approx(np.ones((9, 18)))
        for b, sequence in enumerate(said.sequences):
            L = len(sequence)
            assert given.mask[L - 1, :, b].all() and not given.mask[L:, :, b].any()
            assert (given.mask[: L - 1, :, b] > 0).all() == (at == "every")
            assert (given.x[:L, :12, b] == given.x[:L, 12:, b][::-1]).all()
            assert not given.x[L:, :, b].any()
    with pytest.raises(vowels.DataError, match="9 steps where at most 8"):
        vowels.batch(said, scale, "end", steps=8)


def test_what_follows_the_end_of_a_sequence_has_no_effect(
    vowels: ModuleType, kernel: derive.Kernel
) -> None:
    said = spoken(vowels, 1, seed=1)
    theta = kernel.net.init(seed=0)
    for at in vowels.TARGETS_AT:
        given = vowels.batch(said, vowels.Scale.of(said), at)
        J, g = kernel.gradient(theta, given.x, given.target, mask=given.mask)
        ended = np.repeat(given.mask.cumsum(axis=0)[:, :1] >= 1 - 1e-9, 24, axis=1)
        after = np.zeros_like(ended)
        after[1:] = ended[:-1]
        noise = np.random.default_rng(0).normal(size=after.shape)
        other = np.where(after, noise, given.x)
        target = np.where(given.mask > 0, given.target, np.nan)
        J2, g2 = kernel.gradient(theta, other, target, mask=given.mask)
        assert J2 == pytest.approx(J, rel=1e-12) and np.allclose(g2, g, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("at", ["end", "every"])
def test_the_gradient_is_that_of_the_log_probabilities_by_differences(
    vowels: ModuleType, kernel: derive.Kernel, at: str
) -> None:
    said = spoken(vowels, 1, seed=2, longest=5)
    given = vowels.batch(said, vowels.Scale.of(said), at, steps=6)
    rng = np.random.default_rng(0)
    theta = 0.3 * rng.normal(size=kernel.net.size)

    def J(theta: Any) -> float:
        return vowels.log_p(kernel, theta, given)[said.speaker, np.arange(9)].sum()

    told, g = kernel.gradient(theta, given.x, given.target, mask=given.mask)
    assert told == pytest.approx(J(theta), rel=1e-12)
    for _ in range(5):
        way = rng.normal(size=theta.shape)
        h = 1e-5
        slope = (J(theta + h * way) - J(theta - h * way)) / (2 * h)
        assert g @ way == pytest.approx(slope, rel=1e-6, abs=1e-7)


# --- learning --------------------------------------------------------------------------------


def test_a_few_steps_raise_j_and_tell_separable_speakers_apart(
    vowels: ModuleType, kernel: derive.Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vowels, "ITERATIONS", 25)
    said, other = spoken(vowels, 4, seed=3), spoken(vowels, 4, seed=4)
    scale = vowels.Scale.of(said)
    given = vowels.batch(said, scale, "every")
    theta = vowels.learn(kernel, 0, given, 0.3)

    def J(theta: Any) -> float:
        return kernel.gradient(theta, given.x, given.target, mask=given.mask)[0]

    assert J(theta) > 0.5 * J(kernel.net.init(seed=0))
    answer = vowels.log_p(kernel, theta, vowels.batch(other, scale, "every"))
    assert (answer.argmax(axis=0) == other.speaker).mean() > 0.8


def test_folds_have_consecutive_utterances_of_every_speaker(vowels: ModuleType) -> None:
    fold = vowels.folds(np.repeat([0, 1], [10, 5]), 5)
    assert fold.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0, 1, 2, 3, 4]


@pytest.mark.parametrize("quick", [True, False])
def test_the_script_prints_its_tables(
    vowels: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: bool
) -> None:
    monkeypatch.setattr(vowels, "ITERATIONS", 5)
    monkeypatch.setattr(vowels, "DECAYS", (1.0,))
    write(tmp_path / "JapaneseVowels_TRAIN.ts", spoken(vowels, 5, seed=5))
    write(tmp_path / "JapaneseVowels_TEST.ts", spoken(vowels, 2, seed=6))
    given = ["--data", str(tmp_path), "--seeds", "2", *["--quick"] * quick]
    result = CliRunner().invoke(vowels.main, given)
    assert result.exit_code == 0, result.output
    assert ("5-fold cross-validation on the 45 training" in result.output) != quick
    assert "18 test utterances" in result.output
    assert len(re.findall(r"seed \d .*%.*%", result.output)) == (3 if quick else 2)


def test_the_choice_is_made_without_the_test_file(
    vowels: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vowels, "ITERATIONS", 1)
    write(tmp_path / "JapaneseVowels_TRAIN.ts", spoken(vowels, 5, seed=5))
    result = CliRunner().invoke(vowels.main, ["--data", str(tmp_path), "--seeds", "1"])
    assert result.exit_code == 1 and "JapaneseVowels_TEST.ts: cannot be read" in result.output
    assert "chosen" in result.output
