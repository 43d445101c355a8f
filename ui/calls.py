"""From the methods of `Api` to calls with checked arguments, behind whichever door they come through.

FastAPI describes its routes, and Gradio its endpoints, by the same `arguments` and `answer`.
"""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from graph_runner.base.problems import WorkflowError
from ui.api import Api
from ui.declared import RunNumber
from ui.refusal import RefusedError


class Call:
    """One call: its arguments as a pydantic model, its answer's type, an example, and how to make it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.method = getattr(Api, name)
        self.reads: bool = self.method.__call_reads__
        self.help: str = inspect.getdoc(self.method) or ""
        self.example: dict[str, Any] = self.method.__call_example__
        hints = typing.get_type_hints(self.method, include_extras=True)
        self.answer: TypeAdapter[Any] = TypeAdapter(hints.pop("return"))
        self.parameters = list(inspect.signature(self.method).parameters.values())[1:]
        fields: dict[str, Any] = {
            p.name: (hints[p.name], ... if p.default is inspect.Parameter.empty else p.default) for p in self.parameters
        }
        self.arguments: type[BaseModel] = create_model(
            f"{name.capitalize()}Arguments", __config__=ConfigDict(extra="forbid"), **fields
        )

    async def __call__(self, api: Api, given: Mapping[str, Any]) -> Any:
        """Make the call. Raises RefusedError where the arguments or the request cannot be."""
        try:
            model = self.arguments.model_validate(given)
        except ValidationError as error:
            raise RefusedError(400, f"{self.name}: {_complaints(error)}") from error
        arguments = {name: getattr(model, name) for name in self.arguments.model_fields}
        try:
            if inspect.iscoroutinefunction(self.method):
                return await self.method(api, **arguments)
            return await asyncio.to_thread(self.method, api, **arguments)
        except WorkflowError as error:
            raise RefusedError.wrong(error) from error
        except (OSError, sqlite3.Error) as error:
            raise RefusedError.failed(error) from error


def run_number(given: Any) -> int:
    """A run's number as Gradio hands it over. Raises RefusedError where it is none."""
    try:
        return RUN.validate_python(given)
    except ValidationError as error:
        raise RefusedError(400, f"run: {_complaints(error)}") from error


RUN: TypeAdapter[int] = TypeAdapter(RunNumber)
CALLS: dict[str, Call] = {name: Call(name) for name in Api.names()}


def _complaints(error: ValidationError) -> str:
    """What is wrong with the arguments, in one line."""
    return "; ".join(
        f"{'.'.join(str(part) for part in entry['loc'])}: {entry['msg'].lower()}"
        for entry in error.errors(include_url=False, include_input=False, include_context=False)
    )
