"""Values with equal ratios, typed as `lr=logspace(1e-4,1e-2,5)`."""

import math
import re
import shlex

from scaling.storage import plans

DIGITS = 6  # significant ones of a value, so that names of runs stay short
EXAMPLE = "logspace(1e-4,1e-2,5)"
_CALL = re.compile(r"(\w+)\(([^()]*)\)")
_QUOTED = re.compile(r"\s*['\"]")


def spelled(word: str) -> str:
    """Replace `logspace(...)` in an override by its values, with commas between them.

    Raises:
        ValueError: for arguments without meaning, and for functions of other libraries that do the
            same, with the command to type.
    """
    key, equals, values = word.partition("=")
    if _QUOTED.match(values):
        return word

    def replaced(call: re.Match[str]) -> str:
        if call[1] in ("logrange", "geomspace"):
            raise ValueError(f"{word}: {call[1]} is not known; {remedy(word)}")
        return _values(word, call[2].split(",")) if call[1] == "logspace" else call[0]

    return f"{key}{equals}{_CALL.sub(replaced, values)}"


def remedy(word: str) -> str:
    """The words to type for an override with another function, such as `lr=interval(1e-4,1e-2)`."""
    key, _, values = word.partition("=")
    call = _CALL.search(values)
    arguments = [argument.strip() for argument in call[2].split(",")] if call else []
    try:
        floats = [float(argument) for argument in arguments]
    except ValueError:
        floats = []
    if not 2 <= len(floats) <= 3 or min(floats) <= 0:
        new = f"{key}={EXAMPLE}"
    else:
        new = f"{key}=logspace({','.join([*arguments, '5'][:3])})"
    command = plans.typed()
    if (old := shlex.quote(word)) not in command:  # it is in a file
        return f"write {new}"
    if not {"-m", "--multirun"} & set(shlex.split(command)[3:]):
        command = command.replace("scaling.train", "scaling.train -m", 1)
    return f"type {command.replace(old, shlex.quote(new))}"


def _values(word: str, arguments: list[str]) -> str:
    try:
        start, stop, number = float(arguments[0]), float(arguments[1]), int(arguments[2])
    except (ValueError, IndexError):
        start, stop, number = math.nan, math.nan, 0
    if not (
        len(arguments) == 3 and min(start, stop) > 0 and start * stop < math.inf and number > 1
    ):
        raise ValueError(
            f"{word}: logspace needs the first and the last value, which are positive and not "
            f"exponents, and a number of values from 2 on, as in 'lr={EXAMPLE}'"
        )
    ratio = math.log(stop / start) / (number - 1)
    return ",".join(f"{start * math.exp(i * ratio):.{DIGITS}g}" for i in range(number))
