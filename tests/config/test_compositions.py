"""What commands of tests share (`compositions`) is what Hydra composes for each of them."""

from pathlib import Path

import compositions
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import OmegaConf

from scaling.config.folder import FOLDER

MLP = ("model=mlp", "data=digits")
WORDS = [
    ("lr=1",), ("+trainer.profiler=simple", "lr=1,2"), (*MLP, "~model.depth"), (*MLP, "lr=3"),
    ("experiment=depth", "scale=tiny"),
]  # fmt: skip


def composed(*words: str, own: Path | None = None) -> str:
    loader = ConfigLoaderImpl(create_config_search_path(str(FOLDER)))
    if own:
        loader.get_search_path().prepend("command-line", f"file://{own}")
        loader.repository.initialize_sources(loader.get_search_path())
    return OmegaConf.to_yaml(loader.load_configuration("config", list(words), RunMode.MULTIRUN))


@pytest.fixture
def alone(monkeypatch):
    """What Hydra composes without sharing."""

    def compose(*words: str, own: Path | None = None) -> str:
        with pytest.MonkeyPatch.context() as patch:
            for owner, name, original in compositions.REPLACED:
                patch.setattr(owner, name, original)
            return composed(*words, own=own)

    return compose


def test_each_command_gets_what_hydra_composes_for_it(alone):
    for words in WORDS:
        assert composed(*words) == composed(*words) == alone(*words)


def test_a_folder_whose_files_change_is_composed_again(alone, tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(MissingConfigException):
        composed("model=mine", own=tmp_path)
    for width in (1, 2):
        (tmp_path / "model" / "mine.yaml").write_text(f"width: {width}\n")
        found = composed("model=mine", own=tmp_path)
        assert f"width: {width}\n" in found
        assert found == alone("model=mine", own=tmp_path)
