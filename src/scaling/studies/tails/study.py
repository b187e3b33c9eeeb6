"""Are the tails of gradients Gaussian, Laplace-like or heavy, and does a law of lr follow?"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial

import pandas as pd

from scaling.contracts.columns import FINISHED
from scaling.contracts.settings import by_setting
from scaling.contracts.words import counted
from scaling.studies.claims import SMALLER, Claim, Verdict
from scaling.studies.study import Drawing, drawings
from scaling.studies.sweep_tables import SweepTables, stacked, where
from scaling.studies.tails import figures as drawn
from scaling.studies.tails.measures import (
    above_two,
    counts,
    drift,
    exponent,
    farthest,
    over_runs,
    summary,
    with_tails,
)

ORDER = 2
SOURCE = "phase 1: Laplace-like, alpha about 3, hence LR ~ B^(2/3)"
STEADY = (0.8, 1.25)  # ratio of indices at two shares, under a power law
LAPLACE, GAUSSIAN = (0.8, 1.25), (1.75, 2.3)  # shapes, with the tolerance of a verdict
AXES = {"coordinates": "over the coordinates of a step", "time": "of each coordinate over time"}
SHORT = {"time": "over time", "coordinates": "over the coordinates of a step"}


def applies(sweep: SweepTables) -> bool:
    """Whether the tails of gradients were recorded."""
    return len(sweep.tails) > 0


def sentences(sweep: SweepTables) -> Iterator[str]:
    """Shape, indices and verdicts of all layers, for each setting, batch size and axis."""
    for title, block in _blocks(sweep):
        setting = where(title)
        for axis, meaning in AXES.items():
            chosen = _of_all_layers(block, axis)
            if chosen.empty:
                continue
            middle = chosen.median(numeric_only=True)
            indices = ", ".join(
                f"{middle[f'hill_{share}']:.3g} at the top {share} %"
                for share in (1, 5, 10, 20)
                if not math.isnan(middle[f"hill_{share}"])
            )
            first, last = (
                chosen[chosen["step"] == step]["shape"].median()
                for step in (chosen["step"].min(), chosen["step"].max())
            )
            yield (
                f"Tails of gradients {meaning}{setting}: shape {middle['shape']:.3g} (first window "
                f"{first:.3g}, last {last:.3g}; Gaussian 2, Laplace 1); Hill's index {indices}; "
                f"windows: {counts(chosen['verdict'])}"
            )


def headlines(sweep: SweepTables) -> list[str]:
    """The most frequent verdict of each setting's windows, counted over settings."""
    found = [(title, axis, _of_all_layers(block, axis)) for title, block in _blocks(sweep)
             for axis in SHORT]  # fmt: skip
    found = [(title, axis, windows) for title, axis, windows in found if len(windows)]
    if not found:
        return [f"Tails of gradients: no window was judged: {sweep.tails['reason'].iloc[0]}"]
    by_title: dict[str, list[str]] = defaultdict(list)
    by_axis: dict[str, list[str]] = defaultdict(list)
    for title, axis, windows in found:
        word, number = Counter(windows["verdict"]).most_common(1)[0]
        word = word.replace("heavy, finite variance", "heavy (finite variance)")
        by_axis[axis].append(word)
        by_title[title].append(
            f"{SHORT[axis]} {word} ({number} of {counted(len(windows), 'window')}), "
            f"shape {windows['shape'].median():.2f}"
        )
    if len(by_title) == 1:
        (only,) = by_title.values()
        return [f"Tails of gradients: {'; '.join(only)} (Gaussian 2, Laplace 1)"]
    parts = []
    for axis, words in by_axis.items():
        first, *rest = [f"{word} in {number}" for word, number in Counter(words).most_common()]
        of = f"{first} of {counted(len(words), 'setting')}"
        parts.append(f"{SHORT[axis]} {', '.join([of, *rest])}")
    lines = [f"  {title}: {'; '.join(texts)}" for title, texts in by_title.items()]
    return [f"Tails of gradients: {'; '.join(parts)}", *lines]


def verdicts(sweep: SweepTables) -> Iterator[tuple[str, Verdict]]:
    """The published claims for each setting and batch size; known tails for injected gradients."""
    for title, block in _blocks(sweep):
        law = str(block["data.law"].iloc[0]) if "data.law" in block else ""
        for claim in INJECTED.get(law, CLAIMS):
            yield title, claim.judge(block)


def tables(sweep: SweepTables) -> dict[str, pd.DataFrame]:
    """`tail_shapes`: a line for each setting, batch size, axis, group and window."""
    return {"tail_shapes": stacked((t, summary(b, ["batch"])) for t, b in _blocks(sweep))}


def figures(sweep: SweepTables) -> dict[str, Drawing]:
    """Hill's index against the share of values, and shapes over training."""
    windows = with_tails(sweep.rows, sweep.tails)
    return drawings([drawn.hill_by_share, drawn.shape_over_steps], windows)


def _blocks(sweep: SweepTables) -> Iterator[tuple[str, pd.DataFrame]]:
    """The windows of each setting and batch size; those of injected gradients of any clip."""
    finished = sweep.rows[sweep.rows["status"].isin(FINISHED)]
    windows = with_tails(finished, sweep.tails)
    together = ("clip",) if "data.law" in windows else ()
    several = windows["batch"].nunique() > 1
    for title, setting in by_setting(windows, together=together):
        for batch, block in setting.groupby("batch"):
            yield ", ".join(filter(None, [title, f"batch={batch:g}" if several else ""])), block


def _of_all_layers(block: pd.DataFrame, axis: str) -> pd.DataFrame:
    """The windows of all layers together, before clipping."""
    return block[(block["axis"] == axis) & (block["group"] == "all") & ~block["clipped"]]


def _claims() -> tuple[Claim, ...]:
    claims = []
    for axis, meaning in AXES.items():
        claims += [
            Claim(f"Gradients {meaning} have a power tail: Hill's index is the same at the top "
                  "5 % and 20 %", STEADY, partial(drift, axis=axis), SOURCE),
            Claim(f"The tail index {meaning} is about 3 (2.5 to 3.5) at every share",
                  (2.5, 3.5), partial(farthest, axis=axis), SOURCE),
            Claim(f"Gradients {meaning} are Laplace-like: shape 0.8 to 1.25",
                  LAPLACE, partial(over_runs, measure="shape", axis=axis), SOURCE),
            Claim(f"Gradients {meaning} are not heavy-tailed: Hill's index is above that of a law "
                  "of infinite variance", (1.0, math.inf), partial(above_two, axis=axis), SOURCE),
        ]  # fmt: skip
    claims.append(
        Claim("The tails of each coordinate imply LR ~ B^(2/3) (0.6 to 0.74)", (0.6, 0.74),
              partial(exponent, axis="time"), SOURCE)
    )  # fmt: skip
    return tuple(claims)


def _known(law: str) -> tuple[Claim, ...]:
    """The expected tails of gradients of an injected law, on both axes."""
    source = f"injected {law} gradients"
    if law == "normal":
        return tuple(
            Claim(f"Injected normal gradients come out as Gaussian {meaning}: shape 1.75 to 2.3",
                  GAUSSIAN, partial(over_runs, measure="shape", axis=axis), source)
            for axis, meaning in AXES.items()
        )  # fmt: skip
    recognised = tuple(
        Claim(f"Injected Cauchy gradients come out as of infinite variance {meaning}: Hill's "
              "index is below that of a law of index 2", SMALLER,
              partial(above_two, axis=axis), source)
        for axis, meaning in AXES.items()
    )  # fmt: skip
    return (
        Claim("Injected Cauchy gradients come out with their index, 1 (0.8 to 1.25), at the top "
              "5 % of the coordinates of a step", STEADY,
              partial(over_runs, measure="hill_5", axis="coordinates"), source),
        *recognised,
    )  # fmt: skip


CLAIMS = _claims()
INJECTED = {law: _known(law) for law in ("normal", "cauchy")}
