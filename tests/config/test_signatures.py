"""Config nodes are compared with what they would be passed to."""

import pytest

from scaling.config import signatures

MODEL = {
    "_target_": "scaling.models.nano_transformer.NanoTransformer",
    "d_model": 8,
    "layers": 1,
    "heads": 2,
    "dropout": 0.0,
}
SIZES = ("inputs", "outputs", "length")


def test_a_node_that_fits_passes():
    signatures.check(MODEL, "model", given=SIZES)
    signatures.check(MODEL | {"dropout": 0}, "model", given=SIZES)  # an int where a float is meant
    optimizer = {"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 1, "betas": [0.9, 0.95]}
    signatures.check(optimizer, "optimizer")  # a list where a tuple is meant


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"d_modl": 8}, "model.d_modl=8 is not a parameter of .*; did you mean d_model?"),
        ({"zzz": 8}, "model.zzz=8 is not a parameter of .*; one of "),
        ({"d_model": "wide"}, "model.d_model=wide must be of type int"),
        ({"d_model": True}, "model.d_model=True must be of type int"),
        ({"d_model": 8.5}, "model.d_model=8.5 must be of type int"),
        ({"inputs": 3}, "model.inputs=3 must be left out"),
        ({"_target_": "scaling.models.nothing"}, "scaling/models/__init__.py has no nothing"),
        ({"_target_": "scaling.models"}, "must be the dotted name of a callable, not of a module"),
    ],
)
def test_a_node_that_does_not_fit_is_refused_by_name(change, said):
    with pytest.raises(ValueError, match=said):
        signatures.check(MODEL | change, "model", given=SIZES)


def test_a_missing_key_is_named():
    with pytest.raises(ValueError, match="model.heads is missing"):
        signatures.check({k: v for k, v in MODEL.items() if k != "heads"}, "model", given=SIZES)


def test_nodes_inside_nodes_and_lists_are_checked_too():
    inner = {"_target_": "scaling.callbacks.divergence.Divergence", "evry": 1}
    with pytest.raises(ValueError, match=r"callbacks\.a\.parts\[0\]\.evry=1 is not a par"):
        signatures.check({"a": {"parts": [inner]}}, "callbacks")
