"""Models that remember how they were built, so that a checkpoint can rebuild them."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

Init = TypeVar("Init", bound=Callable[..., None])


def remember_config(init: Init) -> Init:
    """Decorate a model's `__init__` so that `model.config` holds all its arguments as plain JSON values.

    Defaults are included, so `type(model)(**model.config)` builds the same architecture, with freshly initialised
    weights. Raises TypeError for an argument that JSON cannot hold, and for one of `*args`, which has no name.
    """
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        init(self, *args, **kwargs)
        config: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                config |= {key: _plain(key, item) for key, item in value.items()}
            elif kind is not inspect.Parameter.VAR_POSITIONAL:
                config[name] = _plain(name, value)
            elif value:
                raise TypeError(
                    f"the arguments *{name} have no names in a model's configuration; give each parameter one"
                )
        self.config = config

    return cast(Init, wrapper)


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(name, item) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(name, item) for key, item in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(
        f"parameter '{name}' is a {type(value).__name__}; "
        "a model's configuration holds only numbers, strings, booleans, None, and lists and tables of them"
    )
