"""The lock files: one has the runtime, the other what the extras add, without duplicates."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(file: str) -> set[str]:
    return {normal(line.partition("==")[0]) for line in (ROOT / file).read_text().split()}


def needed(requirements: list[str]) -> set[str]:
    """Names of all installed packages that requirements need, directly or not."""
    seen: set[tuple[str, frozenset[str]]] = set()
    left = [Requirement(text) for text in requirements]
    while left:
        wanted = left.pop()
        name, extras = normal(wanted.name), frozenset(wanted.extras)
        if name == "scaling":  # an extra that consists of others
            for extra in extras:
                left += map(Requirement, PROJECT["optional-dependencies"][extra])
            continue
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            inner = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # needed on another system only
            continue
        for requirement in map(Requirement, inner):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in extras | {""}):
                left.append(requirement)
    return {name for name, _ in seen}


def test_the_runtime_is_locked_alone():
    assert locked("requirements.lock") <= needed(PROJECT["dependencies"])


def test_every_other_package_belongs_to_an_extra():
    extras = [text for some in PROJECT["optional-dependencies"].values() for text in some]
    assert locked("requirements-dev.lock") <= needed(extras)
    assert not locked("requirements.lock") & locked("requirements-dev.lock")


def test_each_dependency_that_is_named_is_locked():
    named = {normal(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert named <= locked("requirements.lock")
