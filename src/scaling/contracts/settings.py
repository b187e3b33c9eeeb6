"""Settings: the config keys and columns that identify a run."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from scaling.contracts.columns import ROOT_KEYS, SWITCHES

if TYPE_CHECKING:  # `status` needs no tables
    import pandas as pd

# Prefix of copies of measured columns, such as `parameters`, that are axes of a law: each of their
# combinations is a setting. Titles leave it out, and exports leave out the copies.
AXIS = "axis."
CHOICES = ("model", "data", "optimizer", "protocol", "duration")
# Config keys, with all keys below them, that change no result except by rounding: name of the
# study, where a run is computed, how it is logged, and switches of the command.
ELSEWHERE = (
    *SWITCHES,
    *("study", "logger", "hydra", "data.workers", "federation.backend"),
    *("trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.log_every_n_steps"),
)


def elsewhere(key: str) -> bool:
    """Whether a config key changes no result except by rounding."""
    return any(f"{key}.".startswith(f"{place}.") for place in ELSEWHERE)


def is_setting(key: str) -> bool:
    """Whether a column of a table, or a dotted config key, is a setting.

    Columns without a dot are settings if they are a choice of an option, the duration, batch, lr,
    clip, seed or fold; the others are measurements. Dotted keys are settings if they can change a
    result.
    """
    if "." not in key:
        return key in (*CHOICES, "fold", *ROOT_KEYS)
    return not elsewhere(key)


def settings_of(columns: Iterable[object]) -> list[str]:
    """The settings among the columns of a table, choices first."""
    names = [str(column) for column in columns]
    first = [key for key in (*CHOICES, "fold", *ROOT_KEYS) if key in names]
    return [*first, *(key for key in names if "." in key and is_setting(key))]


def by_setting(
    rows: "pd.DataFrame", *, together: Sequence[str] = ()
) -> Iterator[tuple[str, "pd.DataFrame"]]:
    """Yield blocks of rows that differ only in batch, lr, seed and fold, each with its title.

    Args:
        rows: from `read`; corrupt ones are left out.
        together: other columns that may differ within a block, such as `clip`; `optimizer` includes
            its settings.
    """
    rows = rows[rows["status"] != "corrupt"]
    within = {"batch", "lr", "seed", "fold", *together}
    nested = [key for key in settings_of(rows) if "." in key and not key.endswith(".fold")]
    keys: list[str] = []
    groups = min(len(rows), 1)
    for key in (*CHOICES, "clip", *nested):
        if {key, key.partition(".")[0]} & within or rows[key].nunique(dropna=False) < 2:
            continue
        more = len(rows[[*keys, key]].drop_duplicates())
        if more > groups:
            groups = more
            keys.append(key)
    if not keys:
        yield "", rows
        return
    for values, block in rows.groupby(keys, dropna=False, sort=True):
        yield (
            ", ".join(
                f"{key.removeprefix(AXIS)}={_shown(value)}"
                for key, value in zip(keys, values, strict=True)
            ),
            block,
        )


def without_axes(rows: "pd.DataFrame") -> "pd.DataFrame":
    """The rows without the copies of columns that are axes of a law."""
    return rows.drop(columns=[key for key in rows if str(key).startswith(AXIS)])


def _shown(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return "null"
    return f"{value:g}" if isinstance(value, float) else str(value)
