"""The engine of Latent Loom: typed nodes, a workflow format, a compiler and an executor.

It would run a graph of arithmetic: nothing here knows diffusion. Node packages import `graph_runner.contract` and
`graph_runner.context`, programs import `graph_runner.Engine` besides; the rest may change.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graph_runner.run.engine import Engine as Engine


def __getattr__(name: str) -> Any:
    """`Engine`, imported where it is asked for: `python -m graph_runner --help` answers at once."""
    if name == "Engine":
        from graph_runner.run.engine import Engine

        return Engine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
