"""Train one model on the data of several clients."""

import contextlib
import multiprocessing
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from scaling.contracts import labeled
from scaling.contracts.labeled import Labeled
from scaling.federation.client import Work, arrays_of, replaced, scores, statistics
from scaling.federation.flower.settings import STRATEGIES, Federation
from scaling.seeds import seed_for

if TYPE_CHECKING:
    from scaling.federation.flower.strategies import RecordedFedAvg

FAILURES: dict[str, type] = {"round": int, "client": int, "reason": str}


class Source(NamedTuple):
    """A model trained by clients, with the history of its training."""

    state: dict[str, Tensor]  # state dict of the network
    history: pd.DataFrame  # round (0 is before training), train_loss, answered, source_loss and
    # source_accuracy on windows that are not used for training
    failures: pd.DataFrame  # round, client, reason


def train(
    build: Callable[[], nn.Module],
    *,
    clients: Sequence[Labeled],
    scored: Labeled,
    federation: Federation,
    seed: int,
) -> Source:
    """Train a model by federated averaging, all clients in every round.

    The result depends on the arguments only: initial weights, orders and dropout are determined by
    `seed`, and torch computes on one thread, so that sums do not depend on the machine; small
    networks gain nothing from more threads.

    Weights are averaged by the strategy, weighted by the clients' numbers of windows. Running means
    and variances of BatchNorm are always averaged plainly, so the running variance does not include
    the variance between the clients' means. Integers, such as its count of batches, keep their
    initial values.

    Args:
        build: makes the network, which offers `losses(batch)` and `losses_and_logits(batch)`.
        clients: windows and labels of each client, for training.
        scored: source windows and labels, not trained on, for `history`.
        federation: how to train.
        seed: seed of the run.

    Raises:
        ValueError: if a client has no windows, windows do not fit together or are not finite, or
            Flower is not installed.
        RuntimeError: if no client answers in a round.
    """
    check(clients, scored)
    rounds, strategies = _flower()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("weights", seed))
        net = build()
    evaluated: list[dict[str, float]] = []
    with _bar(federation.rounds) as bar, _one_thread():

        def watch(server_round: int, arrays: dict[str, np.ndarray]) -> None:
            source = scores(replaced(net, arrays), *scored)
            line = {f"source_{name}": score for name, score in source.items()}
            evaluated.append({"round": server_round, **line})
            bar.update(server_round - bar.n)
            bar.set_postfix_str(f"accuracy {source['accuracy']:.3f}", refresh=False)

        outcome = rounds.run(
            partial(_strategy, strategies, federation, len(clients), statistics(net)),
            Work(net, tuple(clients), federation, seed),
            arrays_of(net),
            clients=len(clients),
            rounds=federation.rounds,
            backend=federation.backend,
            watch=watch,
        )
    history = pd.DataFrame(evaluated)
    history.insert(1, "train_loss", history["round"].map(outcome.losses))
    history.insert(2, "answered", history["round"].map(outcome.answered | {0: 0}))
    failures = pd.DataFrame(outcome.failures, columns=list(FAILURES)).astype(FAILURES)
    source = Source(dict(replaced(net, outcome.arrays).state_dict()), history, failures)
    warn(source, clients, scored)
    return source


def _bar(rounds: int) -> "tqdm[Any]":
    """A progress bar, hidden in worker processes, which share a terminal."""
    tqdm.set_lock(threading.RLock())  # the default is for several processes and outlives a worker
    hidden = True if multiprocessing.parent_process() else None
    return tqdm(total=rounds, unit="round", desc="source", disable=hidden)


def warn(source: Source, clients: Sequence[Labeled], scored: Labeled) -> None:
    """Warn about a model that learned nothing, and about clients missing in a round's average.

    Args:
        source: a trained model.
        clients: windows and labels of each client.
        scored: windows and labels, not trained on.
    """
    rounds, loss = source.history[["round", "source_loss"]].iloc[-1]
    trained = torch.cat([labels for _, labels in clients])
    classes = 1 + int(max(trained.max(), scored.labels.max()))
    unigram = labeled.unigram_loss(trained, scored.labels, classes)
    if loss >= unigram:
        warnings.warn(
            f"the source model is no better than the frequencies of labels after {rounds:.0f} "
            f"rounds (loss {loss:.3f} nats, against {unigram:.3f}); raise federation.rounds, or "
            "choose another federation.lr",
            stacklevel=3,
        )
    for (client, reason), lines in source.failures.groupby(["client", "reason"]):
        which = f"{', '.join(map(str, lines['round']))} of {rounds:.0f}"
        warnings.warn(
            f"client {client} is missing from the average of round {which}: {reason}",
            stacklevel=3,
        )


def check(clients: Sequence[Labeled], scored: Labeled) -> None:
    """Check that all windows can be trained on.

    Raises:
        ValueError: naming the client whose windows cannot.
    """
    if not clients:
        raise ValueError("a federation needs at least 1 client; raise the data's clients")
    labeled.check({f"client {i}": part for i, part in enumerate(clients)} | {"scored": scored})


def _strategy(
    strategies: Any, settings: Federation, clients: int, statistics: list[str]
) -> "RecordedFedAvg":
    kinds = {
        "fedavg": strategies.Average,
        "fedprox": strategies.Proximal,
        "fedadam": strategies.Adaptive,
    }
    options = {key: getattr(settings, key) for key in STRATEGIES[settings.strategy]}
    if "server_lr" in options:
        options["eta"] = options.pop("server_lr")
    strategy: RecordedFedAvg = kinds[settings.strategy](
        clients=clients, statistics=statistics, **options
    )
    return strategy


def _flower() -> tuple[Any, Any]:
    """Import the modules that need Flower, which is optional."""
    try:
        from scaling.federation.flower import rounds, strategies
    except ModuleNotFoundError as error:
        name = error.name or ""
        if name.partition(".")[0] != "flwr":
            raise
        lacks = "is not installed" if name == "flwr" else f"has no {name} in this version"
        raise ValueError(
            f"federated training needs Flower, which {lacks}; pip install '.[federated]' in a "
            "checkout"
        ) from error
    return rounds, strategies


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
