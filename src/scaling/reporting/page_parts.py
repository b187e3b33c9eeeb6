"""The parts of a page: answer, claims and runs, as texts and numbers for the template."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import markupsafe
import pandas as pd

from scaling.contracts.metric import Metric, compared
from scaling.contracts.settings import AXIS, settings_of
from scaling.contracts.words import counted, typed
from scaling.reporting.answer import VERDICTS, Answer, Setting
from scaling.reporting.optimum_words import best_lr, marks_used
from scaling.studies import law_words
from scaling.studies.claims import Verdict

SIDE_BY_SIDE = 5  # settings whose best learning rates are shown in columns without a fold
LONGEST = 1000  # runs on the page; rows.csv has all
GLOSSARY = {
    "run": "one training with one batch size, learning rate, clip and seed; a row of rows.csv",
    "setting": "all runs that differ only in batch, lr, seed and fold",
    "best lr": "lr of the lowest loss of a batch size: the minimum of a bowl fitted to its runs; "
    "after ~, that of a curve through few runs, because no bowl fits",
    "interior": "both ends of the best lr's interval are inside the grid",
    "fitted minimum": "that of a batch size on the surface that a law fits to all losses; it may "
    "be inside the grid while the interval of the batch size alone reaches beyond it (edge)",
    "edge": "the best lr may lie beyond the lowest or highest lr tried",
    "flat": "within a factor of 4 in lr of the best, the loss hardly rises: no lr is best",
    "unresolved, irregular": "too few runs or too much noise for a bowl; losses that form none",
    "exponent": "b in lr = C B^b: 0 is no change with the batch size B, 1/2 square root, 1 linear",
    "95 %": "intervals that contain the true value in 95 of 100 sweeps like this one",
    "val_loss": "loss on held-out data at the end of a run, in nats (natural logarithm)",
    "clip_percent": "share of optimizer steps whose gradient was longer than `clip`, in percent",
    "grad_norm_pre_clip, grad_norm_post_clip": "mean gradient norm before and after clipping",
    "update_norm": "mean norm of the measured change of the weights at a step",
    "diverged": "a run whose loss was not finite; it counts as worse than every finite loss",
}


def glossary(metric: Metric) -> dict[str, str]:
    """The words and columns of the page."""
    if metric.is_loss and metric.unit:
        return GLOSSARY
    if metric.is_loss:
        return GLOSSARY | {"val_loss": "loss of a run, in the unit of the table"}
    return GLOSSARY | {"val_loss": f"{metric.loss}, since {metric.name} is maximised"}


def answer_part(answer: Answer) -> dict[str, Any]:
    """The content of the answer card."""
    no_law: dict[str, list[str]] = {}
    known = []
    for setting in answer.settings:
        if setting.law is None:
            continue
        if setting.law.identified:
            known.append(_law(setting))
        else:
            no_law.setdefault(setting.law.reason, []).append(setting.title)
    return {
        "headlines": answer.headlines,
        "sentences": answer.sentences,
        "best": _best(answer.settings),
        "marks": marks_used(best_lr(one) for each in answer.settings for one in each.optima),
        "folded": len(answer.settings) > SIDE_BY_SIDE,
        "known_laws": known,
        "grouped": len(answer.settings) > 1,
        "no_law": no_law,
        "claims_line": answer.claims_line,
        "claims_counts": answer.claims_counts,
        "next": answer.next,
        "caveats": answer.caveats,
    }


def _best(settings: Sequence[Setting]) -> list[list[str]]:
    """The best learning rates as a table: a head, and a line for each batch size."""
    if not settings:
        return []
    texts = [{one.batch: best_lr(one) for one in setting.optima} for setting in settings]
    batches = sorted({batch for column in texts for batch in column})
    if len(settings) > 1:
        head = ["batch", *(setting.title for setting in settings)]
        return [
            head,
            *([typed(float(b)), *(column.get(b, "") for column in texts)] for b in batches),
        ]
    lowest = {batch: f"{lr:.3g}" for batch, lr in settings[0].lowest.items()}
    head = ["batch", "best lr (95 %)", "lowest loss tried at lr"]
    return [head, *([typed(float(b)), texts[0][b], lowest.get(b, "")] for b in batches)]


def _law(setting: Setting) -> dict[str, Any]:
    law = setting.law
    assert law is not None
    return {
        "title": setting.title,
        "formula": law_words.form_formula(law),
        "interval": law_words.span(law.exponent, law.low, law.high),
        "predicted": law_words.lr_span(*law_words.predicted(law, setting.widest)),
        "form": law_words.form_used(law),
        "batch": typed(float(setting.widest)),
        "direction": law_words.direction(law),
        "basis": f"From {law_words.basis(law)}",
    }


def claims_part(
    verdicts: Sequence[tuple[str, Verdict]],
) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """The claims with an estimate, and the inconclusive ones without, grouped by the reason."""
    lines: list[dict[str, Any]] = []
    blocked: dict[str, list[dict[str, Any]]] = {}
    for title, verdict in verdicts:
        line = {
            **{key: getattr(verdict, key) for key in ("word", "sentence", "numbers", "source")},
            "would_tell": verdict.would_tell,
            "setting": title,
            "value": "" if math.isnan(verdict.interval[0]) else f"{verdict.interval[0]:.6g}",
            "drawn": _drawn(verdict),
        }
        if math.isnan(verdict.interval[0]):
            blocked.setdefault(verdict.numbers, []).append(line)
        else:
            lines.append(line)
    for reason in [reason for reason, same in blocked.items() if len(same) == 1]:
        lines += blocked.pop(reason)
    return sorted(lines, key=lambda line: VERDICTS.index(line["word"])), blocked


WIDTH, HEIGHT = 140, 16  # of a drawn interval, in pixels


def _drawn(verdict: Verdict) -> markupsafe.Markup:
    """The interval as a small picture: a line with a dot, over the region of the claim."""
    value, low, high = verdict.interval
    if not math.isfinite(low) or not math.isfinite(high):
        return markupsafe.Markup("")
    ends = [end for end in verdict.region if math.isfinite(end)]
    least, most = min(low, *ends, value), max(high, *ends, value)
    margin = 0.15 * (most - least) or 1.0
    least, most = least - margin, most + margin

    def at(x: float) -> float:
        return round(WIDTH * (min(max(x, least), most) - least) / (most - least), 1)

    left, right = at(verdict.region[0]), at(verdict.region[1])
    middle = HEIGHT / 2
    return markupsafe.Markup(
        f'<svg class="interval {verdict.word}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{low:.3g} to {high:.3g}">'
        f'<rect x="{left}" y="0" width="{round(right - left, 1)}" height="{HEIGHT}"/>'
        f'<line x1="{at(low)}" x2="{at(high)}" y1="{middle}" y2="{middle}"/>'
        f'<circle cx="{at(value)}" cy="{middle}" r="3.5"/></svg>'
    )


def runs_part(
    rows: pd.DataFrame,
    places: Mapping[tuple[str, str], Path],
    out: Path,
    commands: Mapping[tuple[str, str], str],
) -> dict[str, Any]:
    """The table of runs, the lowest loss first; without losses if they mean nothing.

    Args:
        rows: from `scaling.results.read`.
        places: folder of each run, by study and run.
        out: folder of the page, from which links lead to the runs.
        commands: that trains a run again, by study and run.
    """
    accuracy = [key for key in ("val_accuracy", "query_accuracy", "test_accuracy") if key in rows]
    rows = rows.assign(val_loss=compared(rows)["val_loss"])
    shown = ["val_loss", *accuracy, "clip_percent", "seconds"]
    varied = [
        key for key in settings_of(rows) if key in rows and rows[key].nunique(dropna=False) > 1
    ]
    measured = [key for key in shown if key in rows and rows[key].notna().any()]
    by = "val_loss" if "val_loss" in measured else "run"
    ordered = rows.sort_values(by, na_position="last", kind="stable")
    lines = []
    for row in ordered.head(LONGEST).to_dict("records"):
        cells = [{"text": row["status"], "number": False}]
        cells += [_cell(row.get(key), key) for key in [*varied, *measured]]
        run = str(row["study"]), str(row["run"])
        link = os.path.relpath(places[run], out).replace(os.sep, "/") + "/" if run in places else ""
        lines.append({"cells": cells, "folder": link, "command": commands.get(run, "")})
    linked = bool(places)
    numbers = {
        key.removeprefix(AXIS)
        for key in [*varied, *measured]
        if pd.api.types.is_numeric_dtype(rows[key])
    }
    names = [key.removeprefix(AXIS) for key in varied]
    columns = ["status", *names, *measured, *(["files", "run again"] if linked else [])]
    left = len(rows) - len(lines)
    about = {"columns": columns, "numbers": numbers, "linked": linked, "left_out": left}
    return {"lines": lines, "counted": counted(len(lines), "run"), **about}


def _cell(value: Any, key: str) -> dict[str, Any]:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return {"text": "", "number": True}
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if float(value).is_integer():
            return {"text": f"{value:.0f}", "number": True}
        form = "{:.4f}" if key.endswith(("loss", "accuracy")) else "{:.4g}"
        return {"text": form.format(value), "number": True}
    return {"text": str(value), "number": False}
