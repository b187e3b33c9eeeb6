"""Learning rates that follow a batch size."""

import pytest

from scaling.optim.lr_scaling import scaled_lr


@pytest.mark.parametrize(("rule", "lr"), [("fixed", 0.1), ("linear", 0.4), ("sqrt", 0.2)])
def test_the_learning_rate_of_four_times_the_batch(rule, lr):
    assert scaled_lr(0.1, batch=64, reference=16, rule=rule) == pytest.approx(lr)
    assert scaled_lr(0.1, batch=16, reference=16, rule=rule) == 0.1
    back = scaled_lr(lr, batch=16, reference=64, rule=rule)
    assert back == pytest.approx(0.1)


def test_unknown_rules_and_empty_batches_are_refused():
    with pytest.raises(ValueError, match="lr_rule=cube must be one of fixed, linear, sqrt"):
        scaled_lr(0.1, batch=64, reference=16, rule="cube")
    with pytest.raises(ValueError, match="batch=0 and reference=16"):
        scaled_lr(0.1, batch=0, reference=16, rule="sqrt")
