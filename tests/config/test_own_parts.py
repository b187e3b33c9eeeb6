"""A user's own parts, outside the package: the pages of docs/howto, and mistakes."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from forked import NUMBER
from processes import HANG, start

from scaling import results
from scaling.contracts.protocols import PAGES, QueryData, required

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
STUDY = Path("multirun", "scratch")
CONF = "--config-dir=conf"


@pytest.fixture
def write(folder, monkeypatch) -> Iterator[Callable[[Mapping[str, str]], None]]:
    """Write files into the current folder, in which Python looks for modules as with `-m`."""
    monkeypatch.syspath_prepend(folder)

    def write(files: Mapping[str, str]) -> None:
        (folder / "conf").mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content)

    yield write
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def page(name: str) -> tuple[dict[str, str], list[list[str]]]:
    """The files of a page, and the arguments of `python -m scaling.train` in its commands."""
    text = (HOWTO / f"{name}.md").read_text()
    files = re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    commands = re.findall(r"^\$ python -m scaling\.train (.*)$", text, re.MULTILINE)
    return dict(files), [command.split() for command in commands]


def follow(name: str, write, command) -> dict:
    """Do what a page says, in this process; return the row of its run."""
    files, (arguments,) = page(name)
    write(files)
    ended = command(*arguments, small=False)
    assert ended.code == 0, ended.err
    (row,) = results.read(STUDY).to_dict("records")
    assert row["status"] == "done"
    return row


def test_a_users_model_is_trained_and_scored_as_its_page_says(write, command):
    row = follow("model", write, command)
    assert row["model"] == "linear"
    assert row["parameters"] == 64 * 10 + 10
    assert row["val_accuracy"] > 0.8


def test_a_users_data_set_is_trained_on_as_its_page_says(write, command):
    row = follow("data_set", write, command)
    assert row["data"] == "rings"
    assert row["val_accuracy"] > 0.95
    assert row["uniform_loss"] == pytest.approx(0.6931472)
    again = command(*page("data_set")[1][0], small=False)
    assert "done" in again.out
    assert len(results.read(STUDY)) == 1  # identified by its content


def test_columns_of_a_users_callback_are_in_the_row_as_its_page_says(write, command):
    row = follow("callback", write, command)
    assert row["largest_weight"] > 0
    assert row["grad_norm_pre_clip"] > 0  # the default callbacks still measure


def test_a_users_statistic_is_a_table_as_its_page_says(write, command):
    row = follow("statistic", write, command)
    table = results.table("gradient_means", STUDY)
    assert sorted(set(table["step"])) == [0, 10, 20, 30, 40, 50]
    assert set(table["layer"]) >= {"hidden.0.weight", "classifier.bias"}
    assert table["mean"].notna().all()
    assert 0 < row["gradient_means_percent"] < 100


def test_a_users_optimizer_trains_as_its_page_says(write, command):
    row = follow("optimizer", write, command)
    assert row["optimizer"] == "sign"
    assert row["val_loss"] < row["unigram_loss"]
    # every weight moves by lr, except those of pixels that are always 0
    assert 0.9 < row["update_norm"] / (1e-3 * row["parameters"] ** 0.5) <= 1


def test_a_users_schedule_sets_every_step_as_its_page_says(write, command):
    follow("schedule", write, command)
    rates = results.steps(STUDY)["lr"]
    assert rates[[0, 14, 59]].tolist() == pytest.approx([1e-2 / 15, 1e-2, 1e-2 / 2])


def test_pairs_and_exclusions_of_a_users_experiment_make_the_cells_that_its_page_says(
    write, command
):
    files, (arguments,) = page("../guides/sweeps")
    write(files)
    ended = command(*arguments, small=False)
    assert ended.code == 0, ended.err
    assert "\n9 of 9 cells would be trained" in ended.out


def test_a_users_experiment_sweeps_its_grid_as_its_page_says(write, command):
    files, (arguments,) = page("experiment")
    write(files)
    ended = command(*arguments, "workers=0", small=False)
    assert ended.code == 0, ended.err
    rows = results.read(Path("multirun", "widths"))
    assert set(rows["model"]) == {"mlp"}
    assert sorted(zip(rows["model.width"], rows["lr"], strict=True)) == [
        *((8, 1e-3), (8, 1e-2), (32, 1e-3), (32, 1e-2)),
    ]


def test_processes_of_a_pool_find_a_model_beside_the_command(folder, write, monkeypatch):
    files, (arguments,) = page("model")
    write(files)
    monkeypatch.setenv(NUMBER, "0")
    process = start("-m", *arguments, "workers=1")
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 0, err
    assert results.read(STUDY)["status"].tolist() == ["done"]


def test_every_page_is_short_and_in_the_index(write):
    index = (HOWTO / "README.md").read_text()
    pages = sorted(path.stem for path in HOWTO.glob("*.md") if path.stem != "README")
    assert set(PAGES.values()) <= set(pages)
    for name in pages:
        assert f"({name}.md)" in index
        prose = (HOWTO / f"{name}.md").read_text().split("```")[::2]  # between blocks of code
        assert len("".join(prose).splitlines()) <= 25


NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, *, inputs, outputs, length):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def losses(self, batch):
        return nn.functional.cross_entropy(self.linear(batch[0]), batch[1], reduction="none")
"""
DATA = """
import lightning as L
import torch
from scaling.contracts.sizes import Sizes
from scaling.datamodules.batches import Batches, InOrder

class Data(L.LightningDataModule):
    fingerprint = "noise"

    def __init__(self, *, batch, microbatches):
        super().__init__()
        self.microbatches = microbatches
        self.batches = Batches(lambda rows: (torch.randn(len(rows), 2), rows % 2),
                               order=torch.arange, examples=64, batch=batch, microbatches=1)

    def prepare(self):
        return Sizes(2, 2, 1)

    def columns(self):
        return {}

    def train_dataloader(self):
        return self.batches

    def val_dataloader(self):
        return InOrder(lambda rows: (torch.ones(4, 2), rows % 2), torch.arange(4), batch=4)
"""
LOG = """
import lightning as L
import torch

class Log(L.Callback):
    pass
"""
OPTIMIZER = """
import torch

def sgd(params, *, lr):
    return torch.optim.SGD(params, lr=lr)
"""
SCHEDULE = """
from torch.optim.lr_scheduler import ConstantLR

def flat(optimizer, *, steps, batch):
    return ConstantLR(optimizer)
"""
YAML = {
    "model": "_target_: mine.Net\n",
    "data": "_target_: mine.Data\nbatch: ${batch}\n"
    "microbatches: ${trainer.accumulate_grad_batches}\n",
    "callbacks": "mine:\n  _target_: mine.Log\n",
    "optimizer": "_target_: mine.sgd\n_partial_: true\nlr: ${lr}\n",
    "schedule": "_target_: mine.flat\n_partial_: true\n",
}
PYTHON = {
    "model": NET, "data": DATA, "callbacks": LOG, "optimizer": OPTIMIZER, "schedule": SCHEDULE,
}  # fmt: skip


def attempt(group: str, write, command, *, code: tuple[str, str] = ("", ""), yaml=("", "")):
    """Train with a user's part, after one replacement in its Python or YAML file."""
    assert code[0] in PYTHON[group]
    assert yaml[0] in YAML[group]
    write({
        "mine.py": PYTHON[group].replace(*code, 1),
        f"conf/{group}/mine.yaml": YAML[group].replace(*yaml, 1),
    })  # fmt: skip
    others = {"model": "model=mlp", "data": "data=digits"}
    typed = {group: f"{group}=mine"} | {k: v for k, v in others.items() if k != group}
    return command(CONF, *typed.values(), "steps=2", "batch=8", small=False)


def test_the_parts_are_valid_before_a_mistake_is_made(write, command):
    write({"mine.py": "".join(PYTHON.values())})
    write({f"conf/{group}/mine.yaml": content for group, content in YAML.items()})
    chosen = (f"{group}=mine" for group in PYTHON)
    ended = command(CONF, *chosen, "steps=2", "batch=8", small=False)
    assert ended.code == 0, ended.err
    (row,) = results.read(STUDY).to_dict("records")
    assert (row["model"], row["data"], row["optimizer"]) == ("mine", "mine", "mine")


NO_PARTIAL = ("_partial_: true\n", "")
LOSSES = ("def losses(self, batch)", "def loss(self, batch)")
PLAIN = {"yaml": ("mine.", "mine.")}  # nothing replaced
MISTAKES = {
    "misspelt class": (
        *("model", {"yaml": ("mine.Net", "mine.Nte")}),
        "model._target_=mine.Nte cannot be imported: /.*/mine.py has no Nte; did you mean Net",
    ),
    "misspelt module": (
        *("model", {"yaml": ("mine.Net", "mien.Net")}),
        "there is no module mien in the current folder or on PYTHONPATH; see docs/howto/model.md",
    ),
    "a module in place of a class": (
        *("model", {"yaml": ("mine.Net", "mine")}),
        "model._target_=mine must be the dotted name of a callable, not of a module",
    ),
    "a package that is not installed": (
        *("model", {"code": ("from torch", "import not_installed\nfrom torch")}),
        "mine.Net cannot be imported: ModuleNotFoundError: No module named 'not_installed'",
    ),
    "a tab in place of spaces": (
        *("model", {"yaml": ("_target_", "\t_target_")}),
        "found character .* that cannot start any token; in .*conf/model/mine.yaml",
    ),
    "a file that does not parse": (
        *("model", {"code": ("super().", "super(.")}),
        r"mine.Net cannot be imported: SyntaxError: .*\(mine.py, line 6\)",
    ),
    "an error in the file": (
        *("model", {"code": ("class Net", "1 / 0\nclass Net")}),
        "mine.Net cannot be imported: ZeroDivisionError: division by zero; see docs/howto/model.md",
    ),
    "no target": (
        *("model", {"yaml": ("_target_: mine.Net", "width: 3")}),
        "model._target_ is missing; see docs/howto/model.md",
    ),
    "an empty file": (
        *("model", {"yaml": (YAML["model"], "")}),
        "model._target_ is missing; see docs/howto/model.md",
    ),
    "a model that is built too late": (
        *("model", {"yaml": (".Net\n", ".Net\n_partial_: true\n")}),
        "model._partial_ must be left out; see docs/howto/model.md",
    ),
    "a model without losses": (
        *("model", {"code": LOSSES}),
        r"mine.Net has no losses\(batch\), which a run needs; see docs/howto/model.md",
    ),
    "a model without a size": (
        *("model", {"code": (", length", "")}),
        "model._target_=mine.Net has no parameter length, which a run sets; see docs/howto/model",
    ),
    "not a module": (
        *("model", {"code": ("(nn.Module)", "")}),
        "mine.Net must be a torch.nn.Module; see docs/howto/model.md",
    ),
    "data without members": (
        *("data", {"code": ("def columns", "def column")}),
        r"mine.Data has no columns\(\), which a run needs; see docs/howto/data_set.md",
    ),
    "data without identity": (
        *("data", {"code": ('fingerprint = "noise"', "")}),
        "mine.Data has no fingerprint, which a run needs; see docs/howto/data_set.md",
    ),
    "identity that is a method": (
        *("data", {"code": ('fingerprint = "noise"', 'def fingerprint(self): return "noise"')}),
        "mine.Data.fingerprint must be a property that gives text, not a method; see docs/",
    ),
    "data that cannot be read": (
        *("data", {"code": ('fingerprint = "noise"', "fingerprint = property(lambda s: s.x)")}),
        "mine.Data: AttributeError: 'Data' object has no attribute 'x'",
    ),
    "data without batches": (
        *("data", {"code": ("self.batches = Batches", "self.made = Batches")}),
        "mine.Data has no batches, which a run needs; see docs/howto/data_set.md",
    ),
    "batches that count nothing": (
        *("data", {"code": ("self.batches = Batches(", "self.batches = dict(rows=")}),
        r"mine.Data.batches has no smallest, updates\(epochs\), updates_for\(examples\), "
        r"examples\(updates\), which a run needs; see docs/howto/data_set.md",
    ),
    "sizes that are a tuple": (
        *("data", {"code": ("return Sizes(2, 2, 1)", "return 2, 2, 1")}),
        r"mine.Data.prepare\(\) must return Sizes, not tuple; see docs/howto/data_set.md",
    ),
    "data without validation": (
        *("data", {"code": ("def val_dataloader", "def validation")}),
        r"mine.Data has no val_dataloader\(\), which a run needs; see docs/howto/data_set.md",
    ),
    "not a datamodule": (
        *("data", {"code": ("(L.LightningDataModule)", "")}),
        "mine.Data must be a LightningDataModule .*; see docs/howto/data_set.md",
    ),
    "data of the other package": (
        *("data", {"code": ("import lightning", "import pytorch_lightning")}),
        r"must be a LightningDataModule \(import lightning, not pytorch_lightning\)",
    ),
    "data without a batch size": (
        *("data", {"yaml": ("batch: ${batch}\n", ""), "code": ("*, batch,", "*, batch=8,")}),
        r"data.batch is missing; write batch: \$\{batch\}; see docs/howto/data_set.md",
    ),
    "not a callback": (
        *("callbacks", {"code": ("(L.Callback)", "")}),
        "mine.Log must be a Callback .*; see docs/howto/callback.md",
    ),
    "a callback of the other package": (
        *("callbacks", {"code": ("import lightning", "import pytorch_lightning")}),
        r"must be a Callback \(import lightning, not pytorch_lightning\)",
    ),
    "a callback without a name": (
        *("callbacks", {"yaml": ("mine:\n  ", "")}),
        "callbacks._target_=mine.Log must be null, or have a _target_; see docs/howto/callback.md",
    ),
    "an optimizer too early": (
        *("optimizer", {"yaml": NO_PARTIAL}),
        "optimizer._partial_ must be true; a run sets params of mine.sgd; see docs/howto/optim",
    ),
    "an optimizer without lr": (
        *("optimizer", {"yaml": ("lr: ${lr}\n", ""), "code": ("*, lr", "*, lr=0.1")}),
        r"optimizer.lr is missing; write lr: \$\{lr\}; see docs/howto/optimizer.md",
    ),
    "not an optimizer": (
        *("optimizer", {"code": ("torch.optim.SGD(params, lr=lr)", "[lr]")}),
        "builtins.list must be a torch.optim.Optimizer; see docs/howto/optimizer.md",
    ),
    "a schedule too early": (
        *("schedule", {"yaml": NO_PARTIAL}),
        "schedule._partial_ must be true; a run sets optimizer of mine.flat; see docs/howto/sch",
    ),
    "not a schedule": (
        *("schedule", {"code": ("ConstantLR(optimizer)", "1.0")}),
        "builtins.float must be an LRScheduler of torch .*; see docs/howto/schedule.md",
    ),
    "a schedule that follows a loss": (
        *("schedule", {"code": ("ConstantLR\n", "ReduceLROnPlateau as ConstantLR\n")}),
        "ReduceLROnPlateau must be an LRScheduler of torch that depends on the step only",
    ),
    "a schedule of torch as it is": (
        *("schedule", {"yaml": ("mine.flat", "torch.optim.lr_scheduler.ConstantLR")}),
        "schedule._target_=torch.*ConstantLR has no parameter batch, which a run sets; see docs/",
    ),
}


def refused(ended, said: str) -> None:
    """The command ended with one line, before it wrote anything."""
    assert ended.code == 2, ended.err
    assert re.search(said, ended.err), ended.err
    assert ended.err.startswith("error: ")
    assert len(ended.err.strip().splitlines()) == 1
    assert not Path("multirun").exists()


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_a_part_is_one_message_with_its_page_before_anything_trains(
    case, write, command
):
    group, changes, said = MISTAKES[case]
    refused(attempt(group, write, command, **changes), said)


def test_data_are_checked_before_their_epochs_are_counted(write, command):
    write({
        "mine.py": DATA.replace("self.batches = Batches(", "self.batches = dict(rows="),
        "conf/data/mine.yaml": YAML["data"],
    })  # fmt: skip
    ended = command(CONF, "data=mine", "model=mlp", "epochs=1", "batch=8", small=False)
    refused(ended, r"mine.Data.batches has no smallest, updates\(epochs\)")


def test_an_option_without_a_file_is_refused_with_the_others_and_the_folder(write, command, folder):
    write({"conf/models/mine.yaml": "_target_: mine.Net\n"})
    options = "model=mine must be one of gru, mlp, nano_transformer, tcn, two_layer; "
    refused(
        command(CONF, "model=mine", small=False),
        f"{options}there is no model/mine.yaml in {folder}/conf; see docs/howto/model.md",
    )
    refused(
        command("model=mine", small=False),
        f"{options}for a file of your own use --config-dir, see docs/howto/README.md",
    )


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("", "conf/experiment/odd.yaml must begin with `# @package _global_`, because its keys"),
        (
            "# @package _global_\ndefaults: [{model: mine}]",
            "experiment/odd.yaml must choose model=mine by `override /model: mine`",
        ),
        (
            "# @package _global_\ndefaults: [override /model: mnie]",
            "there is no model/mnie.yaml in",
        ),
    ],
)
def test_an_experiment_that_hydra_refuses_gets_a_remedy(write, command, head, said):
    write({
        "conf/model/mine.yaml": YAML["model"],
        "conf/experiment/odd.yaml": f"{head}\nstudy: odd\n",
    })  # fmt: skip
    refused(command(CONF, "experiment=odd", small=False), said)


@pytest.mark.parametrize(
    "flags", [("-cd", "mine"), ("--config-dir", "mine"), ("-m", "-cd", "mine")]
)
def test_an_experiment_without_its_first_line_is_named_with_its_folder(write, command, flags):
    write({"mine/experiment/odd.yaml": "study: odd\n"})
    ended = command(*flags, "experiment=odd", small=False)
    refused(ended, "error: mine/experiment/odd.yaml must begin with `# @package _global_`")


def test_a_folder_with_another_name_than_its_group_is_refused(write, command):
    write({"conf/models/mine.yaml": YAML["model"]})
    refused(
        command(CONF, "models=mine", small=False),
        "models is not a config group; did you mean model?",
    )
    refused(command(CONF, "+models=mine", small=False), "models is an unknown key; did you mean")


def test_an_option_of_hydras_own_groups_is_refused_with_the_others(command, folder):
    said = r"hydra/launcher=slrum must be one of .* \(did you mean slurm\?\); others need"
    refused(command("-m", "hydra/launcher=slrum", small=False), said)


def test_a_folder_that_is_missing_or_replaces_the_packages_is_refused(write, command, folder):
    refused(command("--config-dir=cnf", small=False), f"'{folder}/cnf' not found")
    write({"conf/model/mine.yaml": "_target_: mine.Net\n"})
    refused(
        command(f"--config-path={folder}/conf", "model=mine", small=False),
        "--config-dir adds your folder to that of this package, --config-path replaces it",
    )


def test_a_file_that_would_not_be_read_is_refused(write, command, folder):
    write({"conf/model/mlp.yaml": "_target_: mine.Net\n", "mine.py": NET})
    said = f"{folder}/conf/model/mlp.yaml would not be read, because this package also has a mod"
    refused(command(CONF, "model=mlp", small=False), said)
    refused(command("-m", CONF, "model=mlp", "lr=1e-3,1e-2", small=False), said)


def test_a_mean_in_place_of_losses_fails_at_the_first_step_and_says_so(write, command):
    ended = attempt("model", write, command, code=('reduction="none"', 'reduction="mean"'))
    assert ended.code == 1
    (row,) = results.read(STUDY).to_dict("records")
    assert row["status"] == "failed"
    assert row["steps"] == 0
    assert "mine.Net.losses(batch) must return one loss per example" in row["error"]


def test_a_column_may_be_a_tensor_of_one_element(write, command):
    columns = "def columns(self): return {'third': torch.tensor(1) / 3}"
    ended = attempt("callbacks", write, command, code=("pass", columns))
    assert ended.code == 0, ended.err
    assert results.read(STUDY)["third"].tolist() == pytest.approx([1 / 3])


ADAPTED = ("data=flows", "adaptation=entropy", "federation=default", "batch=64", "epochs=1")


def test_a_model_that_cannot_be_a_source_is_refused_before_it_is_trained(write, command):
    write(
        {
            "bare.py": "from torch import nn\n\n\nclass Bare(nn.Module):\n"
            "    def __init__(self, *, inputs, outputs, length):\n"
            "        super().__init__()\n        self.head = nn.Linear(inputs, outputs)\n\n"
            "    def logits(self, windows):\n        return self.head(windows.mean(dim=1))\n",
            "conf/model/bare.yaml": "_target_: bare.Bare\n",
        }
    )
    ended = command(
        "--config-dir=conf", "model=bare", *ADAPTED, "adaptation.adapt=all", "dry_run=true",
        small=False,
    )  # fmt: skip
    assert ended.code == 2
    assert "bare.Bare has no losses_and_logits(batch), losses(batch), which a run" in ended.err
    assert "docs/howto/model.md" in ended.err


def test_data_without_a_query_are_refused():
    with pytest.raises(
        ValueError, match=r"has no query, clients, source, check_growth\(steps\), scores"
    ):
        required(object(), QueryData, "data")
