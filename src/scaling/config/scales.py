"""Config files with a block `by_scale`: values that a scale changes."""

import re
from dataclasses import replace
from typing import Any

from hydra._internal.core_plugins import file_config_source
from hydra.plugins.config_source import ConfigResult
from omegaconf import OmegaConf

from scaling.config.folder import FOLDER

BLOCK = "by_scale"
GROUPS = ("model", "experiment", "match")  # groups whose blocks config.yaml reads


class FileConfigSource(file_config_source.FileConfigSource):
    """Hydra's source of YAML files, with support for a block `by_scale`: scale -> root keys.

    `model=gru` is `model/gru.yaml` without the block. The values for `scale=small` are another
    config, `at_scale/model/small/gru`, which is empty if the block has no such scale.
    `config.yaml` lists it after the experiment, so a scale overrides an experiment, and the command
    overrides both.
    """

    def is_config(self, config_path: str) -> bool:
        return super().is_config(_split(config_path)[0])

    def load_config(self, config_path: str) -> ConfigResult:
        path, scale = _split(config_path)
        file = super().load_config(path)
        config: Any = file.config
        if scale is None:
            block = config.pop(BLOCK, None) if OmegaConf.is_dict(config) else None
            if block is not None:
                self._check(path, block)
            return file
        values = OmegaConf.select(config, f"{BLOCK}.{scale}") or OmegaConf.create()
        if not OmegaConf.is_dict(values):
            raise ValueError(
                f"{path}: {BLOCK}.{scale}={values} must map root keys to values, such as "
                "{model: {width: 16}}"
            )
        return replace(file, config=OmegaConf.create(values), header={"package": "_global_"})

    def _check(self, path: str, block: Any) -> None:
        """Refuse a block that is never read, or has a scale that does not exist."""
        if path.partition("/")[0] not in GROUPS:
            raise ValueError(
                f"{path}: {BLOCK} has no effect here; it belongs in the file of one of "
                f"{', '.join(GROUPS)}"
            )
        for scale in block if OmegaConf.is_dict(block) else ():
            packaged = FOLDER / "scale" / f"{scale}.yaml"
            if not (packaged.exists() or self.is_config(f"scale/{scale}")):
                raise ValueError(
                    f"{path}: {BLOCK}.{scale} has no effect; there is no scale/{scale}.yaml"
                )


def _split(config_path: str) -> tuple[str, str | None]:
    """The file of a config, and the scale if the config is a part of the file's block."""
    if match := re.fullmatch(r"at_scale/(\w+)/([^/]+)/(.+)", config_path):
        group, scale, option = match.groups()
        return f"{group}/{option}", scale
    return config_path, None
