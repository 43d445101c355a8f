"""Every node that takes a path opens no file but those that its key is of; and what is not opened changes no key."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from core.checkpoints.compvis import save_compvis
from core.checkpoints.controlnet import save_controlnet
from core.checkpoints.diffusers_folder import save_diffusers
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import save_checkpoint
from core.checkpoints.model_io import save_model
from core.checkpoints.weights import read_weights, write_weights
from core.conditioning.image_embedder import ImageEmbedder
from core.conditioning.tokenizer import train_wordpiece
from core.data.folder import ImageFolder
from core.data.picture_files import image_files
from core.images import ImageError
from core.metrics.statistics import Statistics
from core.models.classifier import NoisyClassifier
from core.models.controlnet import ControlNet
from core.models.ip_adapter import IPAdapter
from core.models.t2i_adapter import T2IAdapter
from core.tables.files import save_table
from core.tables.table import table_of
from graph_runner.base.contents import Contents, all_files
from graph_runner.base.trained import checksums_of
from graph_runner.context import Rng
from graph_runner.contract.registry import Registry
from graph_runner.contract.spec import NodeSpec
from tests import sources
from tests.effort import cases

sys.path += [str(Path(__file__).parents[1] / "core" / part) for part in ("checkpoints", "metrics")]
import tiny_ldm
import tiny_pipelines
import tiny_pretrained
from tiny_kin import image_encoder, normalizer

REGISTRY = Registry.installed([])
FOREIGN = ("Thumbs.db", "film.mp4", ".hidden/x.png", "README.md", ".DS_Store")


def picture(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (9, 8), (shade, 0, 0)).save(path)
    return path


def pictures(root: Path) -> Path:
    picture(root / "f" / "cats" / "a.png")
    picture(root / "f" / "top.v1.png")
    (root / "f" / "top.v1.txt").write_text("a caption")
    (root / "f" / "cats" / "metadata.csv").write_text("file_name,text\na.png,a cat\n")
    picture(root / "elsewhere" / "dogs" / "b.webp")
    (root / "f" / "linked").symlink_to(root / "elsewhere")
    (root / "f" / "loop").symlink_to("..")
    (root / "f" / "gone.png").symlink_to("nothing")
    return root / "f"


def model(make: Callable[[], torch.nn.Module]) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        save_model(make(), root / "m.v2.safetensors")
        return root / "m.v2.safetensors"

    return write


def classifier() -> NoisyClassifier:
    return NoisyClassifier(4, 5, 8, (1, 2), 1, num_head_channels=8, norm_groups=4, sample_size=4)


def adapter() -> T2IAdapter:
    return T2IAdapter(channels=(4, 8), num_res_blocks=1, downscale_factor=4)


def ip_adapter() -> IPAdapter:
    return IPAdapter(8, 8, [8, 16])


def image_embedder() -> ImageEmbedder:
    return ImageEmbedder(16, 16, 1, 2, image_size=8, patch_size=4, projection_dim=12)


def unclip(root: Path) -> Path:
    """A pipeline's folder, of which other parts are not read."""
    image_encoder().save_pretrained(root / "u" / "image_encoder")
    normalizer().save_pretrained(root / "u" / "image_normalizer")
    (root / "u" / "model_index.json").write_text("{}")
    return root / "u"


def controlnet(root: Path) -> Path:
    """A folder as diffusers has it."""
    save_controlnet(ControlNet.beside(tiny_ldm.text_unet(16), (4, 4, 4)), root / "c")
    return root / "c"


def original_controlnet(root: Path) -> Path:
    save_controlnet(ControlNet.beside(tiny_ldm.text_unet(16), (4, 4, 4)), root / "c.safetensors", "original")
    return root / "c.safetensors"


def weights(suffix: str) -> Callable[[Path], Path]:
    def write(root: Path) -> Path:
        write_weights({"x": torch.zeros(2)}, root / f"w{suffix}")
        return root / f"w{suffix}"

    return write


def sharded(root: Path, name: str = "model.safetensors", state: dict[str, Any] | None = None) -> Path:
    """An index that names two files beside it."""
    state = state or {"x": torch.zeros(2), "y": torch.ones(2)}
    places = {key: f"{i % 2}-{name}" for i, key in enumerate(state)}
    for shard in set(places.values()):
        write_weights({key: value for key, value in state.items() if places[key] == shard}, root / shard)
    (root / f"{name}.index.json").write_text(json.dumps({"weight_map": places}))
    return root / f"{name}.index.json"


def lora(root: Path) -> Path:
    names = "lora_unet_time_embedding_linear_1", "lora_te_text_model_encoder_layers_0_mlp_fc1"
    state = {f"{name}.lora_{part}.weight": torch.zeros(2, 2) for name in names for part in ("up", "down")}
    write_weights(state, root / "l.safetensors")
    return root / "l.safetensors"


def peft(root: Path) -> Path:
    (root / "p").mkdir()
    (root / "p/adapter_config.json").write_text('{"peft_type": "LORA", "r": 2, "lora_alpha": 4}')
    state = {f"base_model.model.time_embedding.linear_1.lora_{side}.weight": torch.zeros(2, 2) for side in "AB"}
    write_weights(state, root / "p/adapter_model.safetensors")
    return root / "p"


def ours(root: Path) -> Path:
    whole = tiny_ldm.ldm_text()
    save_checkpoint(LatentDiffusion(whole.unet, whole.autoencoder, tokenizer=tokenizer()), root / "m")
    return root / "m"


def diffusers(root: Path) -> Path:
    save_diffusers(tiny_ldm.unconditional(), root / "m")
    return root / "m"


def snapshot(root: Path) -> Path:
    """A pipeline as the hub's cache has it: links to blobs, the UNet in shards."""
    tiny_pipelines.stable_diffusion(root / "made").save_pretrained(root / "m")
    unet = root / "m" / "unet"
    [whole] = unet.glob("*.safetensors")
    sharded(unet, "diffusion_pytorch_model.safetensors", read_weights(whole))
    whole.unlink()
    (root / "blobs").mkdir()
    for i, file in enumerate([file for file in (root / "m").rglob("*") if file.is_file()]):
        blob = file.rename(root / "blobs" / f"{i}")
        file.symlink_to(blob)
    return root / "m"


def compvis(root: Path) -> Path:
    save_compvis(tiny_ldm.class_conditional(), root / "sd-v1.4.safetensors")
    return root / "sd-v1.4.safetensors"


def compvis_in_a_folder(root: Path) -> Path:
    return compvis(root / "m").parent


def component(root: Path) -> Path:
    return diffusers(root) / "unet"


def config(root: Path) -> Path:
    return compvis(root).with_suffix(".yaml")


def tokenizer() -> Any:
    return train_wordpiece(["a red circle"], 64, 12)


def own_tokenizer(root: Path) -> Path:
    tokenizer().save(root / "t")
    return root / "t"


def vocabulary(root: Path) -> Path:
    words = tokenizer().backend.get_vocab()
    (root / "t").mkdir()
    (root / "t" / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)))
    (root / "t" / "config.json").write_text('{"model_type": "bert"}')
    write_weights({"x": torch.zeros(2)}, root / "t" / "model.safetensors")
    return root / "t"


def merges(root: Path) -> Path:
    tiny_pipelines.tiny_clip_tokenizer(root / "t")
    (root / "t" / "tokenizer_config.json").write_text('{"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}')
    return root / "t"


def images_of_pairs(root: Path) -> Path:
    return sources.pairs(root, 3)[0]


def others_of_pairs(root: Path) -> Path:
    return sources.pairs(root, 3)[1]


def annotations(root: Path) -> Path:
    return sources.coco(root, 3)[0]


def one_shard(root: Path) -> Path:
    return next(sources.shards(root, 2, 1).glob("*.tar"))


def shards(root: Path) -> Path:
    return sources.shards(root / "d", 4)


def one_parquet(root: Path) -> Path:
    return next(sources.parquet(root, 2, 1).glob("*.parquet"))


def parquet(root: Path) -> Path:
    return sources.parquet(root / "d", 4)


def statistics(root: Path) -> Path:
    Statistics(torch.zeros(2), torch.eye(2)).save(root / "s.npz")
    return root / "s.npz"


def pretrained(write: Callable[[Path], Any]) -> Callable[[Path], Path]:
    def folder(root: Path) -> Path:
        write(root / "p")
        return root / "p"

    return folder


def table(root: Path) -> Path:
    save_table(table_of({"step": [1, 2], "loss": [0.5, 0.25]}), root / "t.csv")
    return root / "t.csv"


SAMPLES: dict[str, list[Callable[[Path], Path]]] = {
    "image_folder.path": [pictures],
    "picture_table.path": [lambda root: sources.table(root, 3), lambda root: sources.table(root, 3, "csv")],
    "image_mask_pairs.images": [images_of_pairs],
    "image_mask_pairs.masks": [others_of_pairs],
    "image_map_pairs.images": [images_of_pairs],
    "image_map_pairs.maps": [others_of_pairs],
    "coco_objects.annotations": [annotations],
    "coco_objects.images": [lambda root: sources.coco(root, 3)[1]],
    "arrow_dataset.path": [parquet, one_parquet, lambda root: sources.saved(root / "s", 3)],
    "parquet_stream.path": [parquet, one_parquet],
    "webdataset_shards.path": [shards, one_shard],
    "webdataset_stream.path": [shards, one_shard],
    "load_image.path": [lambda root: picture(root / "a.png")],
    "load_mask_image.path": [lambda root: picture(root / "a.png")],
    "load_checkpoint.path": [
        *(ours, diffusers, snapshot, compvis, compvis_in_a_folder, component, sharded),
        *(model(tiny_ldm.unconditional().autoencoder.__class__), model(tiny_ldm.kl)),
    ],
    "load_controlnet.path": [controlnet, original_controlnet, sharded],
    "load_t2i_adapter.path": [model(adapter), weights(".pth"), sharded],
    "load_ip_adapter.path": [model(ip_adapter), weights(".bin"), weights(".safetensors")],
    "load_image_encoder.path": [pretrained(tiny_pretrained.clip_vision)],
    "load_image_embedder.path": [model(image_embedder), unclip, weights(".safetensors")],
    "load_checkpoint.config": [config],
    "load_checkpoint.tokenizer": [own_tokenizer, vocabulary, merges],
    "load_tokenizer.path": [own_tokenizer, vocabulary, merges],
    "lora.path": [lora, peft],
    "textual_inversion.path": [weights(".pt"), weights(".safetensors")],
    "lora_unet.path": [lora, sharded],
    "lora_text_encoder.path": [lora],
    "lpips_network.vgg": [weights(".pth"), weights(".safetensors"), sharded],
    "lpips_network.heads": [weights(".pth")],
    "inception_network.path": [weights(".pth"), sharded],
    "dinov2_network.path": [pretrained(tiny_pretrained.dinov2)],
    "clip_score_network.path": [pretrained(tiny_pretrained.clip)],
    "load_statistics.path": [statistics],
    "load_table.path": [table],  # a .parquet is opened by Arrow, of which Python hears nothing
    "load_classifier.path": [model(classifier)],
    "load_autoencoder.path": [model(tiny_ldm.kl)],
    "load_unet.path": [model(lambda: tiny_ldm.text_unet(16))],
    "load_model.path": [model(lambda: tiny_ldm.text_unet(16))],
    "load_class_embedder.path": [model(lambda: tiny_ldm.class_conditional().conditioner)],
    "load_discriminator.path": [weights(".safetensors")],
}
"""Small inputs for each path that a node takes; a new one needs its own here."""

_opened: list[str] | None = None


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None and isinstance(arguments[0], str | bytes):
        _opened.append(arguments[0] if isinstance(arguments[0], str) else arguments[0].decode())


sys.addaudithook(_hear)  # for good: Python takes none away


@contextmanager
def opened(below: Path) -> Iterator[set[Path]]:
    """The files below a folder that are opened meanwhile, links followed."""
    global _opened
    _opened, found = [], set[Path]()
    try:
        yield found
    finally:
        found |= {path.resolve() for path in map(Path, _opened) if path.is_absolute() and path.is_relative_to(below)}
        _opened = None


def opens(spec: NodeSpec, name: str, path: Path, root: Path, other: Path) -> set[Path]:
    """The files below `root` that the node opens for this path; what it opened before it failed counts as well."""
    own: dict[str, Any] = {"workspace": other, "device": torch.device("cpu"), "progress": lambda *_: None}
    own["tell"] = lambda *_: None
    given = {parameter: own[kind] for parameter, kind in spec.injected.items() if kind in own}
    given |= {parameter: Rng(0) for parameter, kind in spec.injected.items() if kind == "rng"}
    if "tokenizer" in spec.input and spec.type != "load_checkpoint":
        given["tokenizer"] = tokenizer()
    if "unet" in spec.input:
        given["unet"] = tiny_ldm.text_unet(16)
    if "text_encoder" in spec.input:
        given["text_encoder"] = tiny_ldm.clip()
    if spec.type == "load_checkpoint" and name != "path":
        given["path"] = str(compvis(other))
    if name == "heads":
        given["vgg"] = str(weights(".pth")(other))
    if spec.type.endswith("_pairs"):
        given |= dict(zip([port.name for port in spec.inputs], map(str, sources.pairs(other, 3)), strict=False))
    if spec.type == "coco_objects":
        given |= dict(zip(("annotations", "images"), map(str, sources.coco(other, 3)), strict=True))
    with opened(root) as found, suppress(ValueError, RuntimeError):
        read_whole(spec.function(**given | {name: str(path)}))
    return found


def read_whole(value: Any) -> None:
    """All samples of a data set or a stream: its files are opened when they are asked for."""
    if hasattr(value, "iterate"):
        value.collate([sample for sample, _ in value.iterate()])
    elif hasattr(value, "get_batch"):
        for i in range(len(value)):
            value[i]


def test_every_path_has_a_sample() -> None:
    paths = [(spec, name) for spec in REGISTRY.values() for name in spec.path_kinds]
    # Checkpoints are read by the engine, and their keys are of the files that hold the checksums of the rest.
    by_engine = {
        f"{spec.type}.{name}"
        for spec, name in paths
        if name == spec.continues_from or spec.params[name].reads is checksums_of
    }
    taken = {f"{spec.type}.{name}" for spec, name in paths} - by_engine
    assert taken == SAMPLES.keys()


@pytest.mark.parametrize(
    ("port", "number"), [(port, i) for port, samples in SAMPLES.items() for i in range(len(samples))]
)
def test_what_a_node_opens_is_in_its_key(port: str, number: int, tmp_path: Path) -> None:
    spec, name = REGISTRY[port.partition(".")[0]], port.partition(".")[2]
    root = tmp_path / "root"
    root.mkdir()
    path = SAMPLES[port][number](root)
    reads = spec.params[name].reads or all_files
    covered = {file.resolve() for file in reads(path).values()}
    assert covered, "nothing at all would be a part of the key"
    key = Contents().key(spec.type, path, spec.params[name].reads)
    found = opens(spec, name, path, root, tmp_path / "other")
    assert found <= covered
    assert (found & covered) or spec.type.endswith("tokenizer") or name == "tokenizer", "it was not even opened"
    if path.is_dir():
        for foreign in FOREIGN:
            (path / foreign).parent.mkdir(exist_ok=True)
            picture(path / ".x.png").rename(path / foreign)
        assert Contents().key(spec.type, path, spec.params[name].reads) == key
    for file in sorted(covered):
        content = file.read_bytes()
        file.write_bytes(content + b" ")
        assert Contents().key(spec.type, path, spec.params[name].reads) != key, f"{file} was changed"
        file.write_bytes(content)
    assert Contents().key(spec.type, path, spec.params[name].reads) == key


def test_another_kind_of_file_that_appears_is_noticed(tmp_path: Path) -> None:
    """A yaml beside a checkpoint overrules what its weights look like; weights of another name go before others."""
    reads = REGISTRY["load_checkpoint"].params["path"].reads
    file = compvis(tmp_path)
    (tmp_path / "sd-v1.4.yaml").rename(tmp_path / "sd-v1.yaml")
    without = Contents().key("n", file, reads)
    (tmp_path / "sd-v1.yaml").rename(tmp_path / "sd-v1.4.yaml")
    assert Contents().key("n", file, reads) != without
    folder = component(tmp_path)
    before = Contents().key("n", folder, reads)
    [whole] = folder.glob("*.safetensors")
    (folder / "pytorch_model.bin").write_bytes(whole.read_bytes())
    assert Contents().key("n", folder, reads) == before
    whole.rename(folder / "model.safetensors")
    assert Contents().key("n", folder, reads) != before


def data_of(folder: Path) -> Any:
    """What an `ImageFolder` makes of a folder: names, classes, captions, and the bytes it decodes."""
    try:
        images = ImageFolder(folder, 8)
    except ImageError as error:
        return str(error)
    batch = images.get_batch(range(len(images)))
    return images.files, images.classes, batch["labels"].tolist(), batch["captions"], batch["images"].tolist()


@pytest.mark.parametrize("seed", range(cases(15, 1000)))
def test_a_folder_of_pictures_has_another_key_where_its_data_is_another(seed: int, tmp_path: Path) -> None:
    """Random trees with links and loops, hidden and foreign files: what the loader sees and what the key says agree."""
    rng = random.Random(seed)
    names = ["a.png", "b.JPG", "c.v2.png", "c.v2.txt", "c.v2.caption", "a.txt", "a.caption", "d.txt", ".x.png"]
    names += ["Thumbs.db", "film.mp4", "phone.HEIC"]
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    folders = [root, root / "p", root / ".q", root / "p" / "r", elsewhere, elsewhere / "s"]

    def write() -> None:
        file = rng.choice(folders) / rng.choice(names)
        if file.suffix in (".txt", ".caption", ".db", ".mp4", ".HEIC"):
            file.write_text(f"{rng.choice(['red', 'green'])} in {file.suffix}")
        else:
            picture(file.with_suffix(".png"), rng.choice([0, 255])).rename(file)

    for folder in folders:
        folder.mkdir(exist_ok=True)
    picture(root / "p" / "sure.png")
    for _ in range(8):
        write()
    for i in range(4):
        link = rng.choice(folders) / f"l{i}{rng.choice(['', '.png', '.txt'])}"
        link.symlink_to(rng.choice([*folders, root / "p" / "sure.png", tmp_path / "nothing"]))
    for _ in range(4):
        before, key = data_of(root), Contents().key("n", root, image_files)
        write()
        same = data_of(root) == before
        assert (Contents().key("n", root, image_files) == key) == same
