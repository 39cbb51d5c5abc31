"""Values that arguments of optimizers and schedules may have, and the type in which Keras wants them.

Keras checks few of them when it builds a class, and says so in its own words in the middle of a job. A study is checked
before; `tests/unit/training/test_optimizer_values.py` holds this table to what the installed Keras builds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

REQUIRED = object()
"""Stands for the default of an argument that has none."""

CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")
"""Arguments of which Keras takes one at most."""

_COUNTS = ("decay_steps", "first_decay_steps", "warmup_steps", "ns_steps", "ema_overwrite_frequency", "boundaries")
"""Arguments that count steps. All other numbers are wanted as floats: a whole number, such as a rate of 1, is none."""

_Test = Callable[[Any], bool]

_ABOVE_0: tuple[str, _Test] = ("a number above 0", lambda x: x > 0)
_FROM_0: tuple[str, _Test] = ("a number of 0 or more", lambda x: x >= 0)
_SHARE: tuple[str, _Test] = ("a number from 0 to 1", lambda x: 0 <= x <= 1)
_DECAY: tuple[str, _Test] = ("a number from 0 to below 1", lambda x: 0 <= x < 1)

_RANGES: Mapping[str, tuple[str, _Test]] = {
    **dict.fromkeys(CLIPPING, _ABOVE_0),
    **dict.fromkeys(("learning_rate", "decay_rate", "power", "t_mul", "m_mul"), _ABOVE_0),
    **dict.fromkeys(("beta_1", "beta_2", "rho"), _DECAY),
    **dict.fromkeys(("momentum", "ema_momentum", "alpha"), _SHARE),
    "learning_rate_power": ("a number of 0 or less", lambda x: x <= 0),
    # a warm-up may begin at 0
    **dict.fromkeys(
        ("epsilon", "weight_decay", "initial_learning_rate", "end_learning_rate", "warmup_target"), _FROM_0
    ),
}


def as_keras_wants(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with whole numbers as floats, but for those that count steps.

    The canonical form of a study writes 1.0 as 1, of which Keras makes an integer variable that no step can change.
    """
    return {key: value if key in _COUNTS else _floats(value) for key, value in arguments.items()}


def _floats(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_floats(item) for item in value]
    return float(value) if _is_number(value) else value


def check(where: str, key: str, value: Any, default: object) -> None:
    """Refuse a value that an argument cannot have.

    Parameters
    ----------
    where : str
        Place of the argument in the study, for the message.
    key : str
    value : object
    default : object
        Of the argument; `REQUIRED` if it has none.

    Raises
    ------
    ValueError
    """
    if value is None and default is None:
        return
    expected = _unmet(key, value, default)
    if expected:
        raise ValueError(f"{where} is {value!r}, expected {expected}")


def check_together(where: str, arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that do not go together: several clippings, boundaries without as many values and one more.

    Raises
    ------
    ValueError
    """
    clipping = [key for key in CLIPPING if arguments.get(key) is not None]
    if len(clipping) > 1:
        raise ValueError(f"{where}: {' and '.join(clipping)} are given, expected one of them at most")
    if "boundaries" in arguments and "values" in arguments:
        boundaries, values = arguments["boundaries"], arguments["values"]
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                f"{where}.values has {len(values)} values for {len(boundaries)} boundaries, expected one more"
            )


def _unmet(key: str, value: Any, default: object) -> str:
    """Return what is expected of a value; empty if it is that."""
    if key == "boundaries":
        fits = _is_list(value, _is_count) and all(a < b for a, b in pairwise(value))
        return "" if fits else "a list of rising whole numbers above 0"
    if key == "values":
        return "" if _is_list(value, lambda item: _is_number(item) and item > 0) else "a list of numbers above 0"
    if key == "exclude_layers":
        return "" if _is_list(value, lambda item: isinstance(item, str)) else "a list of names"
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, str):
        return "" if isinstance(value, str) else "a name"
    if key in _COUNTS:
        least = 0 if key == "warmup_steps" else 1
        return "" if _is_count(value, least) else f"a whole number, at least {least}"
    if not _is_number(value):
        return "a number"
    expected, holds = _RANGES.get(key, ("", lambda _: True))
    return "" if holds(value) else expected


def _is_list(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(fits, value))


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
