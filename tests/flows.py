"""Small synthetic populations for tests."""

import hashlib
from collections.abc import Iterable

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
    """Of all their windows and labels."""
    content = hashlib.sha256()
    for part in parts:
        for tensor in part:
            content.update(tensor.numpy().tobytes())
    return content.hexdigest()
