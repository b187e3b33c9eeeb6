"""All parts of the package have what a run needs, and missing members are reported."""

import importlib
import inspect
import pkgutil
import subprocess
import sys

import lightning as L
import pytest
from torch import nn

from scaling import callbacks, datamodules, models
from scaling.contracts.net import Classifier, Net
from scaling.contracts.protocols import DataSet, Observer, RunBatches, howto, required
from scaling.datamodules.batches import Batches
from scaling.datamodules.passes import Passes
from scaling.models.learner import Learner


def classes(room, kind: type) -> list[type]:
    """Concrete classes of a kind that a room defines."""
    modules = [importlib.import_module(f"{room.__name__}.{m.name}")
               for m in pkgutil.iter_modules(room.__path__)]  # fmt: skip
    return [
        thing
        for module in modules
        for _, thing in inspect.getmembers(module, inspect.isclass)
        if thing.__module__ == module.__name__ and issubclass(thing, kind)
        if not inspect.isabstract(thing)
    ]


@pytest.mark.parametrize("thing", classes(datamodules, L.LightningDataModule))
def test_every_data_set_of_the_package_is_accepted_by_a_run(thing):
    built = object.__new__(thing)
    built.microbatches = 1
    required(built, DataSet, "data")


@pytest.mark.parametrize("thing", [Batches, Passes])
def test_all_batches_of_the_package_are_counted(thing):
    required(object.__new__(thing), RunBatches, "data")


def test_every_classifier_of_the_package_is_scored_and_a_language_model_is_trained():
    nets = {
        thing.__name__: object.__new__(thing)
        for thing in classes(models, nn.Module)
        if issubclass(thing, Net)
    }
    assert {"NanoTransformer", "MLP", "TCN", "GRU"} <= nets.keys()
    for name in ("MLP", "TCN", "GRU"):
        assert isinstance(nets[name], Classifier)
    assert not isinstance(nets["NanoTransformer"], Classifier)


def test_callbacks_with_columns_are_observers():
    observers = [thing for thing in classes(callbacks, L.Callback) if issubclass(thing, Observer)]
    assert "Divergence" in {thing.__name__ for thing in observers}


def test_all_missing_members_are_named_at_once_as_they_are_written():
    with pytest.raises(ValueError, match=r"builtins.list has no smallest, updates\(epochs\), "):
        required([], RunBatches, "data")
    with pytest.raises(ValueError, match=r"needs; see docs/howto/data_set.md$"):
        required([], RunBatches, "data")


def test_a_property_is_not_computed_by_the_check():
    class Slow:
        batches = microbatches = columns = prepare = train_dataloader = val_dataloader = None

        @property
        def fingerprint(self):
            raise AssertionError("the data were loaded")

    required(Slow(), DataSet, "data")


def test_only_groups_with_a_page_have_one():
    assert howto("callbacks.mine") == "; see docs/howto/callback.md"
    assert howto("trainer") == ""


def test_a_learner_takes_no_network_without_losses():
    with pytest.raises(ValueError, match=r"Linear has no losses\(batch\), which a run needs"):
        Learner(nn.Linear(1, 1), optimizer=print, schedule=print, seed=0)


def test_protocols_of_runs_need_no_torch():
    code = "import sys, scaling.contracts.protocols; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
