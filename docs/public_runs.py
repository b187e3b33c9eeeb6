"""The tables of `results/public_runs.md`, from the 1,911 runs of arXiv:2503.04715.

`python docs/public_runs.py FILE` writes them from the authors' file of runs, with the columns `bs`,
`lr`, `smooth loss`, `N` and `D`.
"""

import math
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

import scaling
from scaling.analysis.loss_lost import CurveLosses

PLACE = Path(__file__).parent / "results" / "public_runs"
COLUMNS = {"batch": "bs", "val_loss": "smooth loss", "parameters": "N", "tokens": "D"}
OVER = ("batch", "parameters", "tokens")
GRID = ["parameters", "tokens"]
LAWS = ("constant", "power", "surge", "saturating")


def read(file: str | Path) -> pd.DataFrame:
    """Read the runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns that are not used
        return scaling.read(file, columns=COLUMNS)


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The tables by name: `exponents`, `turns` and `held_out`."""
    law = scaling.learning_rate_law(rows, over=OVER)
    middle = rows["parameters"].drop_duplicates().median()
    lengths = pd.DataFrame({"parameters": middle, "tokens": [4e9, 1e10, 2e10, 5e10, 1e11]})
    turns = pd.concat([lengths, law.turn(lengths)], axis=1)
    return {"exponents": exponents(rows), "turns": turns, "held_out": held_out(rows, law)}


def exponents(rows: pd.DataFrame) -> pd.DataFrame:
    """The law of the batch size in each grid alone."""
    lines = []
    for key, grid in rows.groupby(GRID):
        law = scaling.learning_rate_law(grid)
        known = [law.exponent, law.low, law.high, law.compared.fits[0].name]
        names = ["exponent", "low", "high", "form"]
        lines.append(dict(zip([*GRID, *names], [*key, *known], strict=True)))
    return pd.DataFrame(lines)


def held_out(rows: pd.DataFrame, law) -> pd.DataFrame:
    """The mean loss lost by each law, with t intervals over grids.

    `near`: batch sizes within a factor of 2 of the best one of their grid; `far below`: those less
    than a quarter of it.
    """
    lowest = rows.loc[rows.groupby(GRID)["val_loss"].idxmin()].set_index(GRID)["batch"]
    laws = {name: law.held_out_by(name) for name in LAWS} | {"published": published(rows)}
    lines = []
    for name, curves in laws.items():
        best = np.array([lowest[tuple(key)] for key in curves[GRID].to_numpy()])
        ratio = curves["batch"] / best
        for where, kept in {
            "all": ratio > 0, "near": ratio.between(0.499, 2.001), "far below": ratio < 0.2499
        }.items():  # fmt: skip
            means = curves[kept].groupby(GRID)[["loss_lost", "loss_lost_cubic"]].mean()
            line = {"law": name, "batch sizes": where, "curves": int(kept.sum())}
            for key in means:
                of_grids = means[key].dropna()
                reach = stats.t.ppf(0.975, len(of_grids) - 1) * of_grids.sem()
                mean = of_grids.mean()
                line |= {key: mean, f"{key}_low": mean - reach, f"{key}_high": mean + reach}
            lines.append(line)
    return pd.DataFrame(lines)


def published(rows: pd.DataFrame) -> pd.DataFrame:
    """The loss lost by lr = 1.79 N^-0.713 D^0.307, which was fitted to these runs."""
    lines = []
    for (batch, *key), curve in rows.groupby(["batch", *GRID]):
        lr = 1.79 * key[0] ** -0.713 * key[1] ** 0.307
        losses = curve.groupby("lr")["val_loss"].mean()
        measured = CurveLosses(np.log(losses.index.to_numpy()), losses.to_numpy())
        lost = [measured.through_runs(math.log(lr)), measured.on_cubic(math.log(lr))]
        names = ["batch", *GRID, "loss_lost", "loss_lost_cubic"]
        lines.append(dict(zip(names, [batch, *key, *lost], strict=True)))
    return pd.DataFrame(lines)


if __name__ == "__main__":
    for name, table in tables(read(sys.argv[1])).items():
        table.to_csv(PLACE / f"{name}.csv", index=False, float_format="%.4g")
        print(table.to_string())
