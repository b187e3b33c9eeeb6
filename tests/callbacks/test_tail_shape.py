"""Tails of gradients against a loop written by hand, and weights that do not change."""

import re
from functools import partial
from pathlib import Path

import lightning as L
import numpy as np
import pandas as pd
import pytest
import torch
from fits import fit, module, text

from scaling.callbacks.gradient_norms import GradientNorms
from scaling.callbacks.tail_shape import TailShape, judged, shared_out
from scaling.gradients.tails import tail_shape
from scaling.storage.tables import read_parts

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "tails.md"
SGD = partial(torch.optim.SGD, lr=0.1)
GROUPS = {"attention": "qkv|out", "ffn": r"\.(up|down)\."}
HILLS = ["hill_1", "hill_5", "hill_10", "hill_20"]


def callback(**changed) -> TailShape:
    settings = {"every": 14, "draws": 11, "values": 1_000, "groups": GROUPS, "flush_every": 4}
    return TailShape(**settings | changed)


def measured(folder, steps=28, callbacks=(), microbatches=1, watching=None, **settings):
    learner = module(SGD)
    fit(
        learner,
        text(microbatches),
        folder,
        [watching or callback(), *callbacks],
        max_steps=steps,
        accumulate_grad_batches=microbatches,
        **settings,
    )
    return read_parts(folder / "tails"), learner


def gradients(steps: int) -> list[dict[str, np.ndarray]]:
    """Every gradient of the same fit, by a plain loop."""
    learner, data = module(SGD), text()
    data.prepare()
    stepper = learner.configure_optimizers()["optimizer"]
    seen = []
    for _, batch in zip(range(steps), data.train_dataloader(), strict=False):
        stepper.zero_grad()
        learner.net.losses(batch).mean().backward()
        seen.append({n: p.grad.numpy().copy().ravel() for n, p in learner.net.named_parameters()})
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 0.1)
        stepper.step()
    return seen


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> pd.DataFrame:
    """Tails of all coordinates: the sample is larger than the net."""
    watching = callback(values=10**6, draws=10, every=20)
    folder = tmp_path_factory.mktemp("whole")
    return measured(folder, 10, watching=watching, gradient_clip_val=0.1)[0]


def test_a_group_has_the_tails_of_its_gradients_before_clipping(whole):
    steps = gradients(10)
    groups = {
        "all": steps[0],
        "attention": [n for n in steps[0] if "qkv" in n or "out" in n],
        "ffn": [n for n in steps[0] if ".up." in n or ".down." in n],
        "embedding": ["embedding.weight", "positions.weight"],
        "norm": [n for n in steps[0] if "norm" in n],
    }
    assert set(whole["group"]) == set(groups)
    norms = [np.sqrt(sum((g**2).sum() for g in step.values())) for step in steps]
    factors = np.minimum(1, 0.1 / (np.array(norms) + 1e-6))[:, None]
    assert factors.max() < 1
    for name, layers in groups.items():
        table = np.stack([np.concatenate([step[layer] for layer in layers]) for step in steps])
        of_group = whole[whole["group"] == name].set_index(["axis", "clipped"])
        assert len(of_group) == 3
        for key, values in {
            ("coordinates", False): table[0],
            ("time", False): table,
            ("time", True): factors * table,
        }.items():
            row = of_group.loc[key]
            shape = tail_shape(values)
            assert (row["verdict"], row["values"]) == (shape.verdict, shape.values)
            assert (row["zeros"], row["draws"]) == (shape.zeros, shape.draws)
            want = [shape.shape, shape.excess_kurtosis, shape.degrees, shape.preference]
            got = [row[k] for k in ("shape", "excess_kurtosis", "degrees", "preference")]
            np.testing.assert_allclose(got, want, rtol=0.02, atol=1e-4)
            np.testing.assert_allclose(
                [row[name] for name in HILLS],
                [hill.index for hill in shape.hill.values()],
                rtol=0.02,
            )


def test_windows_begin_at_regular_steps_and_are_as_long_as_asked(tmp_path):
    table, _ = measured(tmp_path)
    each = table[table["group"] == "all"]
    assert each["step"].tolist() == [0, 0, 14, 14]
    assert each["axis"].tolist() == ["coordinates", "time"] * 2
    assert each["draws"].tolist() == [0, 11, 0, 11]
    assert (each[each["axis"] == "coordinates"]["values"] + each["zeros"].iloc[0] >= 900).all()
    assert (each["values"] <= 1_000).all()


def test_a_window_that_ends_early_is_judged_by_the_draws_that_it_has(tmp_path):
    table, _ = measured(tmp_path, steps=10, watching=callback(draws=14))
    assert set(table[table["axis"] == "time"]["draws"]) == {10}
    short, _ = measured(tmp_path / "short", steps=4)
    time = short[short["axis"] == "time"]
    assert set(time["verdict"]) == {"not judged"}
    assert time["reason"].str.contains("a table of 4 draws").all()
    assert time["shape"].isna().all()


def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path):
    whole, _ = measured(tmp_path / "whole", steps=11)
    parts, _ = measured(tmp_path / "parts", steps=11, microbatches=4)
    np.testing.assert_allclose(parts["shape"], whole["shape"], rtol=1e-2)
    assert parts["verdict"].tolist() == whole["verdict"].tolist()


def test_a_resumed_fit_records_the_same_table(tmp_path):
    whole, _ = measured(tmp_path / "whole", steps=20)

    class Save(L.Callback):
        def on_train_batch_end(self, trainer, *rest):
            if trainer.global_step == 7:
                trainer.save_checkpoint(tmp_path / "at_7.ckpt")

    fit(module(SGD), text(), tmp_path / "cut", [callback(), Save()], max_steps=7)
    again = module(SGD)
    trainer = L.Trainer(
        accelerator="cpu", callbacks=[callback()], default_root_dir=str(tmp_path / "cut"),
        logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, max_steps=20, max_epochs=-1,
    )  # fmt: skip
    trainer.fit(again, text(), ckpt_path=tmp_path / "at_7.ckpt")
    pd.testing.assert_frame_equal(read_parts(tmp_path / "cut" / "tails"), whole)


def test_weights_are_bit_identical_with_and_without_it(tmp_path):
    _, with_it = measured(tmp_path / "with", callbacks=[GradientNorms(flush_every=5)])
    alone = module(SGD)
    fit(alone, text(), tmp_path / "without", max_steps=28)
    for ours, theirs in zip(with_it.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


class Plain(L.LightningModule):
    """A module that knows nothing of this project."""

    def __init__(self, sparse: bool = False):
        super().__init__()
        self.embedding = torch.nn.Embedding(40, 30, sparse=sparse)
        self.head = torch.nn.Linear(30, 40)

    def training_step(self, batch, batch_idx):
        return torch.nn.functional.cross_entropy(self.head(self.embedding(batch)), batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        draws = torch.Generator().manual_seed(0)
        return torch.utils.data.DataLoader(torch.randint(40, (96,), generator=draws), 4)


def test_the_lines_of_the_reference_record_tails_of_any_module(tmp_path, monkeypatch):
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    lines = code.replace("max_steps=1000", "max_steps=12, **settings").replace("50", "12")
    monkeypatch.chdir(tmp_path)
    quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    settings = {"accumulate_grad_batches": 2, "precision": "bf16-mixed", "accelerator": "cpu"}
    made = {"settings": settings | dict.fromkeys(quiet, False)}
    exec(lines, made)
    made["trainer"].fit(Plain())
    table = read_parts(tmp_path / "tails")
    assert set(table["group"]) == {"all", "embedding", "weight", "bias"}
    assert table[(table["group"] == "embedding") & (table["axis"] == "coordinates")]["zeros"].all()
    assert set(table[table["axis"] == "time"]["draws"]) == {12}


def test_sparse_gradients_are_refused_in_one_line(tmp_path):
    with pytest.raises(ValueError, match="sparse=False") as error:
        fit(Plain(sparse=True), None, tmp_path, [callback()])
    assert len(str(error.value).splitlines()) == 1


def test_gradients_that_are_not_finite_are_not_judged():
    row = judged(np.full(200, np.nan), "coordinates")
    assert row["verdict"] == "not judged"
    assert "200 of 200 values are not finite" in row["reason"]


def test_a_sample_is_shared_out_by_the_sizes_of_the_tensors():
    sizes = np.array([4_000, 1_000, 15_000, 3])
    shared = shared_out(sizes, 2_000)
    assert shared.sum() == 2_000
    assert (np.abs(shared - 0.1 * sizes) <= 1).all()
    assert shared_out(sizes, 10**6).tolist() == sizes.tolist()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"every": 0}, "every=0 must be at least 1"),
        ({"draws": 9}, "draws=9 must be at least 10"),
        ({"draws": 15}, "draws=15 must be at most every=14"),
        ({"values": 99}, "values=99 must be at least 100"),
        ({"flush_every": 0}, "flush_every=0 must be at least 1"),
        ({"groups": {"a": "("}}, "has a damaged expression"),
    ],
)
def test_values_out_of_range_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        callback(**changed)


def test_a_run_without_a_complete_window_is_refused():
    callback(draws=12).check_steps(12)
    with pytest.raises(ValueError, match="draws=12 must be at most 11, .*; set draws=11, or train"):
        callback(draws=12).check_steps(11)
    with pytest.raises(ValueError, match="set draws=10, and train for 10 steps or more"):
        callback(draws=12).check_steps(9)
