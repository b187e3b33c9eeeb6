"""The noise scale against closed forms, and its interval against a known distribution."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import scaling
from scaling.gradients.noise_scale import FEWEST, noise_and_signal

ZIPF = 1 / np.arange(1, 28)
ZIPF /= ZIPF.sum()


def softmax_probes(q: np.ndarray, *, big: int, probes: int) -> dict:
    """Probes of a softmax with only a bias, at zero logits, on tokens drawn from q.

    The gradient of a token's loss is 1 / V minus its one-hot vector.
    """
    counts = np.random.default_rng(0).multinomial(big, q, size=probes)
    gradients = 1 / len(q) - counts / big
    return {
        "small_batch": 1,
        "big_batch": big,
        "small_norm_squared": np.full(probes, 1 - 1 / len(q)),
        "big_norm_squared": (gradients**2).sum(axis=1),
        "unit": "tokens",
    }


def normal_probes(
    rng, *, noise_scale: float, probes: int, small: int = 1, big: int = 32, coordinates: int = 20
) -> pd.DataFrame:
    """Probes of normal gradients with |G| = 1."""
    parts = big // small
    noise = rng.normal(size=(probes, parts, coordinates)) * math.sqrt(
        noise_scale / coordinates / small
    )
    noise[..., 0] += 1
    return pd.DataFrame(
        {
            "step": np.arange(probes),
            "small_batch": small,
            "big_batch": big,
            "small_norm_squared": (noise**2).sum(axis=2).mean(axis=1),
            "big_norm_squared": (noise.mean(axis=1) ** 2).sum(axis=1),
            "unit": "examples",
        }
    )


def test_a_softmax_with_only_a_bias_has_its_closed_form():
    exact = (1 - (ZIPF**2).sum()) / ((ZIPF**2).sum() - 1 / len(ZIPF))
    got = scaling.noise_scale(softmax_probes(ZIPF, big=64, probes=2_000))
    assert got.identified
    assert got.value == pytest.approx(exact, rel=0.03)
    assert got.low < exact < got.high
    assert got.unit == "tokens"
    assert got.probes == 2_000


def test_uniform_tokens_have_no_noise_scale():
    got = scaling.noise_scale(softmax_probes(np.full(27, 1 / 27), big=64, probes=200))
    assert not got.identified
    assert "reaches 0" in got.reason
    assert math.isnan(got.value)
    assert got.high == math.inf
    assert got.low > 64  # a lower bound follows even so


def test_averages_are_taken_before_the_ratio():
    table = normal_probes(np.random.default_rng(1), noise_scale=30, probes=50)
    noise, signal = noise_and_signal(table)
    got = scaling.noise_scale(table)
    assert got.value == pytest.approx(noise.mean() / signal.mean())
    assert (got.noise, got.signal) == pytest.approx((noise.mean(), signal.mean()))
    assert abs(got.value - (noise / signal).mean()) > 1


def test_negative_averages_are_not_clamped():
    rng = np.random.default_rng(3)
    tables = [normal_probes(rng, noise_scale=10_000, probes=12) for _ in range(20)]
    got = [scaling.noise_scale(table) for table in tables]
    assert min(estimate.signal for estimate in got) < 0
    assert not any(estimate.identified for estimate in got if estimate.signal <= 0)


@pytest.mark.parametrize(
    ("noise_scale", "small", "probes"), [(30, 1, 12), (100, 1, 60), (100, 8, 60)]
)
def test_the_interval_covers_at_its_nominal_rate(noise_scale, small, probes):
    rng = np.random.default_rng([noise_scale, small])
    got = [
        scaling.noise_scale(normal_probes(rng, noise_scale=noise_scale, probes=probes, small=small))
        for _ in range(40)
    ]
    inside = sum(estimate.low <= noise_scale <= estimate.high for estimate in got)
    assert inside >= stats.binom.ppf(0.01, 40, 0.95)
    assert np.mean([estimate.identified for estimate in got]) > 0.5
    finite = [estimate for estimate in got if estimate.identified]
    missed = sum(not estimate.low <= noise_scale <= estimate.high for estimate in finite)
    assert missed <= 5


def test_a_drift_over_training_is_covered_as_the_ratio_of_its_averages():
    rng = np.random.default_rng(5)
    truth, got = [], []
    for _ in range(20):
        scales = np.linspace(20, 80, 30)
        parts = [normal_probes(rng, noise_scale=scale, probes=1) for scale in scales]
        got.append(scaling.noise_scale(pd.concat(parts)))
        truth.append(scales.mean())
    assert sum(e.low <= t <= e.high for e, t in zip(got, truth, strict=True)) >= 18


def test_layers_are_summed_and_also_estimated_alone():
    rng = np.random.default_rng(0)
    layers = [
        normal_probes(rng, noise_scale=scale, probes=40).assign(layer=name)
        for name, scale in (("first", 10), ("second", 40))
    ]
    table = pd.concat(layers, ignore_index=True)
    got = scaling.noise_scale(table)
    assert got.probes == 40
    assert got.low < (10 + 40) / 2 < got.high  # tr(Sigma) and |G|^2 add up over layers
    alone = scaling.layer_noise_scales(table).set_index("layer")
    assert list(alone.index) == ["first", "second"]
    assert alone.loc["first", "value"] == scaling.noise_scale(layers[0]).value
    assert alone["value"].to_dict() == pytest.approx({"first": 10, "second": 40}, rel=0.3)


def test_too_few_probes_say_how_many_an_interval_needs():
    table = normal_probes(np.random.default_rng(0), noise_scale=5, probes=FEWEST - 1)
    got = scaling.noise_scale(table)
    assert (got.identified, got.probes) == (False, FEWEST - 1)
    assert got.reason == f"{FEWEST - 1} probes; an interval needs at least {FEWEST}"
    assert math.isnan(got.low)
    assert got.noise > 0
    assert scaling.noise_scale(table[:0]).reason.startswith("0 probes")


def test_probes_of_a_run_that_diverged_give_no_number():
    table = normal_probes(np.random.default_rng(0), noise_scale=5, probes=30)
    table.loc[29, "big_norm_squared"] = np.nan
    assert "not finite" in scaling.noise_scale(table).reason
    layers = [table.assign(layer="first"), table.fillna(1).assign(layer="second")]
    assert "not finite" in scaling.noise_scale(pd.concat(layers)).reason


def test_gradients_of_zero_have_no_noise_scale():
    table = normal_probes(np.random.default_rng(0), noise_scale=5, probes=30)
    zero = table.assign(small_norm_squared=0.0, big_norm_squared=0.0)
    assert "interval of |G|^2, 0 to 0, reaches 0" in scaling.noise_scale(zero).reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"big_batch": 1}, "big_batch=1 must be larger than small_batch=1"),
        ({"small_batch": 0}, "small_batch=0"),
        ({"unit": ["tokens"] + ["examples"] * 19}, "unit has several values"),
        ({"run": ["a"] + ["b"] * 19}, "run has several values"),
    ],
)
def test_probes_that_cannot_be_compared_are_refused(change, message):
    table = normal_probes(np.random.default_rng(0), noise_scale=5, probes=20).assign(**change)
    with pytest.raises(ValueError, match=message):
        scaling.noise_scale(table)


def test_a_missing_column_is_named():
    probes = softmax_probes(ZIPF, big=8, probes=2)
    del probes["unit"]
    with pytest.raises(ValueError, match="no column unit"):
        scaling.noise_scale(probes)
