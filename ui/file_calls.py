"""The calls about what lies in the workspace: workflow files, blueprints, folders, models, pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from graph_runner.catalog.model_files import ModelFile
from graph_runner.contract.registry import Registry
from ui import blueprints as kept_blueprints
from ui import library
from ui.declared import BLUEPRINT, EXAMPLE, AnyWorkflow, Name, Paths, call
from ui.gallery import Gallery
from ui.library import Library
from ui.models import Models
from ui.places import Places
from ui.plots import Plot, plots_in
from ui.schemas import (
    BlueprintEntry,
    Discarded,
    Document,
    FileEntry,
    Folder,
    FoundPictures,
    Number,
    WorkflowEntry,
    WorkflowPath,
)
from ui.shelf import Shelf
from ui.uploads import Uploads
from ui.workspace import Workspace


class FileCalls:
    """Calls on the library, the shelf, uploads and the gallery of one server (`ui.api.Api` makes them)."""

    workspace: Workspace
    registry: Registry
    library: Library
    shelf: Shelf
    uploads: Uploads
    pictures: Gallery
    places: Places
    models_there: Models
    _workflows_changed: Callable[[], None]

    @call(reads=True)
    def workflows(self) -> list[WorkflowEntry]:
        """Every workflow, shipped ones first."""
        return self.library.listing()

    @call(reads=True, path="shipped/quickstart.json")
    def open(self, path: Name) -> Document:
        """A workflow from a file or from a picture.

        path: `shipped/NAME.json`, `workflows/NAME.json`, or any `.json` or `.png` of the workspace
        (`runs/…/outputs/a.png`: the workflow that made it).
        """
        return self.library.open(path)

    @call(paths=["workflows/example.json"])
    def stamps(self, paths: Paths) -> dict[str, str]:
        """The etags of workflow files as they are now, by their paths; empty where there is none.

        Tells whether what a page has open was changed by others.
        """
        return {path: self.library.stamp(path) for path in paths}

    @call(path="workflows/example.json", workflow=EXAMPLE)
    async def save(self, path: Name, workflow: AnyWorkflow, etag: Name = "", overwrite: bool = False) -> Document:
        """Write a workflow, in its canonical form, below `workflows/`.

        409 where the file exists and its etag is not the one given, unless `overwrite`.
        """
        document = await asyncio.to_thread(lambda: self.library.save(path, library.parsed(workflow), etag, overwrite))
        self._workflows_changed()
        return document

    @call(path="shipped/quickstart.json", to="workflows/copy.json")
    async def duplicate(self, path: Name, to: Name) -> WorkflowPath:
        """Copy a workflow, an example or one of the user's, to a new file below `workflows/`.

        409 where there is a file of that name.
        """
        made = await asyncio.to_thread(self.shelf.duplicate, path, to)
        self._workflows_changed()
        return made

    @call(path="workflows/copy.json", to="workflows/studies/copy.json")
    async def move(self, path: Name, to: Name) -> WorkflowPath:
        """Give a user's workflow file another name, or put it into a folder, with the picture beside it.

        409 where there is a file of that name. Folders are made as they are named, and go when they are empty.
        """
        moved = await asyncio.to_thread(self.shelf.move, path, to)
        self._workflows_changed()
        return moved

    @call(path="workflows/example.json")
    async def discard(self, path: Name) -> bool:
        """Delete a user's workflow file. `restore` puts it back, until 100 others were deleted."""
        await asyncio.to_thread(self.shelf.discard, path)
        self._workflows_changed()
        return True

    @call(reads=True)
    def discarded(self) -> list[Discarded]:
        """The deleted workflows that can be had back, the last first."""
        return self.shelf.discarded()

    @call(path="workflows/example.json")
    async def restore(self, path: Name) -> WorkflowPath:
        """Put a deleted workflow back where it was, the newest of that path.

        409 where there is a file of that name now.
        """
        restored = await asyncio.to_thread(self.shelf.restore, path)
        self._workflows_changed()
        return restored

    @call(reads=True)
    def blueprints(self) -> list[BlueprintEntry]:
        """The definitions that lie in the workspace for all workflows, each with the text of its workflow file."""
        return kept_blueprints.listing(self.workspace, self.registry)

    @call(name="guided", workflow=BLUEPRINT)
    def save_blueprint(self, name: Name, workflow: AnyWorkflow, overwrite: bool = False) -> BlueprintEntry:
        """Save a definition of a workflow, with those that it uses, as the blueprint of its name.

        409 where there is one that says something else, unless `overwrite`.
        """
        return kept_blueprints.keep(self.workspace, name, library.parsed(workflow), overwrite)

    @call(name="guided")
    def discard_blueprint(self, name: Name) -> bool:
        """Delete a blueprint. Workflows that it was put into keep their definitions."""
        kept_blueprints.discard(self.workspace, name)
        return True

    @call(reads=True, folder="workflows")
    def files(self, folder: Name = "") -> list[FileEntry]:
        """What a folder of the workspace holds, folders first: for file and folder pickers."""
        return self.workspace.listing(folder)

    @call(reads=True, folder="workflows")
    def browse(self, folder: Name = "") -> Folder:
        """What a folder of the server's machine holds, for the pickers of path parameters.

        folder: within the workspace relative to it, else absolute. 403 where workflows may not read there.
        """
        return self.places.look(folder)

    @call(reads=True)
    def models(self) -> list[ModelFile]:
        """The models in the workspace and in the folders that its owner lends (`--files`), and what each is.

        `loads` is the parameter of a node that takes the path. A hash is told where it is known: no file is read whole for it.
        """
        return self.models_there.listing(self.registry.describers)

    @call(path="models/quickstart/unet.safetensors")
    def hash_model(self, path: Name) -> ModelFile:
        """A model with its hashes, for which its file is read whole once."""
        return self.models_there.hashed(path, self.registry.describers)

    @call(name="holiday")
    def new_folder(self, name: Name) -> FileEntry:
        """An empty folder below `uploads/`, named like this one, for pictures that are sent next (`POST /pictures`)."""
        return self.uploads.new_folder(name)

    @call(reads=True, query="portrait seed=7", limit=20)
    def gallery(
        self,
        query: Name = "",
        favourites: bool = False,
        previews: bool = False,
        limit: Annotated[int, Field(ge=1, le=1000)] = 60,
        before: Number = 0,
    ) -> FoundPictures:
        """Pictures of runs that are over, newest first, `limit` of them and the rest of the last one's run.

        query: words that the run's title, nodes and parameters hold, its prompts among them; `seed=7` is a parameter's very value, `#7` a run.
        before: those of older runs than this number, as the answer gives it, which may come with no picture yet.
        """
        return self.pictures.find(query, favourites, previews, limit, before)

    @call(reads=True, path="runs/example/outputs/image.png")
    def plots(self, path: Name) -> list[Plot]:
        """The plots that a picture carries, from left to right: the numbers that it shows. Of other pictures none.

        A run's event says of such a picture that its media type `carries=plots`.
        """
        return plots_in(self.workspace.file(path))

    @call(path="runs/example/outputs/image.png", favourite=True)
    def favour(self, path: Name, favourite: bool = True) -> bool:
        """Mark a picture as a favourite, or take the mark off."""
        self.pictures.mark(path, favourite)
        return favourite

    @call(path="runs/example/outputs/image.png")
    def throw_away(self, path: Name) -> bool:
        """Throw a picture away. For thirty days `bring_back` gets it back."""
        self.pictures.throw_away(path)
        return True

    @call(path="runs/example/outputs/image.png")
    def bring_back(self, path: Name) -> FileEntry:
        """Get a picture back that was thrown away. 409 where another file has its name by now."""
        self.pictures.bring_back(path)
        return self.workspace.entry(self.workspace.file(path))
