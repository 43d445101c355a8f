"""The contract of a node: a typed function, and the specification read from its signature.

`@node` attaches a `NodeSpec` to a function and changes nothing else: the function stays callable as it is. Ports,
defaults, ranges, choices and help come from the signature, the annotations and the docstring.

    Latent = Annotated[torch.Tensor, Wire("latent", "b c h w")]

    @node(category="guidance")
    def cfg_combine(cond: Latent, uncond: Latent, scale: Annotated[float, Field(ge=0, le=30)] = 7.5) -> Latent:
        '''Combine conditional and unconditional predictions.

        scale: 1 gives the conditional prediction.
        '''

A parameter is, by its annotation: a wired port (`Annotated[..., Wire]`), a set of user-named wires (`Ports[T]`), a body
(`Body[Protocol]`, which makes the node a zone), something the engine injects (`Rng`, `Loop`, ... of
`graph_runner.context`), or else a literal that pydantic validates and that may also be wired.
"""

from pydantic import Field

from graph_runner.contract.broadcast import NamesIn, NumberOrTensor
from graph_runner.contract.decorator import node
from graph_runner.contract.describers import Described, Made, describes_models, describes_pictures
from graph_runner.contract.foreign import Folders, Imported, exports_workflows, imports_workflows
from graph_runner.contract.markers import (
    LARGEST_SEED,
    Axes,
    Begins,
    Body,
    Checkpoint,
    ContractError,
    File,
    FileOrFolder,
    Folder,
    Formerly,
    Inject,
    Joinable,
    Lighter,
    Name,
    Neutral,
    PathTo,
    Ports,
    RunOrCheckpoint,
    Seed,
    StoredAs,
    Unkeyed,
)
from graph_runner.contract.spec import Codec, NodeSpec, Param, Port, PortType, Wire

__all__ = [
    "LARGEST_SEED",
    "Axes",
    "Begins",
    "Body",
    "Checkpoint",
    "Codec",
    "ContractError",
    "Described",
    "Field",
    "File",
    "FileOrFolder",
    "Folder",
    "Folders",
    "Formerly",
    "Imported",
    "Inject",
    "Joinable",
    "Lighter",
    "Made",
    "Name",
    "NamesIn",
    "Neutral",
    "NodeSpec",
    "NumberOrTensor",
    "Param",
    "PathTo",
    "Port",
    "PortType",
    "Ports",
    "RunOrCheckpoint",
    "Seed",
    "StoredAs",
    "Unkeyed",
    "Wire",
    "describes_models",
    "describes_pictures",
    "exports_workflows",
    "imports_workflows",
    "node",
]
