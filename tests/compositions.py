"""Hydra's composition of config files, done once for all commands that choose the same options.

Values on the command line are set on a copy, as Hydra does after it has composed the files.
"""

import copy
from pathlib import Path
from typing import NamedTuple

import pytest
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.defaults_list import DefaultsList, Overrides
from hydra.core.config_store import ConfigStore
from hydra.plugins.config_source import ConfigSource
from omegaconf import DictConfig

from scaling.config.folder import FOLDER

REPLACED = tuple(
    (owner, name, getattr(owner, name))
    for owner, name in (
        (config_loader_impl, "create_defaults_list"),
        (ConfigLoaderImpl, "_compose_config_from_defaults_list"),
    )
)


class _Place(NamedTuple):
    """Where config files are looked for, and what is there if a test may change it."""

    kind: str
    path: str
    files: tuple[tuple[str, bytes], ...]


def _place(source: ConfigSource) -> _Place:
    kind = type(source).__name__
    if not isinstance(source, FileConfigSource) or source.path == str(FOLDER):
        return _Place(kind, source.path, ())
    folder = Path(source.path)
    found = sorted(folder.rglob("*")) if folder.is_dir() else []
    files = ((str(p.relative_to(folder)), b"" if p.is_dir() else p.read_bytes()) for p in found)
    return _Place(kind, "", tuple(files))  # equal files are equal configs, wherever they are


def _places(repo: IConfigRepository) -> tuple[_Place, ...]:
    return tuple(_place(source) for source in repo.get_sources())


def share(patch: pytest.MonkeyPatch) -> None:
    """Let all commands of this process share what they compose; errors are not shared."""
    (_, _, list_defaults), (_, _, compose) = REPLACED
    listed: dict[tuple, DefaultsList] = {}
    composed: dict[tuple, DictConfig] = {}

    def list_if_new(repo, config_name, overrides_list, prepend_hydra, skip_missing):
        values = Overrides(repo, overrides_list).config_overrides
        kept = {id(value) for value in values}
        choices = [o for o in overrides_list if id(o) not in kept and not o.is_sweep_override()]
        words = tuple(choice.input_line for choice in choices)
        key = (_places(repo), config_name, words, prepend_hydra, skip_missing)
        if key not in listed:
            listed[key] = list_defaults(repo, config_name, choices, prepend_hydra, skip_missing)
        found = copy.copy(listed[key])
        found.config_overrides = values
        return found

    def compose_if_new(loader, defaults, repo):
        parts = ((one.config_path, one.package, one.parent, one.is_self) for one in defaults)
        key = (_places(repo), tuple(parts))
        if key not in composed:
            composed[key] = compose(loader, defaults, repo)
        return copy.deepcopy(composed[key])

    for (owner, name, _), shared in zip(REPLACED, (list_if_new, compose_if_new), strict=True):
        patch.setattr(owner, name, shared)
    # Hydra copies the store with each repository, and once more whatever it loads from it
    patch.setattr(ConfigStore, "__deepcopy__", lambda store, memo: store, raising=False)
