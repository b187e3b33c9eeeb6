"""Keys and values of an experiment file in the grammar of Hydra's overrides."""

import json
from collections.abc import Mapping
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import OmegaConf

from scaling.config import logspace


def override_of(key: str, value: Any) -> str:
    """A swept key and its values in Hydra's grammar, from a string or a list."""
    if isinstance(value, list | tuple) or OmegaConf.is_list(value):
        return f"{key}={','.join(_value(entry) for entry in value)}"
    return logspace.spelled(
        f"{key}={value}" if isinstance(value, str) else f"{key}={_value(value)}"
    )


def _value(entry: Any) -> str:
    """A value in Hydra's grammar."""
    if OmegaConf.is_config(entry):
        entry = OmegaConf.to_container(entry)
    if isinstance(entry, Mapping):
        return f"{{{','.join(f'{key}:{_value(value)}' for key, value in entry.items())}}}"
    if isinstance(entry, list):
        return f"[{','.join(map(_value, entry))}]"
    if isinstance(entry, str):
        return QuotedString(entry, Quote.double).with_quotes()
    return json.dumps(entry) if entry is None or isinstance(entry, bool) else repr(entry)
