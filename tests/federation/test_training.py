"""Federated training against plain averages, and what happens when clients fail."""

import copy
import importlib.util
import subprocess
import sys
from functools import partial
from pathlib import Path

import flocks
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from flocks import Softmax, clients, settings, tcn, windows
from torch import nn

from scaling.config.folder import FOLDER
from scaling.contracts.labeled import Labeled
from scaling.federation import training
from scaling.federation.averaging import average
from scaling.federation.client import averaged, scores, statistics, train_locally
from scaling.federation.flower.settings import Federation
from scaling.federation.training import Source
from scaling.seeds import seed_for

SCORED = windows(50, seed=99)


def trained(build=Softmax, parts=None, seed=0, **changes) -> training.Source:
    return training.train(
        build,
        clients=clients() if parts is None else parts,
        scored=SCORED,
        federation=settings(**changes),
        seed=seed,
    )


def blank(*shape) -> Labeled:
    return Labeled(torch.zeros(shape), torch.zeros(shape[0], dtype=torch.int64))


def started(build, seed=0) -> nn.Module:
    torch.manual_seed(seed_for("weights", seed))
    return build()


def changed(net, arrays) -> nn.Module:
    own = copy.deepcopy(net)
    own.load_state_dict(own.state_dict() | {k: torch.as_tensor(v) for k, v in arrays.items()})
    return own


def answers(net, server_round, parts, proximal_mu=0.0, skip=()) -> tuple[list, list]:
    """The arrays and numbers of windows of each client, without Flower."""
    found, counts = [], []
    for i, part in enumerate(parts):
        if i in skip:
            continue
        own = copy.deepcopy(net)
        kept = {k: flocks.PLAIN[k] for k in ("batch", "lr", "momentum")}
        train_locally(
            own, *part, epochs=2, proximal_mu=proximal_mu, draws=(0, server_round, i), **kept
        )
        found.append({k: t.numpy().copy() for k, t in averaged(own).items()})
        counts.append(len(part[1]))
    return found, counts


def plain(build, skip=(), proximal_mu=0.0) -> nn.Module:
    """Federated averaging as a loop."""
    net = started(build)
    for server_round in (1, 2, 3):
        net = changed(net, average(*answers(net, server_round, clients(), proximal_mu, skip)))
    return net


def same(source, net, rtol=1e-5, atol=1e-6) -> None:
    wanted = net.state_dict()
    assert list(source.state) == list(wanted)
    for name, tensor in wanted.items():
        torch.testing.assert_close(source.state[name], tensor, rtol=rtol, atol=atol)


def vector(state) -> torch.Tensor:
    return torch.cat([t.flatten().double() for t in state.values()])


def test_an_average_weighs_clients_by_their_examples():
    parts = [
        {"w": np.float32([1, 2]), "n": np.int64(3)},
        {"w": np.float32([5, 6]), "n": np.int64(9)},
    ]
    (mean,) = average(parts, [1, 3]).values()  # no counter among them
    assert mean.dtype == np.float32
    np.testing.assert_allclose(mean, [4, 5])
    np.testing.assert_allclose(average(parts, [30, 10])["w"], [2, 3])


def test_an_average_of_equals_is_the_same():
    part = {"w": np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)}
    np.testing.assert_array_equal(average([part] * 3, [1, 2, 4])["w"], part["w"])


@pytest.mark.parametrize(
    "build",
    [Softmax, tcn, partial(tcn, "batch"), partial(tcn, "layer", dropout=0.3)],
    ids=["softmax", "group", "batch", "dropout"],
)
def test_flowers_average_equals_a_plain_loop_to_float_precision(build):
    same(trained(build), plain(build))


def test_the_proximal_term_is_in_the_clients_loss():
    same(trained(strategy="fedprox", proximal_mu=0.7), plain(Softmax, proximal_mu=0.7))


def test_without_a_pull_fedprox_is_fedavg():
    pulled = trained(strategy="fedprox", proximal_mu=0.0)
    assert torch.equal(vector(pulled.state), vector(trained().state))


def test_a_stronger_pull_keeps_clients_nearer_to_the_start():
    start = vector(started(Softmax).state_dict())
    moved = [
        (vector(trained(rounds=1, strategy="fedprox", proximal_mu=mu).state) - start).norm()
        for mu in (0.0, 1.0, 10.0)
    ]
    assert moved[0] > 1.1 * moved[1] > 1.2 * moved[2] > 0


def test_steps_of_a_client_are_those_of_the_formula():
    net, (x, y) = started(Softmax), windows(12)
    w0 = w = vector(net.state_dict())
    x, lr, mu = x.mean(dim=1).double(), 0.3, 0.4
    for _ in range(2):
        logits = x @ w[:12].view(3, 4).T + w[12:]
        error = (logits.softmax(1) - nn.functional.one_hot(y, 3)) / 12
        gradient = torch.cat([(error.T @ x).flatten(), error.sum(0)])
        w = w - lr * (gradient + mu * (w - w0))
    train_locally(
        net, *windows(12), epochs=2, batch=12, lr=lr, momentum=0.0, proximal_mu=mu, draws=(0, 1, 0)
    )
    torch.testing.assert_close(vector(net.state_dict()), w, rtol=1e-5, atol=1e-6)


def test_fedadam_takes_the_steps_of_adam_and_averages_statistics_plainly():
    net = started(partial(tcn, "batch"))
    plainly = statistics(net)
    assert plainly == ["blocks.0.norm.running_mean", "blocks.0.norm.running_var"]
    means: dict = {}
    squares: dict = {}
    for server_round in (1, 2, 3):
        before = {k: t.numpy().copy() for k, t in averaged(net).items()}
        mean = average(*answers(net, server_round, clients()))
        rate = 0.01 * (1 - 0.99 ** (server_round + 1)) ** 0.5 / (1 - 0.9 ** (server_round + 1))
        new = {}
        for k, old in before.items():
            change = mean[k] - old
            means[k] = 0.9 * means.get(k, 0) + 0.1 * change
            squares[k] = 0.99 * squares.get(k, 0) + 0.01 * change**2
            step = old + rate * means[k] / (np.sqrt(squares[k]) + 0.001)
            new[k] = mean[k] if k in plainly else step
        net = changed(net, new)
    source = trained(partial(tcn, "batch"), **flocks.ADAM)
    same(source, net, rtol=1e-3, atol=1e-5)  # Adam divides by what is nearly zero
    assert (source.state["blocks.0.norm.running_var"] > 0).all()


def test_whole_numbers_are_not_averaged():
    name = "blocks.0.norm.num_batches_tracked"
    count = trained(partial(tcn, "batch")).state[name]
    assert count.dtype == torch.int64
    assert count == started(partial(tcn, "batch")).state_dict()[name] == 0


def test_it_learns_and_reports_the_rounds():
    source = trained(rounds=8)
    history = source.history
    assert list(history) == ["round", "train_loss", "answered", "source_loss", "source_accuracy"]
    assert history["round"].tolist() == list(range(9))
    assert history["answered"].tolist() == [0] + [3] * 8
    assert np.isnan(history["train_loss"][0])
    assert history["source_accuracy"].iloc[-1] > history["source_accuracy"][0] + 0.2
    before = scores(started(Softmax), *SCORED)
    after = scores(changed(started(Softmax), source.state), *SCORED)
    for found, line in ((before, history.iloc[0]), (after, history.iloc[-1])):
        assert found == {"loss": line["source_loss"], "accuracy": line["source_accuracy"]}
    assert source.failures.empty


def test_a_source_that_learned_nothing_is_reported():
    with pytest.warns(UserWarning, match="no better than the frequencies .* after 3 rounds"):
        trained(lr=1e-9)


def test_the_loss_of_a_round_is_the_mean_over_all_clients_windows():
    source = trained(rounds=1, local_epochs=1, batch=100)  # one step each: losses before it
    pooled = (torch.cat(part) for part in zip(*clients(), strict=True))
    want = started(Softmax).losses(tuple(pooled)).mean().item()
    assert source.history["train_loss"][1] == pytest.approx(want, rel=1e-6)


def test_it_follows_from_the_seed_and_leaves_the_global_random_state_alone():
    first = trained(partial(tcn, dropout=0.3))
    state = torch.get_rng_state()
    again = trained(partial(tcn, dropout=0.3))
    assert torch.equal(vector(first.state), vector(again.state))
    assert first.history.equals(again.history)
    assert torch.equal(state, torch.get_rng_state())
    other = trained(partial(tcn, dropout=0.3), seed=1)
    assert not torch.equal(vector(first.state), vector(other.state))


def test_a_client_that_fails_is_recorded_and_the_others_are_averaged():
    parts = clients()
    parts[1] = parts[1]._replace(labels=torch.full_like(parts[1].labels, 7))  # there are 3 classes
    with pytest.warns(UserWarning, match="client 1 is missing .* round 1, 2, 3 of 3: IndexErr"):
        source = trained(parts=parts)
    same(source, plain(Softmax, skip=(1,)))
    assert source.history["answered"].tolist() == [0, 2, 2, 2]
    assert source.failures[["round", "client"]].to_numpy().tolist() == [[1, 1], [2, 1], [3, 1]]
    assert set(source.failures["reason"]) == {"IndexError: Target 7 is out of bounds."}


def test_every_reason_of_a_client_is_reported_with_its_rounds():
    failures = pd.DataFrame(
        {"round": [1, 2, 3], "client": [1, 1, 1], "reason": ["KeyError: x", "y", "KeyError: x"]}
    )
    history = pd.DataFrame({"round": [3], "source_loss": [0.1]})
    parts = clients()
    with pytest.warns(UserWarning, match="client 1") as caught:
        training.warn(Source({}, history, failures), parts, parts[0])
    said = [str(warning.message) for warning in caught]
    assert said == [
        "client 1 is missing from the average of round 1, 3 of 3: KeyError: x",
        "client 1 is missing from the average of round 2 of 3: y",
    ]


def test_weights_that_are_not_finite_are_not_averaged():
    parts = clients()
    parts[2] = parts[2]._replace(windows=1e25 * parts[2].windows)
    with pytest.warns(UserWarning, match="client 2 is missing from the average of round 1"):
        source = trained(parts=parts, momentum=0.9)
    assert set(source.failures["client"]) == {2}
    assert source.failures["reason"][0].startswith("FloatingPointError: its ")
    assert torch.isfinite(vector(source.state)).all()


def test_if_no_client_answers_it_is_an_error():
    parts = [Labeled(x, torch.full_like(y, 7)) for x, y in clients()]
    with pytest.raises(RuntimeError, match="all 3 clients failed in round 1; .* Target 7 is out"):
        trained(parts=parts)


def test_one_client_is_a_federation():
    source = trained(parts=clients()[1:2])
    assert source.history["answered"].tolist() == [0, 1, 1, 1]


def test_it_opens_no_socket_and_leaves_no_file(tmp_path):
    """In a process of its own, because audit hooks stay."""
    script = (
        "import random, sys; found = []\n"
        "sys.addaudithook(lambda event, _: found.append(event) if 'socket' in event else None)\n"
        "import flocks\nfrom scaling.federation import training\n"
        "import scaling.federation.flower.rounds; state = random.getstate()\n"
        "training.train(flocks.Softmax, clients=flocks.clients(), scored=flocks.windows(9),\n"
        "               federation=flocks.settings(), seed=0)\n"
        "from flwr.supercore import telemetry\n"
        "assert telemetry.FLWR_TELEMETRY_ENABLED == '0'\n"
        "assert not found, found\n"
        "assert random.getstate() == state\n"
    )
    here = Path(__file__).parents[1]
    environment = {"HOME": str(tmp_path), "PYTHONPATH": f"{here}:{here.parent / 'src'}"}
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert not list(tmp_path.iterdir())
    assert not ended.stdout
    assert "flwr" not in ended.stderr.lower()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda parts: parts.clear(), "needs at least 1 client"),
        (
            lambda parts: parts.append(blank(0, 6, 4)),
            "client 3 has no windows; choose fewer clients, less skewed ones, or more windows",
        ),
        (
            lambda parts: parts.append(blank(2, 6, 5)),
            "client 3 has windows of 6 steps x 5 features, but client 0 of 6 x 4",
        ),
        (
            lambda parts: parts.append(Labeled(torch.zeros(2, 6, 4), torch.arange(3))),
            "client 3 has 2 windows and 3 labels",
        ),
        (
            lambda parts: parts[0][0].view(-1)[5].fill_(torch.nan),
            "client 0 is not finite at window 0, step 1, feature 1 .nan",
        ),
    ],
)
def test_windows_that_cannot_be_trained_on_are_refused(change, said):
    parts = clients()
    change(parts)
    with pytest.raises(ValueError, match=said):
        trained(parts=parts)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rounds": 0}, "rounds=0 must be at least 1"),
        ({"local_epochs": 0}, "local_epochs=0 must be at least 1"),
        ({"batch": 0}, "batch=0 must be at least 1"),
        ({"lr": 0.0}, "lr=0.0 must be positive and finite"),
        ({"momentum": 1.0}, r"momentum=1.0 must be in \[0, 1\)"),
        ({"strategy": "krum"}, "strategy=krum must be one of fedavg, fedprox, fedadam"),
        ({"backend": "dask"}, "backend=dask must be one of in_process, ray"),
        ({"strategy": "fedprox"}, "proximal_mu=null must be a number .* federation=fed"),
        ({"proximal_mu": 0.1}, "proximal_mu=0.1 has no effect with strategy=fedavg; set it to"),
        ({"strategy": "fedprox", "proximal_mu": -1.0}, "proximal_mu=-1.0 must be at least 0"),
        (flocks.ADAM | {"beta_2": 1.0}, r"beta_2=1.0 must be in \[0, 1\)"),
        (flocks.ADAM | {"tau": 0.0}, "tau=0.0 must be positive"),
    ],
)
def test_invalid_settings_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        settings(**changes)


@pytest.mark.parametrize("choice", ["default", "fedprox", "fedadam"])
def test_the_options_of_the_config_are_settings(choice):
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from scaling.config.cell import build

    assert sorted(f.stem for f in (FOLDER / "federation").glob("*.yaml")) == [
        "default", "fedadam", "fedprox",
    ]  # fmt: skip
    with initialize_config_dir(str(FOLDER), version_base="1.3"):
        node = OmegaConf.to_container(compose(f"federation/{choice}").federation)
    made = build(node, "federation")
    assert isinstance(made, Federation)
    assert made.strategy == {"default": "fedavg"}.get(choice, choice)
    stated = yaml.safe_load((FOLDER / "federation" / "default.yaml").read_text())
    assert stated.keys() == node.keys()


def test_without_flower_there_is_one_message(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "flwr"]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("scaling.federation.flower.")]:
        if not name.endswith("settings"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "flwr", None)
    import scaling.federation.flower

    for name in ("apps", "grid", "rounds", "strategies"):
        monkeypatch.delattr(scaling.federation.flower, name, raising=False)
    with pytest.raises(ValueError, match=r"needs Flower, .* pip install '\.\[federated\]' in a"):
        trained()


def test_without_ray_there_is_one_message():
    if importlib.util.find_spec("ray") is not None:
        pytest.skip("Ray is installed")
    with pytest.raises(ValueError, match=r"backend=ray needs Ray, .* '\.\[federated-ray\]'"):
        trained(backend="ray")


@pytest.mark.filterwarnings("default")  # Ray's own
def test_rays_clients_give_the_same_model_and_failures(tmp_path):
    if importlib.util.find_spec("ray") is None:
        pytest.skip("needs Ray: pip install '.[federated-ray]'")
    parts = clients()
    parts[1] = parts[1]._replace(labels=torch.full_like(parts[1].labels, 7))
    there, here = trained(parts=parts, backend="ray"), trained(parts=parts)
    torch.testing.assert_close(vector(there.state), vector(here.state), rtol=1e-6, atol=1e-7)
    assert there.failures.equals(here.failures)
