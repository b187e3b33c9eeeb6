"""A cache of federated models, each trained once and shared by all runs that need it."""

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from scaling.contracts.atomic_write import atomic_write
from scaling.contracts.labeled import Labeled
from scaling.contracts.version import __version__
from scaling.federation import training
from scaling.federation.flower.settings import Federation
from scaling.federation.training import Source
from scaling.storage import locks

log = logging.getLogger(__name__)

FILE = "source.pt"
METHOD = 1  # raise it when the same settings give another model


def source(
    build: Callable[[], nn.Module],
    *,
    clients: Sequence[Labeled],
    scored: Labeled,
    federation: Federation,
    seed: int,
    model: Mapping[str, Any],
    cache: Path,
) -> Source:
    """A federated model from `cache`; trained first if it is missing.

    If another process is training the model, waits for it. The folder of a model is named by a
    digest of everything that can change it: windows, settings except `federation.backend`, seed,
    `model`, and the versions of this package, torch and Flower. A damaged file is reported in a
    warning, and the model is trained again.

    Args:
        build: makes the network, with weights drawn from torch's global random state.
        clients: windows and labels of each client, for training.
        scored: source windows and labels, not trained on, for the history.
        federation: how to train.
        seed: seed of the run.
        model: the network's config and sizes, in plain types, for its identity.
        cache: folder of all models.

    Raises:
        ValueError: if a client has no windows, windows do not fit together or are not finite, or
            Flower is not installed.
        RuntimeError: if no client answers in a round.
    """
    training.check(clients, scored)
    identity = _identity(federation, seed, model, [*clients, scored])
    folder = cache / hashlib.sha256(identity.encode()).hexdigest()[:12]
    with _held(folder):
        trained = _read(folder / FILE)
        if trained is None:
            trained = training.train(
                build, clients=clients, scored=scored, federation=federation, seed=seed
            )
            _write(trained, identity, folder / FILE)
        else:
            training.warn(trained, clients, scored)
    return trained


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if not stack.enter_context(locks.hold(folder)):
            log.info("waiting for process %s, which trains %s", locks.holder(folder), folder)
            stack.enter_context(locks.hold(folder, wait=True))
        yield


def _identity(
    federation: Federation, seed: int, model: Mapping[str, Any], parts: Sequence[Labeled]
) -> str:
    """Everything that can change a model, as strict JSON."""
    settings = asdict(federation)
    settings.pop("backend")
    versions = {"method": METHOD, "scaling": __version__, "torch": torch.__version__}
    with contextlib.suppress(metadata.PackageNotFoundError):  # training raises an error
        versions["flwr"] = metadata.version("flwr")
    data = [_hash({"windows": windows, "labels": labels}) for windows, labels in parts]
    content = {"federation": settings, "seed": seed, "model": model, "data": data}
    return json.dumps(content | {"versions": versions}, sort_keys=True, allow_nan=False)


def _hash(tensors: Mapping[str, Tensor], *texts: str) -> str:
    """SHA-256 of named tensors and texts."""
    content = hashlib.sha256()
    for name, tensor in tensors.items():
        content.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        content.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    for text in texts:
        content.update(text.encode())
    return content.hexdigest()


def _write(source: Source, identity: str, path: Path) -> None:
    """Write a model with its checksum atomically."""
    tables = {
        "history": source.history.to_dict("list"),
        "failures": source.failures.to_dict("list"),
    }
    content: dict[str, Any] = {"identity": identity, "state": source.state, "tables": tables}
    content["checksum"] = _hash(source.state, identity, json.dumps(tables))
    with atomic_write(path) as draft, draft.open("wb") as file:
        torch.save(content, file)


def _read(path: Path) -> Source | None:
    """Read a model; None if its file is missing or damaged."""
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        state, tables = content["state"], content["tables"]
        if content["checksum"] != _hash(state, content["identity"], json.dumps(tables)):
            raise ValueError("its checksum differs")
        failures = pd.DataFrame(tables["failures"]).astype(training.FAILURES)
        return Source(state, pd.DataFrame(tables["history"]), failures)
    except Exception as error:  # a damaged file may raise anything
        warnings.warn(
            f"{path} is damaged ({type(error).__name__}); the model is trained again", stacklevel=3
        )
        return None
