"""The fits of a sweep use one thread of BLAS, and leave the number as it was."""

import pandas as pd
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from scaling.analysis.blas_threads import one_blas_thread
from scaling.analysis.memo import once_for_rows


@pytest.fixture(autouse=True)
def two_threads():
    """More than one thread before each test."""
    with threadpool_limits(limits=2, user_api="blas"):
        yield


def threads() -> set[int]:
    """Threads of the BLAS libraries in this process."""
    return {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }


def test_a_block_has_one_thread_and_what_follows_it_as_many_as_before():
    assert threads() == {2}
    with one_blas_thread():
        assert threads() == {1}
        with one_blas_thread():
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == {2}


def test_an_error_leaves_as_many_threads_as_before():
    @one_blas_thread()
    def fails():
        assert threads() == {1}
        raise ValueError("no fit")

    for _ in range(2):  # a decorator is used more than once
        with pytest.raises(ValueError, match="no fit"):
            fails()
        assert threads() == {2}


def test_fits_that_are_remembered_have_one_thread():
    @once_for_rows("batch")
    def fit(rows: pd.DataFrame) -> set[int]:
        return threads()

    assert fit(pd.DataFrame({"batch": [8]})) == {1}
    assert threads() == {2}
