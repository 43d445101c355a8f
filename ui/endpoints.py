"""The same calls as Gradio endpoints, and those that only Gradio can carry: a stream of events, files in and out."""

from __future__ import annotations

import inspect
import os
import sqlite3
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio

from ui.api import Api
from ui.calls import CALLS, Call, run_number
from ui.live import follow
from ui.refusal import RefusedError
from ui.schemas import printable


def add_endpoints(server: gradio.Server, api: Api) -> None:
    """Give the server its Gradio endpoints. They share no queue: a run waits in ours, not in Gradio's."""
    for name, call in CALLS.items():
        server.api(_endpoint(api, call), name=name, description=call.help, concurrency_limit=None)

    async def subscribe(run: int, after: int = 0) -> AsyncIterator[list[dict[str, Any]]]:
        """A run's events from number after + 1 on, in batches, until it has ended."""
        with telling():
            async for events in follow(api.manager, run_number(run), run_number(after)):
                yield for_client(events)

    def download(path: str) -> dict[str, Any]:
        """A file of the workspace."""
        with telling():
            found = api.workspace.file(str(path))
            return {"path": str(found.resolve()), "orig_name": found.name, "meta": {"_type": "gradio.FileData"}}

    def upload(file: dict[str, Any]) -> Any:
        """Keep a file in the workspace."""
        with telling():
            path, name = _uploaded(file, api.workspace.incoming)
            return for_client(api.workspace.keep(path, name).model_dump())

    def extract(file: dict[str, Any]) -> Any:
        """The workflow that a picture (or a workflow file) carries."""
        with telling():
            return for_client(api.library.extract(_uploaded(file, api.workspace.incoming)[0]).model_dump())

    for function in (subscribe, download, upload, extract):
        server.api(function, name=function.__name__, description=function.__doc__, concurrency_limit=None)


def _endpoint(api: Api, call: Call) -> Callable[..., Any]:
    """The call as Gradio wants it: a function with typed parameters that returns JSON values."""

    # Gradio's own documentation knows plain types only.
    plain = typing.get_type_hints(call.method)
    form = typing.get_origin(plain["return"]) or (bool if plain["return"] is bool else dict)
    signature = inspect.Signature(
        [p.replace(annotation=plain[p.name]) for p in call.parameters], return_annotation=form
    )

    async def endpoint(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        with telling():
            return for_client(call.answer.dump_python(await call(api, given), mode="json"))

    endpoint.__name__ = call.name
    endpoint.__signature__ = signature  # type: ignore[attr-defined]
    endpoint.__annotations__ = {p.name: plain[p.name] for p in call.parameters} | {"return": form}
    return endpoint


def for_client(answer: Any) -> Any:
    """An answer as Gradio's client can take it.

    The client takes every object with a text under "path" for a file, and downloads it: here these are called "file". Of a
    workflow it gets the text alone, for the same reason.
    """
    if isinstance(answer, list):
        return [for_client(item) for item in answer]
    if isinstance(answer, dict):
        return {
            "file" if key == "path" and isinstance(value, str) else key: for_client(value)
            for key, value in answer.items()
            if not (key == "workflow" and "text" in answer)
        }
    return answer


@contextmanager
def telling() -> Iterator[None]:
    """What is refused inside of it is told to who called through Gradio, and is no fault to be logged."""
    try:
        yield
    except RefusedError as refused:
        raise _raised(refused) from refused
    except (OSError, sqlite3.Error) as error:
        raise _raised(RefusedError.failed(error)) from error


def _raised(refused: RefusedError) -> gradio.Error:
    problems = "".join(f"\n{problem.node}.{problem.port}: {problem.message}" for problem in refused.problems[1:])
    return gradio.Error(refused.error + problems, print_exception=False)


def _uploaded(file: Any, incoming: Path) -> tuple[Path, str]:
    """Path and name of a file that came through Gradio's own upload; a client might name any other."""
    given = file if isinstance(file, dict) else {}
    path = Path(os.path.realpath(printable(given.get("path", "")).replace("\0", "")))
    if not path.is_relative_to(incoming) or not path.is_file():
        raise RefusedError(400, "upload a file first: gradio_client.handle_file(PATH)")
    return path, str(given.get("orig_name") or path.name)
