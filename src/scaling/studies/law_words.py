"""A law of the batch size in words: its formula, and what its interval excludes."""

import math

import pandas as pd

from scaling.analysis.powerlaws import Law

RULES = {"square-root scaling (exponent 1/2)": 0.5, "linear scaling (exponent 1)": 1.0}


def formula(law: Law) -> str:
    """The power law with its constant, such as `lr = 0.00052 B^0.49`."""
    return f"lr = {law.constant:.3g} B^{law.exponent:.2f}"


def form_formula(law: Law) -> str:
    """The form by which the law predicts, with its constants."""
    if law.fitted is None or law.form == "power":
        return formula(law)
    values = dict(law.fitted.parameters)
    lr, turn = f"{values['lr']:.3g}", f"{values.get('batch', math.nan):.3g}"
    return {
        "constant": f"lr = {lr}",
        "saturating": f"lr = {lr} / (1 + {turn} / B)",
        "surge": f"lr = {lr} * 2 / (sqrt({turn} / B) + sqrt(B / {turn}))",
    }[law.form]


def form_used(law: Law) -> str:
    """The form by which the law predicts, if it is not the power law; else empty."""
    if law.form in ("", "power"):
        return ""
    others = [name for name in law.compared.tied if name != law.form]
    tied = f"; not distinguished from {' and '.join(others)}" if others else ""
    return f"the {law.form} form; the power law is {formula(law)} on average{tied}"


def span(value: float, low: float, high: float) -> str:
    """An exponent with its interval, in as many digits as the interval has, and at least two."""
    width = high - low
    digits = max(2, -math.floor(math.log10(width))) if width > 0 else 2
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def lr_span(lr: float, low: float, high: float) -> str:
    """A learning rate with its interval, in two digits, or in more if the interval is narrow."""
    width = (high - low) / lr
    digits = min(4, max(2, 1 + math.ceil(-math.log10(width)))) if width > 0 else 4
    return f"{lr:.{digits}g} ({low:.{digits}g} to {high:.{digits}g})"


def predicted(law: Law, batch: float) -> tuple[float, float, float]:
    """The best lr of a batch size, with the 95 % interval of one more curve (`Law.predict`)."""
    lr, low, high = law.predict(pd.DataFrame({"batch": [batch]})).to_numpy()[0].tolist()
    return lr, low, high


def direction(law: Law) -> str:
    """Whether the best lr moves with the batch size, and which rules the interval excludes."""
    average = "" if law.form == "power" else ", on average over these sizes"
    if law.low > 0:
        text = f"The best lr grows with the batch size{average}"
    elif law.high < 0:
        text = f"The best lr falls with the batch size{average}"
    else:
        text = "Whether the best lr moves with the batch size is open (the interval contains 0)"
    agree = [rule for rule, value in RULES.items() if law.contains(value)]
    ruled_out = [rule for rule, value in RULES.items() if not law.contains(value)]
    parts = [f"{' and '.join(agree)} {_is(agree)} inside the interval" if agree else ""]
    parts.append(f"{' and '.join(ruled_out)} {_is(ruled_out)} excluded" if ruled_out else "")
    return "; ".join([text, *filter(None, parts)])


def basis(law: Law) -> str:
    """The numbers of batch sizes and seeds of the law, and whether its interval includes seeds."""
    sizes = f"{len(law.optima)} batch sizes"
    if law.between_seeds:
        return f"{sizes} and {law.seeds} seeds; the interval includes the variation between seeds"
    seeds = "one seed" if law.seeds == 1 else f"{law.seeds} seeds"
    return f"{sizes} and {seeds}; variation between seeds is included only with three or more"


def _is(several: list[str]) -> str:
    return "is" if len(several) == 1 else "are"
