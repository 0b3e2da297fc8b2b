"""Nine speakers told apart by how they say /ae/: real sequences of 7 to 29 steps.

The data are the Japanese vowels of Kudo, Toyama & Shimbo (1999): 12 cepstrum coefficients a step,
270 utterances to learn from and 370 to be judged by, recorded on other occasions. They are read
from the files that the package aeon brings along, which is not imported, or from ``--data DIR``.

Sequences of all lengths are one batch: padded with zeros at the end, where the mask is 0 and so no
output counts. Weights are fitted by L-BFGS with the exact gradient of the compiled kernel. Where
the targets are (at the last step, or at every step with weights that add up to 1) and how much the
weights decay is chosen by cross-validation among the 270; the 370 are read once all is chosen.

    python examples/japanese_vowels.py [--data DIR] [--seeds 5] [--quick]
"""

from __future__ import annotations

import importlib.util
import math
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import click
import experiments as lab
import numpy as np

import derive
from derive.train import TrainingError, fit

SPEC = lab.HERE / "japanese_vowels.toml"
CHANNELS, STEPS, FOLDS, ITERATIONS = 12, 29, 5, 40
SPEAKERS = tuple("123456789")
TARGETS_AT = ("end", "every")
DECAYS = (0.1, 0.3, 1.0)
HOW_TO_GET_IT = (
    "the Japanese vowels are not here: get them by `pip install --no-deps aeon`, in whose files "
    "they are, or name the folder of JapaneseVowels_TRAIN.ts and JapaneseVowels_TEST.ts by --data"
)

# --- the data --------------------------------------------------------------------------------


class DataError(click.ClickException):
    """A file of the data is not what it should be: which, where, and what is wrong."""


@dataclass(frozen=True)
class Utterances:
    """Sequences and who spoke them.

    Attributes
    ----------
    sequences : list of (L, 12) arrays
        Each of its own length.
    speaker : (B,) array of int
        From 0.
    """

    sequences: list[np.ndarray]
    speaker: np.ndarray

    def take(self, which: np.ndarray) -> Utterances:
        """Those for which ``which`` is true."""
        return Utterances([self.sequences[i] for i in np.flatnonzero(which)], self.speaker[which])


def folder() -> Path:
    """Where the installed aeon keeps the data; aeon itself is not imported."""
    found = importlib.util.find_spec("aeon")
    for place in (found.submodule_search_locations or ()) if found else ():
        path = Path(place) / "datasets" / "data" / "JapaneseVowels"
        if path.is_dir():
            return path
    raise DataError(HOW_TO_GET_IT)


def read(path: Path, channels: int = CHANNELS, classes: tuple[str, ...] = SPEAKERS) -> Utterances:
    """A file in the ``.ts`` format: ``@`` lines, then a sequence a line, ``channel:…:class``.

    Raises
    ------
    DataError
        With the line, where the header states something else than expected, channels differ in
        length or number, a value is no finite number, a class is unknown, or nothing is there.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    rows = [(n, line.strip()) for n, line in enumerate(lines, 1)]
    rows = [(n, line) for n, line in rows if line and not line.startswith("#")]
    begin = next((i for i, (_, line) in enumerate(rows) if line.lower() == "@data"), None)
    if begin is None:
        raise DataError(f"{path}: there is no line @data, so this is no .ts file")
    _check_header(path, rows[:begin], channels, classes)
    if begin + 1 == len(rows):
        raise DataError(f"{path}: nothing follows @data")
    sequences, speaker = [], []
    for n, line in rows[begin + 1 :]:
        *parts, label = line.split(":")
        where = f"{path}, line {n}"
        if len(parts) != channels:
            raise DataError(f"{where}: {len(parts)} channels where {channels} are expected")
        if label.strip() not in classes:
            known = ", ".join(classes)
            raise DataError(f"{where}: class {label.strip()!r} is none of {known}")
        try:
            values = [[float(v) for v in part.split(",")] for part in parts]
        except ValueError as error:
            raise DataError(f"{where}: {error}") from None
        lengths = sorted({len(v) for v in values})
        if len(lengths) > 1:
            raise DataError(f"{where}: channels of {lengths[0]} and of {lengths[-1]} steps")
        if not all(math.isfinite(v) for channel in values for v in channel):
            raise DataError(f"{where}: a value is not finite")
        sequences.append(np.array(values).T)
        speaker.append(classes.index(label.strip()))
    return Utterances(sequences, np.array(speaker))


def _check_header(
    path: Path, rows: list[tuple[int, str]], channels: int, classes: tuple[str, ...]
) -> None:
    wanted = {
        "@timestamps": "false",
        "@dimensions": str(channels),
        "@classlabel": " ".join(("true", *classes)),
    }
    stated = {}
    for n, line in rows:
        if not line.startswith("@"):
            raise DataError(f"{path}, line {n}: before @data only lines with @ and # are expected")
        key, *values = line.split()
        stated[key.lower()] = " ".join(values)
    for key, value in wanted.items():
        if key not in stated:
            raise DataError(f"{path}: the header has no {key}")
        if stated[key].lower() != value.lower():
            raise DataError(f"{path}: {key} is {stated[key]!r} where {value!r} is expected")


@dataclass(frozen=True)
class Scale:
    """Each channel's mean and standard deviation over all steps of the training sequences."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, said: Utterances) -> Scale:
        every = np.concatenate(said.sequences)
        return cls(every.mean(axis=0), every.std(axis=0))


@dataclass(frozen=True)
class Batch:
    """What a batch kernel takes: x (T, 2m, B), target and mask (T, classes, B)."""

    x: np.ndarray
    target: np.ndarray
    mask: np.ndarray


def batch(
    said: Utterances, scale: Scale, at: str, steps: int = STEPS, classes: int = len(SPEAKERS)
) -> Batch:
    """Sequences side by side, each onward and backward in time, with zeros after their end.

    The mask is 1 at a sequence's last step (``at="end"``) or 1/L at each of its L steps
    (``"every"``), so that every sequence weighs the same. States run on after the end, but have no
    target there, and nothing that has one hears them.
    """
    B, m = len(said.sequences), len(scale.mean)
    x, target = np.zeros((steps, 2 * m, B)), np.zeros((steps, classes, B))
    mask = np.zeros_like(target)
    for b, (sequence, speaker) in enumerate(zip(said.sequences, said.speaker, strict=True)):
        L = len(sequence)
        if L > steps:
            raise DataError(f"a sequence has {L} steps where at most {steps} are expected")
        z = (sequence - scale.mean) / scale.deviation
        x[:L, :m, b], x[:L, m:, b] = z, z[::-1]
        target[:, speaker, b] = 1
        if at == "end":
            mask[L - 1, :, b] = 1
        else:
            mask[:L, :, b] = 1 / L
    return Batch(x, target, mask)


# --- learning --------------------------------------------------------------------------------


def log_p(kernel: derive.Kernel, theta: np.ndarray, given: Batch) -> np.ndarray:
    """log p of each speaker (classes, B): where there are targets, the mean over steps."""
    y = kernel.forward(theta, given.x)[1:, kernel.net.columns("out")]
    y = y - y.max(axis=1, keepdims=True)
    each = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    return (each * given.mask).sum(axis=0)


def learn(kernel: derive.Kernel, seed: int, given: Batch, l2: float) -> np.ndarray:
    """The weights where L-BFGS ends, from those that ``net.init`` gives for the seed."""
    first = kernel.net.init(seed=seed)
    found = fit(
        kernel, first, given.x, given.target, mask=given.mask, l2=l2, max_iterations=ITERATIONS
    )
    return found.theta


def folds(speaker: np.ndarray, count: int = FOLDS) -> np.ndarray:
    """A fold for each utterance: of every speaker consecutive ones, in equal parts."""
    fold = np.empty(len(speaker), int)
    for k in np.unique(speaker):
        own = np.flatnonzero(speaker == k)
        fold[own] = np.arange(len(own)) * count // len(own)
    return fold


def validate(kernel: derive.Kernel, said: Utterances, at: str, l2: float) -> tuple[float, float]:
    """Mean log p of the right speaker, and accuracy, over utterances that were left out."""
    fold, right = folds(said.speaker), []
    for k in range(FOLDS):
        shown, kept = said.take(fold != k), said.take(fold == k)
        scale = Scale.of(shown)
        theta = learn(kernel, k, batch(shown, scale, at), l2)
        answer = log_p(kernel, theta, batch(kept, scale, at))
        own = answer[kept.speaker, np.arange(len(kept.speaker))]
        right.append((own, answer.argmax(axis=0) == kept.speaker))
    return tuple(float(np.concatenate(part).mean()) for part in zip(*right, strict=True))


@click.command()
@click.option("--data", type=click.Path(path_type=Path), help="Folder of the two .ts files.")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--quick", is_flag=True, help="Three seeds, and the choice as it came out before.")
def main(data: Path | None, seeds: int, quick: bool) -> None:
    """Tell nine speakers apart, with LSTM units trained by L-BFGS."""
    where = data or folder()
    said = read(where / "JapaneseVowels_TRAIN.ts")
    kernel = derive.compile(SPEC, batch=True)
    try:
        at, l2 = CHOSEN if quick else choose(kernel, said)
        report(kernel, said, where, at, l2, 3 if quick else seeds)
    except TrainingError as error:
        raise click.ClickException(str(error)) from None


CHOSEN = ("every", 0.3)
"""What cross-validation chooses."""


def choose(kernel: derive.Kernel, said: Utterances) -> tuple[str, float]:
    """Where targets are and how much weights decay: the best mean log p in cross-validation."""
    started = time.perf_counter()
    tried = {pair: validate(kernel, said, *pair) for pair in product(TARGETS_AT, DECAYS)}
    best = max(tried, key=lambda pair: tried[pair][0])
    rows = [
        (at, f"{l2:g}", f"{p:.3f}", f"{100 * correct:.1f} %", "chosen" * ((at, l2) == best))
        for (at, l2), (p, correct) in tried.items()
    ]
    title = (
        f"{FOLDS}-fold cross-validation on the {len(said.speaker)} training utterances, "
        f"{time.perf_counter() - started:.0f} s"
    )
    lab.show(title, ("targets at", "weight decay", "mean log p", "accuracy", ""), rows)
    return best


def report(
    kernel: derive.Kernel, said: Utterances, where: Path, at: str, l2: float, seeds: int
) -> None:
    """Train on all training utterances from each seed; judge by the test utterances."""
    scale = Scale.of(said)
    shown = batch(said, scale, at)
    trained = []
    for seed in lab.each_seed("training", seeds):
        started = time.perf_counter()
        theta = learn(kernel, seed, shown, l2)
        trained.append((seed, theta, time.perf_counter() - started))
    test = read(where / "JapaneseVowels_TEST.ts")  # not before all else is settled
    unseen = batch(test, scale, at)
    rows, together, accuracies = [], 0.0, []
    for seed, theta, seconds in trained:
        fitted = (log_p(kernel, theta, shown).argmax(axis=0) == said.speaker).mean()
        answer = log_p(kernel, theta, unseen)
        together = together + answer
        accuracies.append((answer.argmax(axis=0) == test.speaker).mean())
        rows.append((f"seed {seed}", _percent(fitted), _percent(accuracies[-1]), f"{seconds:.1f}"))
    span = f"{_percent(min(accuracies))} to {_percent(max(accuracies))}"
    rows += [
        ("mean of the seeds", "", _percent(np.mean(accuracies)), ""),
        ("range", "", span, ""),
        (
            "all seeds together, mean log p", "",
            _percent((together.argmax(axis=0) == test.speaker).mean()), "",
        ),
        ("Kudo et al. 1999: passing-through regions", "", "94.1 %", ""),
        ("Kudo et al. 1999: 5-state hidden Markov model", "", "96.2 %", ""),
    ]  # fmt: skip
    title = (
        f"{len(test.speaker)} test utterances; targets at {at}, weight decay {l2:g}, "
        f"{kernel.net.size} parameters"
    )
    lab.show(title, ("", "training", "test", "seconds to train"), rows)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


if __name__ == "__main__":
    main()
