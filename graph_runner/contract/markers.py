"""What a node's annotations are marked with: wires that the user names, bodies, paths, names, seeds, what the engine hands in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

from pydantic import AfterValidator, Field

from graph_runner.base.contents import Reads
from graph_runner.base.names import safe_name
from graph_runner.base.trained import checksums_of

T = TypeVar("T")

NAME = r"[a-z][a-z0-9_]*"


class ContractError(TypeError):
    """A function cannot be a node as it is written; the message names the function, the parameter and the remedy."""


class Joinable(Protocol):
    """A value, other than a tensor, that a `batched` input may carry: how several calls' values become one call's.

    Calls are batched only where both methods succeed; a ValueError says that these values do not fit together, and the
    calls are then made one by one.
    """

    @staticmethod
    def cat(values: Sequence[Any]) -> Any:
        """One value of all rows, in order along the first axis."""
        ...

    def expand(self, n: int) -> Any:
        """The value for a batch of n rows: itself, or its one row repeated."""
        ...


@dataclass(frozen=True)
class PathTo:
    """Marks a `str` as the path of what the node reads, and says which files these are: they are a part of its key.

    reads: given the path, the files that the node reads by the names it knows them under. It must be the function that the
    node's loader itself goes by, so that the two cannot disagree. Left out, all files at or below the path count.
    """

    kind: Literal["file", "folder", "file or folder"]
    reads: Reads | None = None


Name = Annotated[str, AfterValidator(safe_name)]
"""A name to save under, with slashes for folders: one that means the same file on every system."""
File = Annotated[str, PathTo("file")]
"""A path of a file that the node reads: the cache keys it by content."""
FileOrFolder = Annotated[str, PathTo("file or folder")]
"""A path of a file or a folder that the node reads: the cache keys it by the content of all files below."""
Folder = Annotated[str, PathTo("folder")]
"""A path of a folder that the node reads: the cache keys it by the content of all files below."""


def checksum_of(checkpoint: Path) -> Mapping[str, Path]:
    """What stands for a checkpoint's gigabytes: the file that holds their checksum."""
    return {"tree.json": checkpoint / "tree.json"}


Checkpoint = Annotated[str, PathTo("folder", checksum_of)]
"""The folder of one checkpoint of a training (`checkpoints/…/step-100` in the workspace), for a zone to begin at."""


RunOrCheckpoint = Annotated[str, PathTo("folder", checksums_of)]
"""A run that trained something, by its name or folder, or the folder of one checkpoint: models to begin with (`TrainedState`)."""


class BodyMarker:
    """Marks a zone's body."""


class PortsMarker:
    """Marks wires that the user names."""


class Unkeyed:
    """Marks a literal parameter that does not change what the node computes (workers, logging): no part of its key."""


class Formerly:
    """Marks a port by the names that it had before, the first published one first.

    It stands for an input, an output (a field of the NamedTuple), or an inner port or result of a zone. Files that use such
    a name open; keys and what is cached go by the first one, so that a new name changes neither.
    """

    def __init__(self, *names: str) -> None:
        self.names = names


@dataclass(frozen=True)
class Axes:
    """Marks a tensor's port by a symbolic shape whose letters the node's ports share: there the sizes must be the same.

    `Annotated[Image, Axes("b c h w")]` at two ports takes images of one size; "_ c ..." compares the channels and all
    that follows. The dry run says where they differ, on the wire (see `graph_runner.estimate.shapes`).
    """

    shape: str


@dataclass(frozen=True)
class Neutral:
    """Marks a literal parameter that a node got after it was published: at this value the node computes what it did before.

    There the key leaves the parameter out, so that what was cached before it existed is found. The default may change
    later, the neutral value never.
    """

    value: Any


@dataclass(frozen=True)
class Begins:
    """Marks a literal parameter that a node newly put on the canvas begins with another value of than its default.

    The default is for files that leave the parameter out, which mean what they meant; the new node's file says this value.
    """

    value: Any


@dataclass(frozen=True)
class Lighter:
    """Marks a literal parameter by which less memory may be taken, at the price of time.

    value: what it would be; None for half of what it is, a whole number down to 1. Where memory runs out, a dry run says how much that
    would help (see `graph_runner.estimate.remedies`).
    """

    value: Any = None

    def of(self, now: Any) -> Any:
        """The lighter value than this one; None where there is none."""
        if self.value is not None:
            return None if now == self.value else self.value
        return now // 2 if isinstance(now, int) and now > 1 else None


class StoredAs:
    """Marks a literal parameter that says what a node that loads keeps weights in: dtypes by their names, "float32" where it is left alone.
    There a run's `--weights` counts, so that what will be narrow is never wide before."""


Body = Annotated[T, BodyMarker()]
"""`Body[P]`: the nodes drawn inside the zone, as a callable; the Protocol P's `__call__` names the inner ports."""
Ports = Annotated[Mapping[str, T], PortsMarker()]
"""`Ports[T]`: wires that the user names; each name may carry its own type where T is a type variable."""


LARGEST_SEED = 2**64 - 1
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED, description="another seed, another draw")]
"""A literal seed. Every node that draws has one; whoever makes random things without an `Rng` takes it by this name."""


@dataclass(frozen=True)
class Inject:
    """Marks an annotation as something the engine hands in, e.g. `Annotated[torch.device, Inject("device")]`."""

    kind: str
