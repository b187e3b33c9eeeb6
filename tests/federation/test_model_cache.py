"""Sources are trained once, cached completely, and shared."""

import sys
from pathlib import Path
from subprocess import PIPE

import pytest
import torch
from flocks import Softmax, clients, settings, tcn, windows
from processes import HANG, python

from scaling.contracts.labeled import Labeled
from scaling.federation import training
from scaling.federation.model_cache import FILE, source
from scaling.federation.training import Source

SCORED = windows(50, seed=99)
BUILD = """
import sys
from pathlib import Path
import flocks
from scaling.federation.model_cache import source

def build():
    with Path("built").open("a") as file:
        file.write("once\\n")
    return flocks.Softmax()

print("ready", flush=True)
sys.stdin.readline()
found = source(build, clients=flocks.clients(), scored=flocks.windows(50, seed=99),
               federation=flocks.settings(rounds=60), seed=0, model={}, cache=Path("cache"))
print(sum(t.double().sum().item() for t in found.state.values()))
"""


@pytest.fixture
def built():
    """How often a network was built, which training does once."""
    return []


def get(cache, built, build=Softmax, parts=None, scored=SCORED, seed=0, model="a", **changes):
    def counted():
        built.append(1)
        return build()

    return source(
        counted,
        clients=clients() if parts is None else parts,
        scored=scored,
        federation=settings(**changes),
        seed=seed,
        model={"name": model},
        cache=cache,
    )


def same(one: Source, other: Source) -> None:
    assert list(one.state) == list(other.state)
    assert all(torch.equal(t, other.state[name]) for name, t in one.state.items())
    for table, again in zip(one[1:], other[1:], strict=True):
        assert table.equals(again)
        assert list(table) == list(again)


def test_a_source_is_trained_once_and_then_stays_the_same(tmp_path, built):
    first, second = (get(tmp_path, built, lambda: tcn("batch")) for _ in range(2))
    assert len(built) == 1
    same(first, second)
    direct = training.train(
        lambda: tcn("batch"), clients=clients(), scored=SCORED, federation=settings(), seed=0
    )
    same(first, direct)


def test_where_clients_are_trained_changes_nothing(tmp_path, built):
    get(tmp_path, built)
    get(tmp_path, built, backend="ray")  # Ray is not needed now
    assert len(built) == 1


def test_each_setting_that_can_change_a_source_gives_another_one(tmp_path, built):
    fewer, relabeled = clients()[:2], clients()
    relabeled[0] = relabeled[0]._replace(labels=(relabeled[0].labels + 1) % 3)
    get(tmp_path, built)
    for changes in (
        {"seed": 1},
        {"model": "b"},
        {"parts": fewer},
        {"parts": clients()[::-1]},
        {"parts": relabeled},
        {"scored": windows(51, seed=99)},
        {"lr": 0.06},
        {"rounds": 2},
        {"strategy": "fedprox", "proximal_mu": 0.1},
    ):
        before = len(built)
        get(tmp_path, built, **changes)
        assert len(built) == before + 1, changes
    assert len(list(tmp_path.glob(f"*/{FILE}"))) == len(built)


def test_two_processes_that_need_one_source_train_it_once(tmp_path):
    here = Path(__file__).parents[1]
    processes = [
        python(
            [sys.executable, "-c", BUILD],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{here}:{here.parent / 'src'}", "HOME": str(tmp_path)},
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=HANG) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert (tmp_path / "built").read_text() == "once\n"
    assert said[0][0] == said[1][0] != ""


@pytest.mark.parametrize("damage", ["torn", "empty", "flipped", "foreign"])
def test_a_damaged_file_is_named_and_the_source_is_trained_again(tmp_path, built, damage):
    first = get(tmp_path, built)
    (path,) = tmp_path.glob(f"*/{FILE}")
    whole = path.read_bytes()
    weight = first.state["head.weight"].numpy().tobytes()
    at = whole.index(weight)
    path.write_bytes(
        {
            "torn": whole[: len(whole) // 2],
            "empty": b"",
            "flipped": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
            "foreign": b"To be, or not to be",
        }[damage]
    )
    with pytest.warns(UserWarning, match=r"source\.pt is damaged .* trained again"):
        again = get(tmp_path, built)
    same(first, again)
    assert len(built) == 2
    get(tmp_path, built)
    assert len(built) == 2


def test_files_of_a_killed_process_are_not_a_source(tmp_path, built):
    first = get(tmp_path, built)
    (path,) = tmp_path.glob(f"*/{FILE}")
    path.rename(path.with_name(f".{path.name}.draft"))
    same(first, get(tmp_path, built))
    assert len(built) == 2
    assert not list(tmp_path.glob("*/*.draft"))


def test_a_cached_source_has_only_plain_types(tmp_path, built):
    get(tmp_path, built)
    (path,) = tmp_path.glob(f"*/{FILE}")
    content = torch.load(path, weights_only=True)
    assert content.keys() == {"identity", "state", "tables", "checksum"}
    assert '"lr": 0.05' in content["identity"]


def test_clients_that_failed_are_reported_again_with_a_cached_source(tmp_path, built):
    parts = clients()
    parts[1] = parts[1]._replace(labels=torch.full_like(parts[1].labels, 7))
    for _ in range(2):
        with pytest.warns(UserWarning, match="client 1 is missing .* round 1, 2, 3 of 3: Index"):
            found = get(tmp_path, built, parts=parts)
        assert found.failures["client"].tolist() == [1, 1, 1]
    assert len(built) == 1


def test_a_source_that_cannot_be_trained_is_not_cached(tmp_path, built):
    parts = [Labeled(x, torch.full_like(y, 7)) for x, y in clients()]
    with pytest.raises(RuntimeError, match="all 3 clients failed"):
        get(tmp_path, built, parts=parts)
    with pytest.raises(ValueError, match="client 0 has no windows"):
        get(tmp_path, built, parts=[Labeled(SCORED.windows[:0], SCORED.labels[:0])])
    assert not list(tmp_path.glob(f"*/{FILE}"))


def test_an_empty_federation_is_refused_before_anything_is_locked(tmp_path, built):
    with pytest.raises(ValueError, match="needs at least 1 client"):
        get(tmp_path, built, parts=[])
    assert not list(tmp_path.iterdir())
