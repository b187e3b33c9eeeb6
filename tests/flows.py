"""Small synthetic populations, and a table of flows, for tests."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from scaling.config.folder import FOLDER
from scaling.contracts.labeled import Labeled
from scaling.datamodules.synthetic_flows import Flows


def flows(**changes) -> Flows:
    """As in its config, and smaller."""
    settings = OmegaConf.to_container(OmegaConf.load(FOLDER / "data" / "flows.yaml"))
    smaller = {"seed": 0, "client_windows": 300, "source_windows": 60, "best_windows": 500}
    node = settings["population"] | smaller | changes
    return Flows(**{key: value for key, value in node.items() if key != "_target_"})


def identity(parts: Iterable[Labeled]) -> str:
    """Digest of all windows and labels."""
    content = hashlib.sha256()
    for part in parts:
        for tensor in part:
            content.update(tensor.numpy().tobytes())
    return content.hexdigest()


def write_flows(path: Path, seed: int = 0, **how) -> Path:
    """1,600 flows with an address, two numbers, a symbol, and two columns that tell the attack."""
    draws = np.random.default_rng(seed)
    attack = draws.random(1_600) < 0.4
    table = pd.DataFrame(
        {
            "Source IP": [f"10.0.0.{i}" for i in draws.integers(250, size=1_600)],
            "Duration": draws.random(1_600) * 100,
            "Window": draws.integers(-1, 2**16, size=1_600),
            "Proto": draws.choice(["tcp", "udp"], 1_600),
            "Class": np.where(attack, draws.choice(["DoS", "Scan"], 1_600), "BENIGN"),
            "Label": attack.astype(int),
        }
    )
    table.to_csv(path, index=False, **how)
    return path
