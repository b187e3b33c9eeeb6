"""Short names of runs have what varies, are unique, and sort by number."""

from scaling.reporting.run_names import short_names

DIGEST = "0123456789ab"


def run(batch=8, lr="0.001", clip="1", seed=0, digest=DIGEST) -> str:
    return f"batch={batch},lr={lr},clip={clip},seed={seed}-{digest}"


def names(*runs: str, planned=()) -> list[str]:
    return short_names(runs, [{}] * len(runs), planned)


def test_a_name_has_only_what_varies():
    assert names(run(8, "0.003"), run(128, "0.001")) == ["b008 lr3e-3", "b128 lr1e-3"]
    assert names(run(seed=0), run(seed=1)) == ["s0", "s1"]
    assert names(run(8, "0.003")) == ["b8 lr3e-3 c1 s0"]
    assert names(run(8, "0.003"), planned=[run(128, "0.003")]) == ["b008"]  # begins later


def test_numbers_sort_as_text():
    shown = names(
        run(16, "0.01", "0.25", 2), run(8, "3e-05", "inf", 11), run(8, "0.001", "10"),
        run(8, "0.001", "0.25", 11),
    )  # fmt: skip
    assert shown == [
        *("b16 lr0.01 c00.25 s02", "b08 lr0.00003 cinf s11"),
        *("b08 lr0.001 c10 s00", "b08 lr0.001 c00.25 s11"),
    ]
    assert [shown.index(name) for name in sorted(shown)] == [1, 3, 2, 0]


def test_learning_rates_of_several_powers_of_ten_have_the_form_that_sorts():
    assert names(run(lr="0.001"), run(lr="0.00316228")) == ["lr1e-3", "lr3.16228e-3"]
    assert names(run(lr="0.001"), run(lr="0.002"), run(lr="0.01")) == [
        "lr0.001",
        "lr0.002",
        "lr0.01",
    ]
    assert names(run(lr="1"), run(lr="0.5")) == ["lr1", "lr0.5"]


def test_small_clips_sort_before_no_clipping():
    assert names(run(clip="0.01"), run(clip="inf")) == ["c0.01", "cinf"]
    assert names(run(clip="0.05"), run(clip="0.5"), run(clip="inf")) == ["c0.05", "c0.5", "cinf"]


def test_other_settings_that_vary_have_the_last_part_of_their_key():
    runs = [run(digest=f"{i:012d}") for i in range(3)]
    settings = [
        {"settings/optimizer": "adamw", "settings/model/layers": 2, "clip_on": 1},
        {"settings/optimizer": "sgd", "settings/model/layers": 12, "clip_on": 0},
        {"settings/optimizer": "sgd", "settings/model/layers": 2, "settings/data/layers": 1},
    ]
    assert short_names(runs, settings) == [
        *("optimizer=adamw layers=02", "optimizer=sgd layers=12", "optimizer=sgd layers=02")
    ]
    settings[0]["settings/data/layers"] = 2
    assert short_names(runs, settings)[0] == (
        "optimizer=adamw settings.model.layers=02 settings.data.layers=2"
    )


def test_a_setting_that_follows_the_seed_is_not_repeated():
    settings = [{"settings/data/population/seed": seed} for seed in (0, 1)]
    assert short_names([run(seed=0), run(seed=1)], settings) == ["s0", "s1"]


def test_a_setting_that_follows_from_the_option_of_its_group_is_not_repeated():
    pydoc = {"settings/data": "pydoc", "settings/data/source": "pydoc"}
    text = {"settings/data": "text", "settings/data/source": "files"}
    settings = [pydoc | {"settings/data/context": 64}, text, {"settings/data": "random_tokens"}]
    runs = [run(digest=f"{i:012d}") for i in range(3)]
    assert short_names(runs, settings) == ["data=pydoc", "data=text", "data=random_tokens"]
    settings[1] = pydoc | {"settings/data/context": 128}
    assert short_names(runs, settings) == [
        *("data=pydoc context=064", "data=pydoc context=128", "data=random_tokens")
    ]


def test_equal_names_get_the_digest_and_other_folders_keep_their_names():
    assert names(run(), run(digest="f" * 12), "_sweep") == [
        *(f"b8 lr1e-3 c1 s0 {DIGEST}", f"b8 lr1e-3 c1 s0 {'f' * 12}", "_sweep")
    ]
