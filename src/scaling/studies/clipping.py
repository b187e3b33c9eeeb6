"""What does clipping do: does it act as a smaller learning rate, and is a clip of 1 best?"""

import contextlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict

import pandas as pd

from scaling.analysis import clipping_regimes, effects
from scaling.analysis.powerlaws import learning_rate_law
from scaling.contracts.columns import FINISHED
from scaling.contracts.metric import compared, metric_of
from scaling.contracts.settings import by_setting
from scaling.studies.claims import LARGER, POSITIVE, Claim, Estimate, Verdict
from scaling.studies.clipping_figures import loss_against_clip, update_against_clip
from scaling.studies.study import Drawing, drawings
from scaling.studies.sweep_tables import SweepTables, where

ORDER = 3


def applies(sweep: SweepTables) -> bool:
    """Whether the clip varies in some setting."""
    return any(True for _ in _blocks(sweep.rows))


def sentences(sweep: SweepTables) -> Iterator[str]:
    """Regimes, updates, and the effect of the clip, for each setting."""
    for title, block in _blocks(sweep.rows):
        setting = where(title)
        cells = _cells(sweep, block)
        counts = Counter(regime.regime for regime in cells)
        shown = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        yield f"Cells by steps clipped{setting}: {shown} (free: under 1 %; saturated: 99 % or more)"
        response = _response(block)
        if not math.isnan(response.value):
            optimizer = str(block["optimizer"].iloc[0])
            meaning = _meaning(optimizer, response)
            yield f"If every step is clipped{setting}, {response.shown}: {meaning}"
        if clipped := [cell for cell in cells if cell.regime in ("saturated", "transition")]:
            most = max(clipped, key=lambda cell: cell.clip_percent)
            yield f"The most clipped cell: {clipping_regimes.explain(most)}"
        yield from _effect(block, setting)


def _cells(sweep: SweepTables, block: pd.DataFrame) -> tuple[clipping_regimes.Regime, ...]:
    """The regime of each cell, with the coefficient's drift if steps were recorded."""
    return clipping_regimes.clip_regimes(block, sweep.steps if len(sweep.steps) else None)


def tables(sweep: SweepTables) -> dict[str, pd.DataFrame]:
    """`clip_regimes`: a line for each cell; `clip_effects`: a line for each other clip."""
    cells, contrasts = [], []
    for title, block in _blocks(sweep.rows):
        cells += [{"setting": title, **asdict(cell)} for cell in _cells(sweep, block)]
        if not metric_of(block).informative:
            continue
        with contextlib.suppress(ValueError):  # a sentence gives the reason
            effect = effects.effect_of(block, "clip", reference=float(block["clip"].max()))
            contrasts += [{"setting": title, **asdict(contrast)} for contrast in effect.contrasts]
    lines = {"clip_regimes": cells, "clip_effects": contrasts}
    return {
        name: pd.DataFrame(table).drop(columns=["where", "notes"], errors="ignore")
        for name, table in lines.items()
        if table
    }


def figures(sweep: SweepTables) -> dict[str, Drawing]:
    """Loss and measured update against the clip."""
    measured = sweep.rows["update_norm"].notna().any()
    compared_rows = compared(sweep.rows)
    losses = drawings([loss_against_clip] if len(compared_rows) else [], compared_rows)
    return losses | drawings([update_against_clip] if measured else [], sweep.rows)


def _meaning(optimizer: str, slope: Estimate) -> str:
    """The meaning of the slope of the update against the clip."""
    if slope.low > 0.9 and slope.high < 1.1:
        return "there the clip acts as a learning rate"
    if abs(slope.low) < 0.1 and abs(slope.high) < 0.1:
        why = ", because a constant factor on the gradient cancels" if "adam" in optimizer else ""
        return f"there clip / norm is not a learning rate{why}"
    return "there the clip is neither a learning rate nor without effect"


def _response(rows: pd.DataFrame) -> Estimate:
    """The response of the mean update to the clip if all steps are clipped, over all cells."""
    responses = clipping_regimes.update_response(rows)
    identified = [response for response in responses if response.identified]
    if not identified:
        return Estimate.missing(responses[0].reason if responses else "no clip is finite")
    slope = sum(response.slope for response in identified) / len(identified)
    low, high = min(r.low for r in identified), max(r.high for r in identified)
    span = f"95 % intervals of all cells: {low:z.3f} to {high:z.3f}"
    shown = f"the mean update scales as clip^{slope:z.3f} ({span})"
    return Estimate(slope, low, high, shown)


def _blocks(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The settings in which the clip varies, of runs that ended."""
    finished = rows[rows["status"].isin(FINISHED)]
    for title, block in by_setting(finished, together=("clip",)):
        if block["clip"].nunique() > 1:
            yield title, block


def _effect(rows: pd.DataFrame, setting: str) -> Iterator[str]:
    """The effect of each clip against none, or the largest, paired by cell and seed."""
    metric = metric_of(rows)
    if not metric.informative:
        return
    try:
        effect = effects.effect_of(rows, "clip", reference=float(rows["clip"].max()))
    except ValueError as error:
        yield f"Effect of clip{setting}: inconclusive; {error}"
        return
    if effect.notes:
        yield f"Effect of clip{setting}: {'; '.join(effect.notes)}"
    loss = metric.loss[:1].upper() + metric.loss[1:]
    unknown: dict[str, list[str]] = defaultdict(list)
    for contrast in effect.contrasts:
        if math.isnan(contrast.low):
            unknown["; ".join([contrast.reason, *contrast.notes])].append(f"{contrast.b:g}")
    for reason, clips in unknown.items():
        yield (
            f"{loss} at clip {', '.join(clips)} minus that at {effect.contrasts[0].a:g}{setting}: "
            f"inconclusive; {reason}"
        )
    for contrast in effect.contrasts:
        if math.isnan(contrast.low):
            continue
        what = f"{loss} at clip {contrast.b:g} minus that at {contrast.a:g}{setting}"
        smallest = f"{contrast.smallest_detectable:.3f}"
        detectable = f"smallest detectable effect, without the correction: {smallest}"
        reasons = "; ".join([contrast.reason or detectable, *contrast.notes])
        yield (
            f"{what}: {contrast.difference:+z.4f}{metric.unit}, 95 % interval {contrast.low:+z.4f} "
            f"to {contrast.high:+z.4f} over {contrast.seeds} seeds and {contrast.pairs} pairs, "
            f"Holm's p {contrast.p_holm:.2g}: {contrast.verdict} ({reasons})"
        )


def best_is_one(rows: pd.DataFrame) -> Estimate:
    """Loss of the best other clip minus that of clip 1, in nats; negative if it is better.

    Intervals are corrected for the number of other clips (Bonferroni), since one of them may
    look better by chance.
    """
    others = rows["clip"].nunique() - 1
    if 1.0 not in set(rows["clip"]):
        return Estimate.missing("clip 1 was not tried", "try it")
    try:
        effect = effects.effect_of(rows, "clip", reference=1.0, level=1 - 0.05 / others)
    except ValueError as error:
        return Estimate.missing(str(error))
    if unknown := [contrast for contrast in effect.contrasts if math.isnan(contrast.low)]:
        return Estimate.missing(unknown[0].reason, "three seeds of every cell")
    rival = min(effect.contrasts, key=lambda contrast: contrast.difference)
    low = min(contrast.low for contrast in effect.contrasts)
    high = min(contrast.high for contrast in effect.contrasts)
    unit = metric_of(rows).unit
    shown = (
        f"best other clip, {rival.b:g}: {rival.difference:+z.4f}{unit}; smallest "
        f"difference of all others: 95 % interval {low:+z.4f} to {high:+z.4f} over {rival.seeds} "
        "seeds"
    )
    needed = f"about {rival.seeds_needed:.0f} seeds" if math.isfinite(rival.seeds_needed) else ""
    return Estimate(rival.difference, low, high, shown, needed)


def effective_exponent(rows: pd.DataFrame) -> Estimate:
    """The exponent of lr x min(1, clip / norm) over batch, at the clip of the lowest loss.

    The law is fitted to all losses at this clip, with each lr scaled by its cell's clip coefficient
    at the mean norm. Under Adam the product is not a learning rate, so the exponent means little.
    """
    done = rows[(rows["status"] == "done") & rows["val_loss"].notna()]
    if done.empty or done["grad_norm_pre_clip"].isna().any():
        return Estimate.missing("the gradient norm was not measured in every run")
    cells = done.groupby(["clip", "batch", "lr"])["val_loss"].mean()
    best = float(cells.reset_index().sort_values("val_loss")["clip"].iloc[0])
    at_best = done[done["clip"] == best]
    norms = at_best.groupby(["batch", "lr"])["grad_norm_pre_clip"].transform("mean")
    law = learning_rate_law(at_best.assign(lr=at_best["lr"] * (best / norms).clip(upper=1)))
    if not law.identified:
        return Estimate.missing(f"no exponent at clip {best:g}: {law.reason}")
    shown = (
        f"effective exponent {law.exponent:.2f} at clip {best:g}, 95 % interval {law.low:.2f} to "
        f"{law.high:.2f}"
    )
    return Estimate(law.exponent, law.low, law.high, shown, "more seeds, or more batch sizes")


AS_LR = Claim("Clipping acts as a learning rate: the update is proportional to the clip if all "
              "steps are clipped", (0.9, 1.1), _response,
              "effective LR = LR x clip / norm")  # fmt: skip
CLAIMS = (
    Claim("A clip of 1 is better than any other and than no clipping",
          POSITIVE, best_is_one, "phase 3b: clip = 1.0 best for both"),
    AS_LR,
    Claim("The effective learning rate, lr x clip / norm, grows faster than the batch size",
          LARGER, effective_exponent, "phase 3b: effective beta about 1.6"),
)  # fmt: skip


def verdicts(sweep: SweepTables) -> Iterator[tuple[str, Verdict]]:
    """The published claims, for each setting other than batch, lr, clip and seed."""
    for title, block in _blocks(sweep.rows):
        for claim in CLAIMS if metric_of(block).informative else (AS_LR,):
            yield title, claim.judge(block)
