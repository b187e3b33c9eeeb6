"""Measure the cost of a federated source: 10 clients, 10 rounds, `data=flows` with `model=tcn`.

A plain loop does the same local training and averaging, so the difference is Flower's messages and
the evaluation of each round. Exit code 1 if the source takes more than 20 s of wall time; this
limit is for an otherwise idle machine with 2 cores.

    python tests/benchmarks/federation_cost.py
"""

import sys
import time
from collections.abc import Callable

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn

from scaling.config.cell import build
from scaling.config.folder import FOLDER
from scaling.federation import averaging, training
from scaling.federation.client import Labeled, Work
from scaling.federation.flower.settings import Federation

LIMIT = 20  # seconds
ROUNDS = 10


def plain(
    make: Callable[[], nn.Module], clients: tuple[Labeled, ...], settings: Federation
) -> None:
    """The same training without Flower."""
    net = make()
    work = Work(net, clients, settings, seed=0)
    arrays = {name: t.numpy().copy() for name, t in net.state_dict().items()}
    for i in range(1, settings.rounds + 1):
        answers = [work(arrays, i, client, 0.0) for client in range(len(clients))]
        arrays = averaging.average([a for a, _, _ in answers], [n for _, n, _ in answers])


def main() -> int:
    with initialize_config_dir(str(FOLDER), version_base="1.3"):
        node = OmegaConf.to_container(compose("config", ["data=flows", "model=tcn"]), resolve=True)
        rounds = OmegaConf.to_container(compose("federation/default").federation)
    settings = build({**rounds, "rounds": ROUNDS}, "federation")
    population = build(node["data"]["population"], "data.population").draw(None, 0)

    def make() -> nn.Module:
        return build(node["model"], "model", inputs=23, outputs=population.classes, length=30)

    training.train(  # imports, and other costs of a first time
        make,
        clients=population.clients[:1],
        scored=population.source,
        federation=build({**rounds, "rounds": 1}, "federation"),
        seed=0,
    )
    start = time.perf_counter(), time.process_time()
    source = training.train(
        make, clients=population.clients, scored=population.source, federation=settings, seed=0
    )
    took, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    begun = time.process_time()
    torch.set_num_threads(1)  # as `train` does
    plain(make, population.clients, settings)
    alone = time.process_time() - begun
    accuracy = source.history["source_accuracy"]
    print(f"{len(population.clients)} clients, {ROUNDS} rounds: {took:.1f} s ({cpu:.1f} s of the "
          f"processors), a plain loop {alone:.1f} s; accuracy on source windows "
          f"{accuracy.iloc[0]:.3f} before, {accuracy.iloc[-1]:.3f} after")  # fmt: skip
    return int(took > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
