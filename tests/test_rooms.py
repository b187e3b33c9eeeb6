"""Who may import whom: the direction of dependencies, read from the source itself."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "scaling"
HYDRA = {"hydra", "omegaconf"}
LIGHTNING = {"lightning", "pytorch_lightning"}
OURS = {
    "scaling.runs",
    "scaling.sweep",
    "scaling.cells",
    "scaling.config",
    "scaling.refusals",
    "scaling.attempts",
    "scaling.clusters",
    "scaling.console",
    "scaling.foreign",
    "scaling.grids",
    "scaling.workers",
}
PURE = HYDRA | LIGHTNING | {"scaling", "torch", "matplotlib", "seaborn"}
MODULES = {"scaling.models", "scaling.datamodules", "scaling.callbacks"}
FORBIDDEN = {
    "dashboard.py": HYDRA | LIGHTNING | OURS | {"torch"},
    "hparams.py": HYDRA | {"scaling"},
    "gradients.py": HYDRA | LIGHTNING | {"scaling"},
    "adaptation.py": HYDRA | LIGHTNING | {"scaling"},
    "objectives.py": PURE - {"scaling", "torch"} | OURS,
    "adapted.py": HYDRA | LIGHTNING | {"scaling"},
    "lr_rules.py": HYDRA | LIGHTNING | {"scaling", "torch"},
    "ngrams.py": HYDRA | LIGHTNING | {"scaling"},
    "federation.py": HYDRA | LIGHTNING | {"scaling", "torch"},
    "datamodules/oscillators.py": HYDRA | LIGHTNING | {"scaling"},
    "datamodules/windowing.py": HYDRA | LIGHTNING | {"scaling", "torch"},
    "datamodules/populations.py": HYDRA | LIGHTNING,
    "datamodules/flows.py": HYDRA | LIGHTNING,
    "datamodules/recorded.py": HYDRA | LIGHTNING,
    "bowls.py": PURE,
    "powerlaws.py": PURE - {"scaling"} | OURS,
    "candidates.py": PURE - {"scaling"} | OURS,
    "seeds.py": HYDRA | LIGHTNING | {"scaling"},
    "tables.py": HYDRA | LIGHTNING | {"scaling", "torch"},
    "beats.py": HYDRA | LIGHTNING | {"scaling", "torch"},
    "locks.py": HYDRA | LIGHTNING | {"scaling", "torch"},
    "signatures.py": HYDRA | LIGHTNING | {"scaling", "torch"},
    "results.py": HYDRA | LIGHTNING | OURS | {"torch"},
    "plans.py": HYDRA | LIGHTNING | OURS | {"torch"},
    "status.py": HYDRA | LIGHTNING | OURS | {"torch"},
    "report.py": HYDRA | LIGHTNING | OURS | {"torch"},
    "cautions.py": HYDRA | LIGHTNING | OURS | {"torch"},
    "kept.py": HYDRA | LIGHTNING | OURS | {"torch"},
    "summaries.py": HYDRA | LIGHTNING | OURS | {"torch"},
    "page.py": HYDRA | LIGHTNING | {"scaling", "torch"},
    "claims.py": PURE,
    "optima.py": PURE - {"scaling"} | OURS,
    "curves.py": PURE,
    "curve_bowls.py": PURE - {"scaling"} | OURS,
    "columns.py": PURE,
    "intervals.py": PURE,
    "significance.py": PURE,
    "replicates.py": PURE,
    "pairing.py": PURE - {"scaling"} | OURS,
    "effects.py": PURE - {"scaling"} | OURS,
    "regimes.py": PURE - {"scaling"} | OURS,
    "sensitivity.py": PURE - {"scaling"} | OURS,
    "arrivals.py": PURE - {"scaling"} | OURS,
    "tradeoffs.py": PURE - {"scaling"} | OURS,
    "trainability.py": PURE - {"scaling"} | OURS,
    "trends.py": PURE - {"scaling"} | OURS,
    "studies": HYDRA | LIGHTNING | OURS | {"torch", "matplotlib"},
    "figures": HYDRA | LIGHTNING | OURS | {"torch"},
    "clients.py": HYDRA | LIGHTNING | OURS | MODULES,
    "federated.py": HYDRA | LIGHTNING | OURS | MODULES,
    "sources.py": HYDRA | LIGHTNING | OURS | MODULES,
    "flower": HYDRA | LIGHTNING | OURS | MODULES | {"torch"},
    "models": HYDRA | OURS | {"scaling.callbacks", "scaling.datamodules"},
    "datamodules": HYDRA | OURS | {"scaling.callbacks", "scaling.models"},
    "callbacks": HYDRA | OURS | {"scaling.models", "scaling.datamodules"},
}
HYDRA_ROOMS = {
    "config.py",
    "cells.py",
    "run.py",
    "sweep.py",
    "grids.py",
    "foreign.py",
    "refusals.py",
}


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def imports_any(path: Path, banned: set[str]) -> list[str]:
    return [name for name in imports(path) for b in banned if f"{name}.".startswith(f"{b}.")]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_room_keeps_its_door_shut(room):
    place = PACKAGE / room
    paths = [place] if place.is_file() else sorted(place.glob("*.py"))
    assert paths, f"{room} has moved; tell this test where"
    for path in paths:
        assert not imports_any(path, FORBIDDEN[room]), path.name


def test_only_the_command_line_imports_hydra():
    for path in sorted(PACKAGE.rglob("*.py")):
        if imports_any(path, HYDRA):
            assert path.name in HYDRA_ROOMS


def test_the_door_for_hydra_is_light_at_import():
    door = PACKAGE.parent / "hydra_plugins" / "scaling"
    for path in door.glob("*.py"):
        top = [
            node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)
        ]
        assert not [
            node.module for node in top if (node.module or "").startswith(("scaling", "torch"))
        ]


def test_only_one_room_imports_flower():
    for path in sorted(PACKAGE.rglob("*.py")):
        if imports_any(path, {"flwr", "ray"}):
            assert path.parent.name == "flower", path
