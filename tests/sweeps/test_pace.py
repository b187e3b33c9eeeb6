"""The rest of a sweep is predicted from the cells that ended."""

import itertools

import pytest

from scaling.config.cell import Cell
from scaling.storage.run_state import RunState
from scaling.sweeps.pace import Pace, Size, time_left

DONE = RunState("done")
numbers = itertools.count()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def cell(**typed) -> Cell:
    """A cell with a folder of its own."""
    overrides = tuple(f"{key}={value}" for key, value in typed.items())
    name = f"run-{next(numbers)}"
    return Cell({"study": "scratch"}, {}, overrides, {}, "", name, name)


def paced(todo, workers, clock) -> Pace:
    """A pace of cells with so many examples, all of 10 steps, or with a `Size`."""
    sizes = [n if isinstance(n, Size) else Size(n, 10) for _, n in todo]
    return Pace([(one, size) for (one, _), size in zip(todo, sizes, strict=True)], workers, clock)


def sweep(todo, workers, seconds, clock) -> dict[int, tuple[float, bool] | None]:
    """Predictions after each end, of workers that take cells in order; `seconds` of a cell."""
    pace = paced(todo, workers, clock)
    free = [0.0] * workers
    ends = []
    for one, examples in todo:
        worker = min(range(workers), key=lambda i: free[i])
        free[worker] += seconds(one, examples)
        ends.append((free[worker], one))
    predictions = {}
    for number, (at, one) in enumerate(sorted(ends, key=lambda pair: pair[0]), start=1):
        clock.now = at
        pace.end(one, DONE)
        predictions[number] = pace.left({})
    return predictions


def test_cells_of_one_size_take_as_long_as_those_that_ended():
    clock = Clock()
    todo = [(cell(lr=lr, seed=0), 640) for lr in range(8)]
    predictions = sweep(todo, 1, lambda *_: 10.0, clock)
    assert predictions[1] == (70.0, True)  # the first waited for imports
    assert predictions[2] == (60.0, False)
    assert predictions[7] == (10.0, False)
    assert predictions[8] is None


def test_the_start_of_workers_is_no_part_of_a_cell():
    todo = [(cell(seed=seed), 640) for seed in range(10)]
    late = {one.folder for one, _ in todo[:2]}
    predictions = sweep(todo, 2, lambda one, _: 10.0 + 30.0 * (one.folder in late), Clock())
    assert predictions[4] == (30.0, False)


def test_sizes_that_have_not_been_trained_are_on_the_line_through_two_that_have():
    todo = [
        (cell(batch=batch, seed=seed), 100 * batch) for batch in (64, 32, 16) for seed in (0, 1)
    ]
    predictions = sweep(todo, 1, lambda _, examples: 2.0 + examples / 100, Clock())
    assert predictions[2] == (66.0 * 4, True)  # nothing smaller has ended
    assert predictions[4] == (pytest.approx(18.0 * 2), False)


def test_a_prediction_of_a_small_cell_never_falls_below_its_share_of_examples():
    times = {64: 64.0, 32: 10.0, 16: 5.0}  # a line would give -17 s for 16
    todo = [(cell(batch=batch, seed=seed), batch) for batch in times for seed in (0, 1)]
    predictions = sweep(todo, 1, lambda _, examples: times[examples], Clock())
    assert predictions[4] == (10.0, False)


def test_larger_cells_take_at_most_their_share_of_examples():
    todo = [(cell(batch=batch, seed=seed), batch) for batch in (8, 16) for seed in (0, 1)]
    predictions = sweep(todo, 1, lambda _, examples: 2.0 + examples, Clock())
    assert predictions[2] == (40.0, True)  # it will take 36
    assert predictions[3] == (18.0, False)


def test_cells_with_equal_examples_take_the_time_of_their_steps():
    sizes = {batch: Size(9_600, 9_600 // batch) for batch in (128, 32, 8)}
    todo = [(cell(batch=batch, seed=seed), sizes[batch]) for batch in sizes for seed in (0, 1)]
    predictions = sweep(todo, 1, lambda _, size: 1.0 + size.steps / 100, Clock())
    left, bound = predictions[2]
    assert bound
    assert left >= 2 * (1 + 3) + 2 * (1 + 12)
    assert predictions[4] == (pytest.approx(2 * (1 + 12)), False)
    shuffled = paced(todo[::-1], 1, Clock())
    ordered = [one.overrides[0] for one in shuffled.longest_first([one for one, _ in todo])]
    assert ordered == ["batch=8", "batch=8", "batch=32", "batch=32", "batch=128", "batch=128"]


def test_nothing_is_predicted_for_another_model_before_one_of_its_cells_ended():
    todo = [(cell(**{"model.layers": n, "seed": s}), 640) for n in (4, 2) for s in (0, 1, 2)]
    predictions = sweep(todo, 1, lambda *_: 10.0, Clock())
    assert predictions[3] is None
    assert predictions[4] == (20.0, False)


def test_what_running_cells_have_done_is_taken_off_but_the_last_cell_still_ends_alone():
    clock = Clock()
    todo = [(cell(seed=seed), 640) for seed in range(6)]
    pace = paced(todo, 2, clock)
    for one, _ in todo[:4]:
        clock.now += 5.0
        pace.end(one, DONE)
    last, other = (one.folder for one, _ in todo[4:])
    assert pace.left({}) == (10.0, False)
    assert pace.left({last: 0.5, other: 0.25}) == (7.5, False)
    assert pace.left({last: 1.0}) == (10.0, False)


def test_failed_cells_say_nothing_of_the_others():
    clock = Clock()
    todo = [(cell(seed=seed), 640) for seed in range(3)]
    pace = paced(todo, 1, clock)
    clock.now = 1.0
    pace.end(todo[0][0], RunState("failed"))
    assert pace.left({}) is None
    assert pace.ended == 1


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (None, ""),
        ((0.2, False), "about 1 s left"),
        ((41.0, False), "about 45 s left"),
        ((121.0, False), "about 2 min 30 s left"),
        ((59.0, True), "at most 1 min 00 s left"),
    ],
)
def test_a_prediction_has_no_more_digits_than_it_is_worth(left, said):
    assert time_left(left) == said
