"""Learning rates of a run, step by step."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch

from scaling.optim import schedules


def rates(schedule, steps=20, batch=8, **settings) -> list[float]:
    """The factor in use at each step."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=2.0)
    plan = schedule(optimizer, steps=steps, batch=batch, **settings)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"] / 2.0)
        optimizer.step()
        plan.step()
    return seen


WARM = {"warmup_steps": 4, "warmup_examples": None}
cosine = partial(schedules.warmup_cosine, final=0.1)
stable = partial(schedules.warmup_stable_decay, decay=0.5, final=0.0)


def test_constant_is_constant():
    assert rates(schedules.constant) == [1.0] * 20


def test_cosine_rises_in_a_line_and_falls_to_its_end():
    seen = rates(cosine, **WARM)
    assert seen[:4] == [0.25, 0.5, 0.75, 1.0]
    assert seen[4] == 1.0
    assert seen[-1] == pytest.approx(0.1)
    halfway = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 8 / 15))
    assert seen[12] == pytest.approx(halfway)
    assert all(a >= b for a, b in pairwise(seen[4:]))


def test_stable_is_flat_and_then_falls_in_a_line():
    seen = rates(stable, **WARM)
    assert seen[:4] == [0.25, 0.5, 0.75, 1.0]
    assert seen[3:10] == [1.0] * 7
    assert seen[10:] == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0])


@pytest.mark.parametrize("schedule", [cosine, stable])
def test_a_warm_up_in_examples_is_shorter_for_larger_batches(schedule):
    warm = {"warmup_steps": None, "warmup_examples": 64}
    assert rates(schedule, batch=16, **warm)[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates(schedule, batch=32, **warm)[:3] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize("schedule", [cosine, stable])
def test_no_warm_up_begins_at_the_peak(schedule):
    assert rates(schedule, warmup_steps=0, warmup_examples=None)[0] == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"warmup_steps": 20}, "warmup_steps=20 is a warm-up of 20 steps in a run of 20"),
        ({"warmup_examples": 800}, "warmup_examples=800 is a warm-up of 100 steps in a run of 20"),
        ({"warmup_steps": -1}, "must not be negative"),
        ({}, "give one of them"),
        ({"warmup_steps": 1, "warmup_examples": 8}, "give one of them"),
        ({"warmup_steps": 1, "final": 1.5}, "final=1.5 must lie between 0 and 1"),
    ],
)
@pytest.mark.parametrize("schedule", [cosine, stable])
def test_an_invalid_schedule_is_refused(schedule, settings, message):
    with pytest.raises(ValueError, match=message):
        rates(schedule, **{"warmup_steps": None, "warmup_examples": None} | settings)


def test_warm_up_and_decay_must_fit_into_the_run():
    with pytest.raises(ValueError, match="too many for a warm-up of 15"):
        rates(stable, warmup_steps=15, warmup_examples=None)
    with pytest.raises(ValueError, match=r"decay=1.5 must lie"):
        rates(stable, **WARM, decay=1.5)


def test_a_warm_up_of_less_than_half_a_step_is_one_step():
    settings = {"steps": 10, "batch": 32, "final": 0.0, "warmup_steps": None}
    given = rates(schedules.warmup_cosine, **settings, warmup_examples=15)
    assert given == rates(schedules.warmup_cosine, **settings, warmup_examples=32)
    assert given != rates(schedules.warmup_cosine, **settings, warmup_examples=0)


def test_a_schedule_that_never_decays_lasts_to_the_step_after_the_last():
    settings = {"warmup_steps": 2, "warmup_examples": None, "decay": 0.0, "final": 0.0}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = schedules.warmup_stable_decay(optimizer, steps=5, batch=1, **settings)
    factors = [schedule.lr_lambdas[0](step) for step in range(6)]
    assert factors == [0.5, 1, 1, 1, 1, 1]
