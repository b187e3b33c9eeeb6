"""Root keys, their limits, and when two configs are the same run."""

import copy
import math

import pytest

from scaling.config import checks, identity, schema

PLAIN = {
    "study": "scratch",
    "batch": 32,
    "lr": 0.001,
    "clip": 1.0,
    "seed": 0,
    "steps": None,
    "epochs": None,
    "examples": None,
    "default_steps": 300,
    "resume": "missing",
    "fail_fast": False,
    "dry_run": False,
    "workers": None,
    "save_every": 30.0,
    "threads": None,
    "threads_from": 1e8,
    "model": {"_target_": "m", "d_model": 64, "dropout": 0.0},
    "data": {"_target_": "d", "path": None, "batch": 32, "microbatches": None, "workers": 2},
    "optimizer": {"_target_": "o", "lr": 0.001},
    "schedule": {"_target_": "s"},
    "callbacks": {},
    "trainer": {"_target_": "t", "accelerator": "auto", "devices": 1, "precision": "32-true"},
    "logger": {"_target_": "l"},
    "adaptation": None,
    "federation": None,
}


def plain(**changes) -> dict:
    """PLAIN with changes; a double underscore stands for the dot of a group's key."""
    settings = copy.deepcopy(PLAIN)
    for key, value in changes.items():
        group, _, inner = key.partition("__")
        if inner:
            settings[group][inner] = value
        else:
            settings[group] = value
    return settings


def digest(fingerprint: str = "text", **changes) -> str:
    return identity.digest(identity.canonical(plain(**changes), fingerprint))


@pytest.mark.parametrize(
    "same",
    [
        {"study": "other"},
        {"resume": "all", "fail_fast": True, "dry_run": True, "workers": 3, "save_every": 0.0},
        {"logger": None},
        {"threads": 2, "threads_from": 0.0},
        {"lr": 0.001 + 1e-17},
        {"clip": 1},
        {"model__dropout": 0},
        {"steps": 300},
        {"steps": 300, "default_steps": 7},
        {"data__path": "elsewhere/text.txt"},
        {"data__workers": 0},
        {"trainer__accelerator": "gpu", "trainer__devices": "1"},
    ],
    ids=str,
)
def test_what_cannot_change_a_result_is_not_part_of_the_identity(same):
    assert digest(**same) == digest()


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"clip": 2.0},
        {"clip": math.inf},
        {"default_steps": 301},
        {"epochs": 300},
        {"examples": 300},
        {"model__d_model": 65},
        {"model__new": None},
        {"callbacks": {"x": {"every": 1}}},
        {"schedule": {"_target_": "other"}},
        {"trainer__precision": "bf16-mixed"},
        {"fingerprint": "other text"},
        {"adaptation": {"adapt": "all"}},
        {"federation": {"rounds": 1}},
    ],
    ids=str,
)
def test_what_can_change_a_result_changes_the_identity(other):
    assert digest(**other) != digest()


def test_null_clip_is_infinite_clip():
    assert digest(clip=None) == digest(clip=math.inf) != digest()


def test_the_order_of_keys_does_not_matter():
    turned = {key: plain()[key] for key in reversed(plain())}
    assert identity.digest(identity.canonical(turned, "text")) == digest()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("batch", 0, "batch=0 must be at least 1"),
        ("lr", -1.0, "lr=-1.0 must be positive"),
        ("lr", 0.0, "lr=0.0 must be positive"),
        ("lr", math.inf, "lr=inf must be positive and finite"),
        ("lr", math.nan, "lr=nan must be positive"),
        ("clip", 0.0, "clip=0.0 must be positive; clip=inf turns clipping off"),
        ("clip", math.nan, "clip=nan must be positive"),
        ("seed", -1, "seed=-1 must be a whole number from 0"),
        ("steps", 0, "steps=0 must be at least 1"),
        ("epochs", -1, "epochs=-1 must be at least 1"),
        ("examples", 0, "examples=0 must be at least 1"),
        ("study", "../up", r"study=\.\./up must be a folder name"),
        ("study", ".sweeps", "must be a folder name"),
        ("resume", "some", "resume=some must be one of missing, failed, all"),
        ("workers", -1, "workers=-1 must be a number of processes"),
        ("save_every", -1.0, "save_every=-1.0 must be a number of seconds"),
        ("optimizer__lr", 0.1, "optimizer.lr=0.1 must be lr=0.001; set lr instead"),
        ("data__microbatches", 2, "data.microbatches=2 must be trainer.accumulate_grad_batches"),
        ("trainer__check_val_every_n_epoch", 0, "trainer.check_val_every_n_epoch=0 must be at"),
        ("trainer__devices", 2, "trainer.devices=2 must be 1"),
        ("data__batch", 8, "data.batch=8 must be batch=32; set batch instead"),
    ],
)
def test_an_invalid_value_is_refused_with_its_key_and_remedy(key, value, said):
    with pytest.raises(ValueError, match=said):
        checks.check(plain(**{key: value}))


def test_two_durations_are_refused_with_the_way_out():
    with pytest.raises(ValueError, match="steps=5 and epochs=2 .* set steps=null or epochs=null"):
        checks.check(plain(steps=5, epochs=2))


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed", "16", 16])
def test_a_fused_optimizer_is_refused_where_lightning_would_not_clip_for_it(precision):
    mixed = {"trainer__precision": precision, "optimizer__fused": True}
    with pytest.raises(ValueError, match="needs optimizer.fused=false"):
        checks.check(plain(**mixed))
    checks.check(plain(**mixed, clip=None))
    checks.check(plain(**mixed | {"optimizer__fused": False}))


def test_the_duration_in_force():
    assert schema.protocol(plain()) == ("steps", 300)
    assert schema.protocol(plain(examples=64)) == ("examples", 64)


ADAPTING = {
    "data": {"fold": 0, "train_on": "query"},
    "adaptation": {"adapt": "norm", "objective": {"weight": 0.0}},
    "federation": {"rounds": 15, "backend": "in_process"},
}


def test_what_changes_a_source_or_its_adaptation_changes_the_identity():
    def of(**changes):
        return digest(**ADAPTING | changes)

    assert of(federation={"rounds": 15, "backend": "ray"}) == of()
    assert of(federation={"rounds": 16, "backend": "in_process"}) != of()
    assert of(adaptation={"adapt": "norm", "objective": {"weight": 1.0}}) != of()
    assert of(data={"fold": 1, "train_on": "query"}) != of()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adaptation": None, "federation": None}, "data.train_on=query needs an adaptation"),
        ({"adaptation": None}, "federation trains the source model of an adaptation, but adaptat"),
        ({"federation": None}, "adaptation needs a federation, such as federation=default"),
        ({"data": {"path": None}}, "adaptation needs data with a query"),
        ({"data": {"fold": 0, "train_on": "source"}}, "data.train_on=source must be query with"),
        ({"trainer": {"precision": "16-mixed"}}, "trainer.precision=16-mixed must be 32-true"),
        ({"trainer": {"precision": "64-true"}}, "trainer.precision=64-true must be 32-true"),
        ({"trainer": {"precision": "bf16-true"}}, "trainer.precision=bf16-true must be 32-true"),
        ({"trainer": {"check_val_every_n_epoch": 2}}, "every_n_epoch=2 must be 1 with an adaptat"),
    ],
)
def test_groups_that_do_not_go_together_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        checks.check_groups(plain(**ADAPTING | changes))


def test_groups_that_go_together_pass():
    checks.check_groups(plain())
    checks.check_groups(plain(**ADAPTING))


def test_runs_without_adaptation_keep_the_identity_that_they_had_before_there_was_one():
    canonical = identity.canonical(plain(), "text")
    assert not {"adaptation", "federation"} & canonical.keys()
