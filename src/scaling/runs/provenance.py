"""The provenance of a row: versions, machine, and the state of the source."""

import functools
import platform
import socket
import subprocess
from pathlib import Path
from typing import Any

import lightning
import torch

from scaling.contracts.version import __version__


@functools.lru_cache(maxsize=1)
def here() -> dict[str, Any]:
    """Versions, machine and checkout of this process.

    `git` is the commit of the package's checkout, `dirty` whether it has uncommitted changes; both
    are missing without a checkout.
    """
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "scaling": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "host": socket.gethostname(),
        "device": gpu or platform.processor() or platform.machine(),
        **_checkout(Path(__file__).parents[1]),
    }


def _checkout(folder: Path) -> dict[str, Any]:
    try:
        _git(folder, "ls-files", "--error-unmatch", "__init__.py")  # not inside another project's
        commit = _git(folder, "rev-parse", "HEAD")
        return {"git": commit, "dirty": bool(_git(folder, "status", "--porcelain", "."))}
    except (OSError, subprocess.CalledProcessError):  # no git, or no checkout
        return {}


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
