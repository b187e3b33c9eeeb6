"""Train one model by a federation of clients."""

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
    from scaling.federation.flower.strategies import Recording

FAILURES: dict[str, type] = {"round": int, "client": int, "reason": str}


class Source(NamedTuple):
    """A model trained by clients, and how that went."""

    state: dict[str, Tensor]  # of the network
    history: pd.DataFrame  # of each round, and of 0 before training: round, train_loss,
    # answered, source_loss, source_accuracy; on windows that nobody trains on
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

    A function of its arguments alone: initial weights, orders and dropout follow from `seed`, and
    torch computes on one thread, so that sums do not depend on the machine; the small networks that
    this is meant for gain nothing by more.

    What is averaged, by the clients' numbers of windows, are weights and, plainly whatever the
    strategy, the running means and variances of BatchNorm; so the variance between the clients'
    means is missing in the latter. Whole numbers, such as its count of batches, keep their initial
    values.

    Args:
        build: makes the network, which offers `losses(batch)` and `losses_and_logits(batch)`.
        clients: windows and labels of each, for training.
        scored: source windows and labels that nobody trains on, for `history`.
        federation: how to train.
        seed: of the run.

    Raises:
        ValueError: if a client has no windows, windows do not fit together or are not finite; or
            if Flower is not installed.
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
            found = scores(replaced(net, arrays), *scored)
            line = {f"source_{name}": score for name, score in found.items()}
            evaluated.append({"round": server_round, **line})
            bar.update(server_round - bar.n)
            bar.set_postfix_str(f"accuracy {found['accuracy']:.3f}", refresh=False)

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
    """A bar on a terminal; none in a worker, beside which others write to the same one."""
    tqdm.set_lock(threading.RLock())  # tqdm's own is for several processes, and outlives a worker
    hidden = True if multiprocessing.parent_process() else None
    return tqdm(total=rounds, unit="round", desc="source", disable=hidden)


def warn(source: Source, clients: Sequence[Labeled], scored: Labeled) -> None:
    """Name clients that were missing in the average of a round; and a model that learned nothing.

    Args:
        source: a trained model.
        clients: windows and labels of each.
        scored: windows and labels that nobody trained on.
    """
    rounds, loss = source.history[["round", "source_loss"]].iloc[-1]
    known = torch.cat([labels for _, labels in clients])
    classes = 1 + int(max(known.max(), scored.labels.max()))
    trivial = labeled.unigram_loss(known, scored.labels, classes)
    if loss >= trivial:
        warnings.warn(
            f"the source model is no better than the frequencies of labels after {rounds:.0f} "
            f"rounds (loss {loss:.3f} nats, against {trivial:.3f}); raise federation.rounds, or "
            "choose another federation.lr",
            stacklevel=3,
        )
    for (client, reason), lines in source.failures.groupby(["client", "reason"]):
        which = ", ".join(map(str, lines["round"]))
        warnings.warn(
            f"client {client} is missing in the average of round {which} of {rounds:.0f}: {reason}",
            stacklevel=3,
        )


def check(clients: Sequence[Labeled], scored: Labeled) -> None:
    """Stop before anything is trained on windows that cannot be trained on.

    Raises:
        ValueError: naming the client.
    """
    if not clients:
        raise ValueError("a federation needs at least 1 client; raise the data's clients")
    labeled.check({f"client {i}": part for i, part in enumerate(clients)} | {"scored": scored})


def _strategy(
    strategies: Any, settings: Federation, clients: int, statistics: list[str]
) -> "Recording":
    kinds = {
        "fedavg": strategies.Average,
        "fedprox": strategies.Proximal,
        "fedadam": strategies.Adaptive,
    }
    own = {key: getattr(settings, key) for key in STRATEGIES[settings.strategy]}
    if "server_lr" in own:
        own["eta"] = own.pop("server_lr")
    made: Recording = kinds[settings.strategy](clients=clients, statistics=statistics, **own)
    return made


def _flower() -> tuple[Any, Any]:
    """The modules that import Flower, which is not always installed."""
    try:
        from scaling.federation.flower import rounds, strategies
    except ModuleNotFoundError as error:
        name = error.name or ""
        if name.partition(".")[0] != "flwr":
            raise
        lacks = "is not installed" if name == "flwr" else f"has no {name} in this version"
        raise ValueError(
            f"federated training needs Flower, which {lacks}; pip install 'scaling[federated]'"
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
