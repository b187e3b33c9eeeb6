"""Shapes are checked while the tests run; commands run in this process, each in a new folder."""

import copy
import importlib
import os
import pkgutil
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import compositions
import pytest
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.hydra import Hydra
from jaxtyping import install_import_hook
from threadpoolctl import threadpool_limits

ROOMS = (  # whose annotations have shapes; it would slow down the statistics of sweeps five times
    "adaptation", "callbacks", "contracts", "datamodules", "federation", "gradients", "models",
)  # fmt: skip
SHARED = ("callbacks", "datamodules", "models")  # config nodes would import their modules


def pytest_configure(config):
    """Import the package, with shapes checked, unless this process only distributes tests."""
    # a shell ignores Ctrl-C in what it starts with `&`, and commands of tests would inherit this
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("dist", "no") != "no":
        return
    install_import_hook([f"scaling.{room}" for room in ROOMS], "beartype.beartype")
    torch = importlib.import_module("torch")
    importlib.import_module("scaling.sweeps.sweep")
    for name in SHARED:
        room = importlib.import_module(f"scaling.{name}")
        for module in pkgutil.iter_modules(room.__path__):
            importlib.import_module(f"{room.__name__}.{module.name}")
    torch.set_num_threads(1)  # test processes share the cores
    threadpool_limits(1, user_api="blas")


SMALL = (
    *("steps=6", "model.d_model=16", "model.layers=2", "model.heads=2"),
    *("data.context=16", "data.val_windows=8", "workers=0"),
)
SMALL_WIDE = ("steps=6", "model.width=8", "workers=0")
UNRECORDED = ("callbacks.gradient_norms=null", "callbacks.layer_gradients=null")
SMALL_MLP = ("steps=6", "model.depth=2", "model.width=8", "data.scored_examples=50", "workers=0")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory, worker_id):
    """No test reads or writes the cache of the user who runs it; workers share one."""
    before = os.environ.get("XDG_CACHE_HOME")
    base = tmp_path_factory.getbasetemp()
    cache = (base if worker_id == "master" else base.parent) / "cache"
    os.environ["XDG_CACHE_HOME"] = str(cache)
    yield
    os.environ.pop("XDG_CACHE_HOME")
    if before is not None:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session", autouse=True)
def composed_once():
    """Hydra composes a command once more to see its mode, which only these words can set."""
    mode = Hydra.get_mode

    def mode_if_set(hydra, config_name, overrides):
        may_set = any(word.lstrip("+").startswith(("experiment", "hydra.")) for word in overrides)
        return mode(hydra, config_name, overrides) if may_set else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", mode_if_set)
        yield


@pytest.fixture(scope="session", autouse=True)
def shared_compositions():
    """Commands that choose the same options share what Hydra composes for them."""
    with pytest.MonkeyPatch.context() as patch:
        compositions.share(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def read_once():
    """The packaged config files, which no test changes, are parsed once."""
    from scaling.config.folder import FOLDER

    load = FileConfigSource.load_config
    loaded = {}

    def load_if_new(source, config_path):
        if source.path != str(FOLDER):
            return load(source, config_path)
        if config_path not in loaded:
            loaded[config_path] = load(source, config_path)
        return copy.deepcopy(loaded[config_path])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FileConfigSource, "load_config", load_if_new)
        yield


@pytest.fixture(scope="session", autouse=True)
def coarse_figures():
    """The PNG files of reports have few pixels, which takes less time."""
    from scaling.reporting import build

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "DPI", 75)
        yield


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(folder, monkeypatch, capfd) -> Callable[..., Ended]:
    """Run `python -m scaling.train ARGUMENTS` in `folder`, with a small model by default."""
    from scaling.sweeps import command as entry

    def run(*arguments: str, small: bool = True) -> Ended:
        wide = {"model=tcn", "model=gru", "model=two_layer"} & set(arguments)
        sizes = SMALL_MLP if "model=mlp" in arguments else SMALL_WIDE if wide else SMALL
        flags = [argument for argument in arguments if argument.startswith("-")]
        typed = [argument for argument in arguments if not argument.startswith("-")]
        monkeypatch.setattr(sys, "argv", ["train", *flags, *(sizes if small else ()), *typed])
        monkeypatch.setattr(entry, "TRACEBACK_WANTED", False)
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        capfd.readouterr()
        try:
            with pytest.raises(SystemExit) as left, warnings.catch_warnings():
                entry.main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        out, err = capfd.readouterr()
        code = left.value.code
        return Ended(0 if code is None else code, out, err)

    return run


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; the test is skipped if SCALING_DATA is not set."""
    root = os.environ.get("SCALING_DATA")
    if not root:
        pytest.skip("needs real data: SCALING_DATA is not set")
    return Path(root)


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def browser():
    """A headless browser, where one is installed."""
    installed = [path for path in map(shutil.which, BROWSERS) if path]
    if not installed:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)}")
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=installed[0], args=list(QUIET))
        yield opened
        opened.close()
