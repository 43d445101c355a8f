"""The list of models that a page sees: what each is, by which node it is loaded, and nothing from where nobody may look."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.checkpoints.model_io import save_model
from graph_runner.contract.registry import Registry
from nodes.library import LOADERS, OWN_LOADERS
from nodes.models import load_unet
from tests.ui.conftest import ROOT
from ui.models import Models
from ui.places import Places
from ui.refusal import RefusedError
from ui.workspace import Workspace

SHIPPED = ROOT / "workflows/models/quickstart/unet.safetensors"


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.installed()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    folder = tmp_path / "workspace" / "models"
    folder.mkdir(parents=True)
    shutil.copy(SHIPPED, folder / "unet.safetensors")
    shutil.copy(ROOT / "workflows/sample.webp", folder / "unet.preview.webp")
    (folder / "page.safetensors").write_text("<!DOCTYPE html><title>Not found</title>")
    kept = tmp_path / "workspace" / "cache" / "kept.safetensors"
    kept.parent.mkdir()
    shutil.copy(SHIPPED, kept)
    return Workspace(tmp_path / "workspace")


def lora(path: Path) -> None:
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    factors = {f"{name}.lora_down.weight": torch.zeros(4, 320), f"{name}.lora_up.weight": torch.zeros(320, 4)}
    save_file(factors, path, {"ss_tag_frequency": json.dumps({"10_sks cat": {"sks cat": 3}})})


def test_models_are_told_by_the_paths_that_a_workflow_names(
    workspace: Workspace, registry: Registry, tmp_path: Path
) -> None:
    lent = tmp_path / "lent"
    lent.mkdir()
    lora(lent / "cat.safetensors")
    models = Models(Places(workspace, [lent], confined=True))
    page, unet, cat = models.listing(registry.describers)
    assert (page["path"], page["loads"]) == ("models/page.safetensors", "")
    assert "HTML" in page["what"]
    assert page["problem"]
    assert (unet["path"], unet["loads"], unet["hash"]) == ("models/unet.safetensors", "load_unet.path", "")
    assert unet["what"] == "a model of Latent Loom (UNet)"
    assert unet["thumbnail"] == "models/unet.preview.webp"
    assert (cat["path"], cat["loads"]) == (str(lent / "cat.safetensors"), "lora.path")
    assert cat["words"]

    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert models.hashed("models/unet.safetensors", registry.describers)["hash"] == digest[:10]
    assert len(models.hashed(cat["path"], registry.describers)["data_hash"]) == 12


def test_a_folder_of_ours_is_loaded_by_the_node_of_its_class(workspace: Workspace, registry: Registry) -> None:
    save_model(load_unet(str(SHIPPED)), workspace.root / "models" / "kept")
    (found,) = (
        each
        for each in Models(Places(workspace, [], confined=True)).listing(registry.describers)
        if each["path"] == "models/kept"
    )
    assert (found["what"], found["loads"]) == ("a model of Latent Loom (UNet)", "load_unet.path")
    assert load_unet(str(workspace.root / found["path"])).config == load_unet(str(SHIPPED)).config


def test_a_link_leads_no_further_than_workflows_may_read(
    workspace: Workspace, registry: Registry, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.safetensors"
    shutil.copy(SHIPPED, secret)
    (workspace.root / "models" / "link.safetensors").symlink_to(secret)
    (workspace.root / "models" / "page.png").symlink_to(ROOT / "workflows/sample.webp")
    confined, alone = (Models(Places(workspace, [], confined)) for confined in (True, False))
    assert "models/link.safetensors" not in {each["path"] for each in confined.listing(registry.describers)}
    assert "models/link.safetensors" in {each["path"] for each in alone.listing(registry.describers)}
    assert not any(each["thumbnail"].endswith("page.png") for each in alone.listing(registry.describers))
    for path in (
        str(secret),
        "models/link.safetensors",
        "models/none.safetensors",
        "models",
        "/x\0y",
        "/" + "x" * 5000,
    ):
        with pytest.raises(RefusedError):
            confined.hashed(path, registry.describers)


def test_each_kind_is_loaded_by_a_node_that_there_is(registry: Registry) -> None:
    for loader in {*LOADERS.values(), *OWN_LOADERS.values(), "load_model"}:
        assert "path" in registry[loader].input, loader
    assert set(OWN_LOADERS) <= set(registry.models)
