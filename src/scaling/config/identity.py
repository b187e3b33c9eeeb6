"""The identity of a run: canonical form of its config, digest and name."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from scaling.config.schema import DURATIONS, OPTIONAL, clip, protocol
from scaling.contracts.columns import ROOT_KEYS
from scaling.contracts.precision import rounded
from scaling.contracts.settings import is_setting

PRECISIONS = {  # Lightning's other names
    "32": "32-true", "16": "16-mixed", "bf16": "bf16-mixed", "64": "64-true",
}  # fmt: skip


def digest(canonical: Mapping[str, Any]) -> str:
    """Hash a config to twelve hexadecimal digits.

    Args:
        canonical: config in canonical form (`canonical`).
    """
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def run_name(canonical: Mapping[str, Any], digest: str) -> str:
    """Name a run's folder: batch, lr, clip and seed, then the digest."""
    return ",".join(f"{key}={canonical[key]}" for key in ROOT_KEYS) + f"-{digest}"


def canonical(config: Mapping[str, Any], fingerprint: str) -> dict[str, Any]:
    """Convert a config to its canonical form, which is equal for two configs of the same run.

    A null clip is inf, a whole float is an int, numbers have 12 significant digits, and only the
    duration in force is set. `data.path` is the fingerprint of the data, independent of their
    location. A `_target_` of this package is its bare name, so that a module can move; others keep
    their full path. Left out are keys that are not settings (`scaling.contracts.settings`), and
    the clipping algorithm if clip is inf.

    Args:
        config: resolved, as plain containers.
        fingerprint: identity of the data's content.
    """
    same = ("batch", "lr", "seed", "model", "optimizer", "schedule", "callbacks")
    run = {key: config[key] for key in same} | {"clip": clip(config)}
    run |= dict.fromkeys(DURATIONS) | dict([protocol(config)])
    for group in ("data", "trainer", *OPTIONAL):
        if config.get(group) is not None:  # else left out, so that other runs keep their identity
            node = config[group].items()
            run[group] = {key: value for key, value in node if is_setting(f"{group}.{key}")}
    run["data"]["path"] = fingerprint
    precision = str(run["trainer"].get("precision", "32"))
    run["trainer"]["precision"] = PRECISIONS.get(precision, precision)
    if math.isinf(run["clip"]):  # the algorithm has no effect
        run["trainer"].pop("gradient_clip_algorithm", None)
    return canonical_node(run)


def canonical_node(value: Any) -> Any:
    """Convert a part of a config, without clip, duration or data, to canonical form."""
    if isinstance(value, Mapping):
        return {
            str(key): _name(value[key]) if key == "_target_" else canonical_node(value[key])
            for key in sorted(value)
        }
    if isinstance(value, list | tuple):
        return [canonical_node(entry) for entry in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        value = rounded(value)
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    return value


def _name(target: Any) -> Any:
    """The identity of a `_target_`: its bare name in this package, else its full path."""
    ours = isinstance(target, str) and target.startswith("scaling.")
    return target.rpartition(".")[2] if ours else target
