"""Rows in plain text: a table of losses, or one run in a few lines."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import pandas as pd

from scaling.contracts.columns import FINISHED, NOTES
from scaling.contracts.metric import Metric, compared_settings, metric_of
from scaling.contracts.settings import by_setting
from scaling.contracts.words import counted
from scaling.reporting.caveats import doubts, trivial, uncertain_optima, without_learning
from scaling.reporting.run_caveats import caveats
from scaling.studies.claims import Verdict

CLAIMS_ARE = (
    "claims of five published write-ups that this project reproduces, named as source, and common "
    "ones without a source; each is tested on the runs of this report"
)
LEGEND = "* best of its batch   ! significantly worse than unigram   (%) steps clipped"
LEGEND_MAXIMISED = "* best of its batch   (%) steps clipped"


def summary_table(
    rows: pd.DataFrame, *, with_caveats: bool = True, flat: float | None = None
) -> str:
    """Validation loss with a row per batch and a column per lr, one block for each other setting.

    A metric that is maximised is shown in place of the loss. Columns are clips if only the clip
    varies at each batch size. Seeds are averaged. Caveats of the sweep follow below. Losses that
    mean nothing are left out.

    Args:
        rows: from `scaling.results.read`.
        with_caveats: add those of `scaling.reporting.caveats`.
        flat: rise of the loss in nats below which an optimum is flat (`scaling.optimum`).
    """
    metric = metric_of(rows)
    if not metric.informative:
        return "\n".join([metric.heading, *(doubts(rows) if with_caveats else ())])
    across = "clip" if clips_only(rows) else "lr"
    together = ("clip",) if across == "clip" else ()
    settings = compared_settings(rows, together=together)
    blocks = [_block(title, block, across, metric) for title, block in settings]
    readable = rows[rows["status"] != "corrupt"]
    legend = LEGEND if metric.is_loss else LEGEND_MAXIMISED
    below = [legend, *filter(None, [without_learning(readable)])]
    if with_caveats:
        below += [*doubts(rows), *uncertain_optima(readable, flat=flat)]
    return "\n\n".join([metric.heading, *blocks, "\n".join(below)])


def line(rows: pd.DataFrame) -> str:
    """One run in a few lines, beside the losses that need no learning."""
    row = rows.iloc[0]
    if row.status not in FINISHED:
        return f"{row.status}  {row.run}"
    lines = [f"{row.status}      {row.run}"]
    if metric_of(rows).informative or pd.isna(row.val_loss):
        loss = f"{row.val_loss:.4f} +- {row.val_loss_se:.4f} nats"
        beside = ", ".join(f"{name} {value:.3f}" for name, value in trivial(rows).items())
        lines.append(f"val_loss  {loss if pd.notna(row.val_loss) else 'not finite'}  ({beside})")
    else:
        lines.append("loss      not shown: that of this data set means nothing")
    if pd.notna(row.grad_norm_pre_clip):
        lines.append(
            f"clipped   {row.clip_percent:.1f} % of {counted(int(row.steps), 'step')}; mean "
            f"gradient norm {row.grad_norm_pre_clip:.3g} before and {row.grad_norm_post_clip:.3g} "
            "after clipping"
        )
    if "before_query_accuracy" in row:
        changed = (
            f"{split} {row[f'before_{split}_accuracy']:.2%} -> {row[f'{split}_accuracy']:.2%}"
            for split in ("query", "val", "source")
        )
        lines.append(f"adapted   accuracy {', '.join(changed)}".replace("%", " %"))
    elif measured := {
        name: row[f"{name}_accuracy"]
        for name in ("val", "test")
        if pd.notna(row[f"{name}_accuracy"])
    }:
        shares = ", ".join(f"{name} {value:.2%}" for name, value in measured.items())
        lines.append(f"accuracy  {shares.replace('%', ' %')}")
    if NOTES in row and pd.notna(row[NOTES]):
        lines.append(f"data      {row[NOTES]}")
    lines.append(f"time      {row.seconds:.1f} s, {row.parameters:,.0f} parameters")
    lines += [f"warning   {one.kind}: {one.sentence}; {one.remedy}" for one in caveats(row)]
    return "\n".join(lines)


def status_line(rows: pd.DataFrame, missing: int) -> str:
    """The number of runs, how they ended, and how many are missing."""
    counts = rows["status"].value_counts()
    parts = [f"{count} {status}" for status, count in counts.items()]
    parts += [f"{missing} not trained yet"] if missing else []
    return f"{counted(len(rows), 'run')}: {', '.join(parts)}"


def loss_note(bowls: bool) -> str:
    """What the chart of losses shows, with fitted bowls or without."""
    dashed = "Dashed: fitted bowls, for batch sizes that have one. " if bowls else ""
    return (
        f"Points: means over seeds, with their range. {dashed}Triangles: runs off the scale; "
        "crosses: diverged runs. Click a batch in the legend to see it alone."
    )


def not_shown(rows: pd.DataFrame) -> str:
    """Count the runs that charts of losses leave out, in a sentence; empty if all are shown."""
    counts = rows["status"].value_counts()
    kinds = [status for status in ("failed", "interrupted", "corrupt") if status in counts]
    listed = ", ".join(counted(int(counts[kind]), f"{kind} run") for kind in kinds)
    return f" Not shown: {listed}." if listed else ""


def claim_lines(verdicts: Sequence[tuple[str, Verdict]]) -> list[str]:
    """What claims are, a line for each claim and verdict with its numbers, and one on chance.

    Numbers of an earlier line are not repeated.
    """
    testing = multiple_testing(len(verdicts))
    first = [f"Published claims tested here: {CLAIMS_ARE}"] if verdicts else []
    return [*first, *_lines(verdicts), *([testing] if testing else [])]


def multiple_testing(count: int) -> str:
    """A sentence on how many of these verdicts would be wrong by chance; empty for one."""
    if count < 2:
        return ""
    return (
        f"Not corrected for multiple testing: without any effect, about {count / 20:.2g} of "
        f"these {count} verdicts would be supported or contradicted by chance"
    )


def _lines(judged: Iterable[tuple[str, Verdict]]) -> Iterator[str]:
    by_claim: dict[str, list[tuple[str, Verdict]]] = defaultdict(list)
    for title, verdict in judged:
        source = f" [{verdict.source}]" if verdict.source else ""
        by_claim[f"{verdict.word.upper()}: {verdict.sentence}{source}"].append((title, verdict))
    shown: set[str] = set()
    for claim, verdicts in by_claim.items():
        numbers = [f"{title}: {verdict.numbers}".lstrip(": ") for title, verdict in verdicts]
        if set(numbers) <= shown:
            titles = "; ".join(title for title, _ in verdicts if title)
            yield f"{claim} ({f'{titles}: ' if titles else ''}by the same numbers)"
            continue
        shown |= set(numbers)
        needed = dict.fromkeys(verdict.would_tell for _, verdict in verdicts if verdict.would_tell)
        what = f"; would settle it: {' | '.join(needed)}" if needed else ""
        yield f"{claim} ({' | '.join(numbers)}{what})"


def clips_only(rows: pd.DataFrame) -> bool:
    """Whether each batch size has one lr and several clips."""
    blocks = [block for _, block in by_setting(rows, together=("clip",))]
    rates = [block.groupby("batch")["lr"].nunique().max() for block in blocks]
    return all(rate == 1 for rate in rates) and any(b["clip"].nunique() > 1 for b in blocks)


def _block(title: str, block: pd.DataFrame, across: str, metric: Metric) -> str:
    """One table of cells."""
    best = {
        batch: losses.idxmin() for batch, losses in _means(block, across).items() if len(losses) > 1
    }
    values = sorted(block[across].unique())
    lines = [["batch", *(f"{across} {value:g}" for value in values)]]
    if across == "clip":
        lines[0].insert(1, "lr")
    for batch in sorted(block["batch"].unique()):
        row = block[block["batch"] == batch]
        cells = dict(iter(row.groupby(across)))
        texts = [
            _cell(cells[value], metric, best=bool(value == best.get(batch)))
            if value in cells
            else "."
            for value in values
        ]
        rate = [f"{row['lr'].iloc[0]:g}"] if across == "clip" else []
        lines.append([f"{batch:g}", *rate, *texts])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ["  ".join(x.rjust(w) for x, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([f"{title}:" if title else "", *text]).lstrip("\n")


def _cell(runs: pd.DataFrame, metric: Metric, *, best: bool) -> str:
    """The runs of one batch and lr, over seeds."""
    done = runs[runs["status"] == "done"]
    if done.empty:
        return "/".join(sorted(runs["status"].unique()))
    loss = done["val_loss"].mean()
    if math.isnan(loss):
        return "not known"
    error = done["val_loss_se"].fillna(0).mean()
    worse = loss - 2 * error > done["unigram_loss"].mean()
    mark = f"{'*' if best else ''}{'!' if worse else ''}"
    rest = f" {len(done)} of {len(runs)}" if len(done) < len(runs) else ""
    clipped = done["clip_percent"].mean()
    percent = f" ({clipped:3.0f} %)" if pd.notna(clipped) else ""
    return f"{mark}{metric.shown(loss):.3f}{percent}{rest}"


def _means(block: pd.DataFrame, across: str) -> dict[int, pd.Series]:
    """Mean loss of each lr or clip, in ascending order, by batch; without batches that have none.

    The loss of a diverged run, and so the mean of its cell, is infinite.
    """
    ended = block[block["status"].isin(FINISHED)]
    losses = ended["val_loss"].where(ended["status"] == "done", math.inf)
    ended = ended.assign(val_loss=losses)
    batches = ended[ended["batch"].isin(ended.loc[losses < math.inf, "batch"])].groupby("batch")
    return {
        int(runs["batch"].iloc[0]): runs.groupby(across)["val_loss"].mean() for _, runs in batches
    }
