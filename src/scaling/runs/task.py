"""The task of a run: train a network on labels, or adapt it to a query without labels."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch

from scaling.adaptation.batch_norm import normalises_batches
from scaling.adaptation.evaluation import Evaluation
from scaling.adaptation.module import Adapter
from scaling.config import identity
from scaling.config.cell import build, keys_of
from scaling.contracts.net import Classifier
from scaling.contracts.protocols import QueryData, required
from scaling.contracts.sizes import Sizes
from scaling.datamodules.in_memory import InMemory
from scaling.datamodules.windows import Windows
from scaling.federation import model_cache
from scaling.federation.training import Source
from scaling.models.learner import Learner
from scaling.models.sequence import SequenceClassifier
from scaling.runs import parts
from scaling.seeds import seed_for
from scaling.storage.tables import drop_parts, write_part

EXTRAS = {  # packages that a backend needs, and the extra that brings each
    "in_process": {"flwr": "federated"},
    "ray": {"flwr": "federated", "ray": "federated-ray"},
}
ROUNDS = "rounds"  # table in a run's folder
SOURCES = Path("multirun", ".sources")  # models that clients trained, shared by all studies


def module(
    settings: Mapping[str, Any], data: Any, sizes: Sizes, *, steps: int
) -> L.LightningModule:
    """The module of a run, its network untrained.

    Args:
        settings: the run's config.
        data: the datamodule, prepared.
        sizes: of the data's examples.
        steps: optimizer steps of the run.

    Raises:
        ValueError: for values that only the network, the optimizer or the schedule can check.
    """
    torch.manual_seed(seed_for("weights", settings["seed"]))
    net = build(settings["model"], "model", **asdict(sizes))
    parts.check_net(net)
    if isinstance(net, SequenceClassifier) and not isinstance(data, Windows | InMemory):
        raise ValueError(
            f"model={net.name} takes windows of measurements; choose data of windows, such as "
            "data=flows"
        )
    schedule = build(settings["schedule"], "schedule", steps=steps, batch=settings["batch"])
    if normalises_batches(net):
        _check_statistics(settings, data)
    optimization = {"optimizer": build(settings["optimizer"], "optimizer"), "schedule": schedule}
    if settings["adaptation"] is None:
        return Learner(net, seed=settings["seed"], **optimization)
    required(net, Classifier, "model")  # clients train it, and score it
    required(data, QueryData, "data")
    federation = build(settings["federation"], "federation")  # checks its values now
    _check_installed(federation.backend)
    with keys_of(settings["data"], "data"):
        data.check_growth(steps)
    given = {"net": net, "query": data.query, "sizes": data.batches.size, **optimization}
    adapter: Adapter = build(settings["adaptation"], "adaptation", **given)
    return adapter


def observers(module: L.LightningModule, data: Any) -> list[L.Callback]:
    """Callbacks that a module needs beside those of the config, to score it on the data."""
    return [Evaluation(module, data)] if isinstance(module, Adapter) else []


def _check_statistics(settings: Mapping[str, Any], data: Any) -> None:
    """Refuse batch normalisation over a single example.

    Raises:
        ValueError: naming the key that gives batches of one example.
    """
    batch, parts = settings["batch"], data.microbatches
    why = f"batch={batch} comes in {parts} parts" if parts > 1 else f"batch={batch}"
    remedy = "choose a larger batch, or another model.normalisation"
    alone = data.batches.smallest == 1
    if settings["adaptation"] is not None:
        remedy = "choose another batch, or adaptation.statistics=query or source"
        if batch > 1:
            windows = len(data.query)
            why = f"batch={batch} leaves 1 of the query's {windows} windows to a last batch"
        alone = alone and settings["adaptation"]["statistics"] == "batch"
        if settings["federation"]["batch"] == 1:
            alone, why, remedy = True, "federation.batch=1", "choose a larger federation.batch"
    if alone:
        raise ValueError(
            f"{why}, so that batch normalisation has the statistics of a single example; {remedy}"
        )


def begin(
    settings: Mapping[str, Any], data: Any, module: L.LightningModule, folder: Path
) -> dict[str, float]:
    """Train the source model unless it is cached, and return columns of the row about it.

    Args:
        settings: the run's config.
        data: the datamodule.
        module: of the run, untrained.
        folder: of the run; gets a table `rounds` with a line per federated round: losses, accuracy,
            number of clients that `answered`, and `failures` with their reasons.
    """
    if not isinstance(module, Adapter):
        return {}
    sizes = asdict(data.prepare())
    source = model_cache.source(
        partial(build, settings["model"], "model", **sizes),
        clients=data.clients,
        scored=data.source,
        federation=build(settings["federation"], "federation"),
        seed=settings["seed"],
        model={**identity.canonical_node(settings["model"]), **sizes},
        cache=SOURCES,
    )
    module.load_source(source.state)
    drop_parts(folder / ROUNDS, 0)
    table = source.history.assign(failures=source.history["round"].map(_failures(source)))
    write_part(folder / ROUNDS, {str(name): column for name, column in table.items()}, first=0)
    return {"federation_failures": float(len(source.failures))}


def _failures(source: Source) -> Callable[[int], str]:
    """A function of the round: its failed clients with their reasons, as text."""

    def listed(number: int) -> str:
        lines = source.failures[source.failures["round"] == number]
        return "; ".join(f"client {line.client}: {line.reason}" for line in lines.itertuples())

    return listed


def adapts(module: L.LightningModule) -> bool:
    """Whether a run adapts, and is also validated before its first update."""
    return isinstance(module, Adapter)


def _check_installed(backend: str) -> None:
    """Refuse a federation whose packages are missing; importing them would take seconds."""
    for package, extra in EXTRAS[backend].items():
        if importlib.util.find_spec(package) is None:
            raise ValueError(
                f"federation.backend={backend} needs {package}, which is not installed; pip "
                f"install '.[{extra}]' in a checkout"
            )
