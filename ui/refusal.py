"""A request that the server does not do, with a sentence for people that says what to do instead."""

from __future__ import annotations

from graph_runner.problems import WorkflowError
from ui.models import Problem, Refusal


class RefusedError(Exception):
    """Carries the HTTP status, the sentence, and a wrong workflow's problems."""

    def __init__(self, status: int, error: str, problems: list[Problem] | None = None) -> None:
        super().__init__(error)
        self.status, self.error, self.problems = status, error, problems or []

    @classmethod
    def wrong(cls, error: WorkflowError) -> RefusedError:
        """The refusal of a workflow that cannot be read or run."""
        return cls(422, str(error), [Problem(**problem.to_json()) for problem in error.problems])  # type: ignore[arg-type]

    def body(self) -> bytes:
        """The answer's body."""
        return Refusal(error=self.error, problems=self.problems).model_dump_json().encode()
