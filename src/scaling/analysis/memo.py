"""Fits that are computed once for the same runs: a report asks many questions about one sweep."""

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import pandas as pd

from scaling.analysis.blas_threads import one_blas_thread

Function = TypeVar("Function", bound=Callable[..., Any])
KEPT = 64  # results of each function; the least recently used ones are dropped


def once_for_rows(*columns: str) -> Callable[[Function], Function]:
    """Remember the results of a function of rows and options; callers must not change them.

    They are computed with one BLAS thread (`scaling.analysis.blas_threads`).

    Args:
        columns: of the rows that the result depends on; their values and order are compared, not
            the identity of the table.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        results: OrderedDict[tuple[Any, ...], Any] = OrderedDict()

        @functools.wraps(function)
        def remembered(rows: pd.DataFrame, **options: Any) -> Any:
            if not set(columns) <= set(rows):
                return function(rows, **options)  # it names what is absent
            values = pd.util.hash_pandas_object(rows[list(columns)], index=False)
            given = signature.bind(rows, **options)
            given.apply_defaults()
            key = (values.to_numpy().tobytes(), *list(given.arguments.items())[1:])
            if key not in results:
                with one_blas_thread():
                    results[key] = function(rows, **options)
                while len(results) > KEPT:
                    results.popitem(last=False)
            results.move_to_end(key)
            return results[key]

        return remembered  # type: ignore[return-value]

    return decorate
