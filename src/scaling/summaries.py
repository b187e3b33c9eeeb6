"""Rows in plain text: a table of losses, and what to know before believing an optimum."""

import math

import pandas as pd

from scaling import results

NOTHING = 0.02  # nats between a loss and its floor that leave nothing to learn
LEGEND = "* best of its batch   ! worse than letter frequencies (unigram)   (%) steps clipped"


def table(rows: pd.DataFrame, *, with_notes: bool = True) -> str:
    """Validation loss with batch down and lr across, one block for each other setting.

    Seeds are averaged. Below it stands what a reader must know before believing an optimum.

    Args:
        rows: as `scaling.results.read` gives them.
        with_notes: add `notes`.
    """
    blocks = [_block(title, block) for title, block in results.settings(rows)]
    below = "\n".join([LEGEND, *(notes(rows) if with_notes else [])])
    return "\n\n".join(["Validation loss in nats", *blocks, below])


def line(rows: pd.DataFrame) -> str:
    """One run in a few lines, its loss beside what is trivially reachable."""
    row = rows.iloc[0]
    if row.status not in results.FINISHED:
        return f"{row.status}  {row.run}"
    loss = f"{row.val_loss:.4f} +- {row.val_loss_se:.4f} nats"
    beside = ", ".join(f"{name[:-5]} {value:.3f}" for name, value in _trivial(rows).items())
    lines = [
        f"{row.status}      {row.run}",
        f"val_loss  {loss if pd.notna(row.val_loss) else 'not finite'}  ({beside})",
    ]
    if pd.notna(row.grad_norm_pre_clip):
        lines.append(
            f"clipped   {row.clip_percent:.1f} % of {row.steps:.0f} steps; mean gradient norm "
            f"{row.grad_norm_pre_clip:.3g} before and {row.grad_norm_post_clip:.3g} after clipping"
        )
    accuracies = {name: row[f"{name}_accuracy"] for name in ("val", "test")}
    if measured := {name: value for name, value in accuracies.items() if pd.notna(value)}:
        shares = ", ".join(f"{name} {value:.2%}" for name, value in measured.items())
        lines.append(f"accuracy  {shares.replace('%', ' %')}")
    return "\n".join([*lines, f"time      {row.seconds:.1f} s, {row.parameters:,.0f} parameters"])


def notes(rows: pd.DataFrame) -> list[str]:
    """What a reader must know before believing an optimum."""
    said = [f"{name[:-5]} {value:.3f}" for name, value in _trivial(rows).items()]
    lines = [f"Reachable without learning: {', '.join(said)}"] if said else []
    for title, block in results.settings(rows):
        means = _means(block)
        where = f" ({title})" if title else ""
        if (floor := _floor_reached(block, means)) is not None:
            lines.append(
                f"Nothing to learn{where}: every best loss lies within {NOTHING} of {floor:.3f}, "
                "which no model goes below and letter frequencies reach; no lr is best"
            )
            continue
        for end, at in {"largest": -1, "smallest": 0}.items():
            batches = [
                f"{batch:g}"
                for batch, losses in means.items()
                if len(losses) > 1 and losses.idxmin() == losses.index[at]
            ]
            if batches:
                lines.append(
                    f"The best lr is the {end} tried at batch {', '.join(batches)}{where}: "
                    "the optimum may lie outside the grid"
                )
    if len(set(rows["seed"].dropna())) == 1:
        lines.append("One seed: differences between cells include noise of unknown size")
    for status in ("diverged", "failed", "interrupted", "corrupt"):
        if count := int((rows["status"] == status).sum()):
            lines.append(f"{count} of {len(rows)} runs {status}")
    return lines


def _block(title: str, block: pd.DataFrame) -> str:
    """One table of cells."""
    best = {batch: losses.idxmin() for batch, losses in _means(block).items()}
    lrs = sorted(block["lr"].unique())
    lines = [["batch", *(f"lr {lr:g}" for lr in lrs)]]
    for batch in sorted(block["batch"].unique()):
        row = block[block["batch"] == batch]
        cells = dict(iter(row.groupby("lr")))
        texts = [
            _cell(cells[lr], best=bool(lr == best.get(batch))) if lr in cells else "." for lr in lrs
        ]
        lines.append([f"{batch:g}", *texts])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ["  ".join(x.rjust(w) for x, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([f"{title}:" if title else "", *text]).lstrip("\n")


def _cell(runs: pd.DataFrame, *, best: bool) -> str:
    """The runs of one batch and lr, over seeds."""
    done = runs[runs["status"] == "done"]
    if done.empty:
        return "/".join(sorted(runs["status"].unique()))
    loss = done["val_loss"].mean()
    error = done["val_loss_se"].fillna(0).mean()
    worse = loss - 2 * error > done["unigram_loss"].mean()
    mark = f"{'*' if best else ''}{'!' if worse else ''}"
    rest = f" {len(done)} of {len(runs)}" if len(done) < len(runs) else ""
    clipped = done["clip_percent"].mean()
    percent = f" ({clipped:3.0f} %)" if pd.notna(clipped) else ""
    return f"{mark}{loss:.3f}{percent}{rest}"


def _means(block: pd.DataFrame) -> dict[int, pd.Series]:
    """Mean loss of each lr, in ascending order, by batch that has one.

    A run that diverged is worse than any finite loss, and so is a cell that it belongs to.
    """
    ended = block[block["status"].isin(results.FINISHED)]
    losses = ended["val_loss"].where(ended["status"] == "done", math.inf)
    ended = ended.assign(val_loss=losses)
    batches = ended[ended["batch"].isin(ended.loc[losses < math.inf, "batch"])].groupby("batch")
    return {
        int(runs["batch"].iloc[0]): runs.groupby("lr")["val_loss"].mean() for _, runs in batches
    }


def _floor_reached(block: pd.DataFrame, means: dict[int, pd.Series]) -> float | None:
    """The loss that nothing goes below, where counting letters reaches it, and every batch size."""
    trivial = _trivial(block)
    floor, counted = trivial.get("floor_loss"), trivial.get("unigram_loss", math.inf)
    if floor is None or not means or counted > floor + NOTHING:
        return None
    reached = all(abs(losses.min() - floor) <= NOTHING for losses in means.values())
    return floor if reached else None


def _trivial(rows: pd.DataFrame) -> dict[str, float]:
    """The losses that need no learning, if all rows agree on them."""
    names = [f"{name}_loss" for name in results.REFERENCES if f"{name}_loss" in rows]
    known = {name: rows[name].dropna().unique() for name in names}
    return {name: values[0] for name, values in known.items() if len(values) == 1}
