"""No module of the library, the engine or the nodes without tests: one imports it, or it is said which reaches it."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from tests.test_architecture import ROOT

PACKAGES = ("core", "graph_runner", "nodes")
REACHED = {
    "graph_runner.base.lifetime": "graph_runner/base/test_lifetime.py",
    "graph_runner.bind.literals": "graph_runner/bind/test_validate.py",
    "graph_runner.compile.lazy": "graph_runner/compile/test_lazy.py",
    "nodes.early_stopping": "nodes/test_early_stopping.py",
    "nodes.adapters": "nodes/test_adapters.py",
    "nodes.mmdit": "nodes/test_mmdit.py",
    "nodes.pixart": "nodes/test_pixart.py",
    "core.checkpoints.pixart_file": "core/checkpoints/test_pixart_text.py",
    "core.checkpoints.dit_file": "core/checkpoints/test_dit_file.py",
    "nodes.blending": "nodes/test_contract.py",
    "nodes.personalising": "workflows/test_personalising.py",
    "nodes.search": "nodes/test_search.py",
    "nodes.guidance_interval": "nodes/test_guidance_over_time.py",
    "nodes.unclip": "workflows/test_kin.py",
    "core.allocator": "core/training/test_sharding.py",
    "core.vision": "core/metrics/test_pretrained.py",
    "core.broadcasting": "core/test_expressions.py",
    "core.elementwise": "core/test_expressions.py",
    "graph_runner.bind.names_in_texts": "graph_runner/bind/test_calculating.py",
    "nodes.arithmetic": "nodes/test_arithmetic.py",
    "graph_runner.base.bucket": "graph_runner/base/test_remote.py",
    "graph_runner.catalog.plugins": "graph_runner/cli/test_plugins.py",
    "graph_runner.cli.blueprints": "graph_runner/format/test_blueprints.py",
    "core.diffusion.solvers.dpmpp": "core/diffusion/test_solver_order.py",
    "core.diffusion.solvers.lcm": "core/diffusion/test_solver_contract.py",
    "core.diffusion.solvers.ldm": "core/diffusion/test_solvers_of_the_paper.py",
    "core.diffusion.solvers.multistep": "core/diffusion/test_solver_order.py",
    "core.diffusion.grids": "core/diffusion/test_schedulers.py",
    "core.diffusion.ays": "core/diffusion/test_by_hand.py",
    "core.diffusion.solvers.ipndm": "core/diffusion/test_solver_parity.py",
    "core.diffusion.solvers.model": "core/diffusion/test_solver_contract.py",
    "core.training.schedule_free": "core/training/test_optimizers.py",
    "core.training.restoring": "nodes/test_continue.py",
    "graph_runner.bind.references": "graph_runner/bind/test_validate.py",
    "graph_runner.bind.sizes": "graph_runner/bind/test_definitions.py",
    "graph_runner.bind.typing_rules": "graph_runner/bind/test_validate.py",
    "graph_runner.bind.use": "graph_runner/bind/test_definitions.py",
    "graph_runner.cli.estimate": "graph_runner/cli/test_commands.py",
    "graph_runner.cli.launch_logs": "graph_runner/cli/test_launch.py",
    "graph_runner.cli.profile": "graph_runner/cli/test_profile.py",
    "graph_runner.cli.run": "graph_runner/cli/test_commands.py",
    "graph_runner.compile.fuse": "graph_runner/compile/test_fuse.py",
    "graph_runner.contract.reader": "graph_runner/contract/test_contract.py",
    "graph_runner.estimate.meter": "graph_runner/estimate/test_dry.py",
    "graph_runner.estimate.training": "workflows/test_memory.py",
    "graph_runner.export.standing_in": "graph_runner/export/test_script.py",
    "graph_runner.export.steps": "graph_runner/export/test_script.py",
    "graph_runner.format.changes": "nodes/test_continue.py",
    "graph_runner.run.execute": "graph_runner/run/test_execute.py",
    "graph_runner.run.loggers.csv_table": "graph_runner/run/loggers/test_loggers.py",
    "graph_runner.run.loggers.mlflow": "graph_runner/run/loggers/test_trackers.py",
    "graph_runner.run.loggers.weights_and_biases": "graph_runner/run/loggers/test_trackers.py",
    "graph_runner.run.looks": "graph_runner/notebook/test_graph.py",
    "graph_runner.run.loop": "graph_runner/run/test_loop.py",
    "graph_runner.run.observer": "graph_runner/run/test_loop.py",
    "graph_runner.run.out_of_memory": "graph_runner/run/test_out_of_memory.py",
    "graph_runner.run.runtime": "graph_runner/run/test_interpreter.py",
    "graph_runner.run.streaming": "graph_runner/run/test_residence.py",
    "core.checkpoints.diffusers_components": "core/checkpoints/test_diffusers_folder.py",
    "core.checkpoints.lora_settings": "core/checkpoints/test_lora_kinds.py",
    "core.checkpoints.lora_updates": "core/checkpoints/test_lora_kinds.py",
    "core.checkpoints.magic": "core/checkpoints/test_identify.py",
    "core.checkpoints.signatures": "core/checkpoints/test_identify.py",
    "core.checkpoints.taesd": "core/models/test_tiny_autoencoder.py",
    "graph_runner.catalog.model_files": "graph_runner/cli/test_models.py",
    "graph_runner.cli.models": "graph_runner/cli/test_models.py",
    "graph_runner.cli.picture": "nodes/test_infotext.py",
    "graph_runner.catalog.pictures": "nodes/test_infotext.py",
    "graph_runner.format.carried": "nodes/test_infotext.py",
    "nodes.prompting": "nodes/test_prompting.py",
    "graph_runner.catalog.importing": "graph_runner/cli/test_foreign.py",
    "graph_runner.cli.foreign": "graph_runner/cli/test_foreign.py",
    "core.diffusion.sigmas": "core/diffusion/test_comfyui.py",
    "core.diffusion.comfyui": "core/diffusion/test_comfyui.py",
    **{
        f"nodes.comfyui.{name}": "nodes/comfyui/test_importing.py"
        for name in (
            "builder",
            "compositing",
            "constants",
            "conditions",
            "loaders",
            "pictures",
            "sampling",
            "subgraphs",
            "values",
        )
    },
    **{
        f"nodes.comfyui.{name}": "nodes/comfyui/test_conditions_and_models.py" for name in ("inside", "merging", "told")
    },
    **{f"nodes.comfyui.{name}": "nodes/comfyui/test_exporting.py" for name in ("writers", "writing")},
    "nodes.freeu": "nodes/comfyui/test_conditions_and_models.py",
    "nodes.regions": "nodes/comfyui/test_conditions_and_models.py",
    "nodes.compositing": "nodes/comfyui/test_conditions_and_models.py",
    "nodes.latent_scale": "nodes/test_checkpoints.py",
    "nodes.checkpoints": "nodes/test_checkpoints.py",
    "nodes.classifiers": "nodes/test_classifiers.py",
    "nodes.guidance": "nodes/test_sampling.py",
    "nodes.learning_rates": "nodes/test_optimizers.py",
    "nodes.likelihood": "nodes/test_likelihood.py",
    "nodes.optimizers": "nodes/test_optimizers.py",
    "nodes.plots": "nodes/test_tables.py",
    "nodes.published": "nodes/test_contract.py",
    "nodes.tables": "nodes/test_tables.py",
    "nodes.training": "nodes/test_train_zone.py",
}
"""Modules that are tested by what calls them (the command line, a registry, a graph), and the tests that do."""


def modules() -> list[str]:
    """Every module by name; a package's `__init__` that only says what it is needs no test."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if path.name != "__init__.py" or any(
                isinstance(item, ast.FunctionDef | ast.ClassDef) for item in tree.body
            ):
                found.append(name.removesuffix(".__init__"))
    return found


def imported_by_tests() -> set[str]:
    """The modules that tests import, and those from which packages hand on what tests import."""
    found = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for item in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(item, ast.Import):
                found |= {alias.name for alias in item.names}
            elif isinstance(item, ast.ImportFrom) and (item.module or "").partition(".")[0] in PACKAGES:
                assert item.module is not None
                found |= {item.module, *(f"{item.module}.{alias.name}" for alias in item.names)}
                home = importlib.import_module(item.module)
                found |= {str(getattr(getattr(home, alias.name, None), "__module__", "")) for alias in item.names}
    return found


TESTED = imported_by_tests()


@pytest.mark.parametrize("module", modules())
def test_every_module_has_tests(module: str) -> None:
    assert module in TESTED or Path(ROOT / "tests" / REACHED.get(module, "none of them")).is_file()


def test_none_is_excused_without_need() -> None:
    there = modules()
    assert [module for module in REACHED if module in TESTED or module not in there] == []
