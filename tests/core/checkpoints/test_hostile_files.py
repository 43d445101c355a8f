"""Model files that accident or ill will has changed: read, or refused in a sentence that names the file.

Never is code run, memory taken out of proportion to the file, or time without end.
"""

from __future__ import annotations

import io
import json
import pickle
import resource
import shutil
import signal
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from core.checkpoints.compvis import save_compvis
from core.checkpoints.compvis_config import read_yaml
from core.checkpoints.diffusers_folder import save_diffusers
from core.checkpoints.files import CheckpointError
from core.checkpoints.latent_diffusion import LatentDiffusion
from core.checkpoints.load import load_checkpoint, save_checkpoint
from core.checkpoints.lora import merge_lora, read_lora
from core.checkpoints.model_io import load_model, save_model
from core.checkpoints.weights import read_weights
from core.conditioning.tokenizer import TextTokenizer, train_wordpiece
from core.images import ImageError, load_image, save_png
from core.models.unet import UNet
from tests import mutations
from tests.core.checkpoints import tiny_ldm
from tests.effort import cases

GIB = 2**30
HANGS = 60
"""Seconds after which a case counts as hanging."""


@pytest.fixture(scope="module", autouse=True)
def bounded() -> Iterator[None]:
    """At most 2 GiB more than what is in use: what asks for more fails."""
    tiny_ldm.clip()  # what is imported late is in use by now
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * GIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def no_hang(told: str) -> Iterator[None]:
    def over(*_: Any) -> None:
        raise AssertionError(f"hangs: {told}")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(HANGS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


# --- one tiny file or folder of each kind that is read ------------------------------------------------------------------


def unet() -> UNet:
    return tiny_ldm.randomise(UNet(3, 3, 8, [1, 2], 1, [2], num_heads=2, norm_groups=4), 1)


def lora_state() -> dict[str, torch.Tensor]:
    key = "lora_unet_mid_block_attentions_0_to_q"
    parts = {"lora_down.weight": torch.ones(2, 16), "lora_up.weight": torch.ones(16, 2), "alpha": torch.tensor(2.0)}
    return {f"{key}.{name}": value for name, value in parts.items()}


def write_ckpt(folder: Path, legacy: bool) -> Path:
    save_compvis(tiny_ldm.class_conditional(), folder / "plain.safetensors")
    content = {"state_dict": read_weights(folder / "plain.safetensors"), "epoch": 3}
    torch.save(content, folder / "model.ckpt", _use_new_zipfile_serialization=not legacy)
    (folder / "plain.yaml").rename(folder / "model.yaml")
    (folder / "plain.safetensors").unlink()
    return folder / "model.ckpt"


def write_bin(folder: Path) -> Path:
    save_diffusers(LatentDiffusion(autoencoder=tiny_ldm.vq(levels=2)), folder / "model")
    part = folder / "model" / "vae"
    weights = part / "diffusion_pytorch_model.safetensors"
    torch.save(read_weights(weights), weights.with_suffix(".bin"))
    weights.unlink()
    return part


def write_tokenizer(folder: Path) -> Path:
    train_wordpiece(["a red circle", "a blue square"], 64, 12).save(folder / "tokenizer")
    return folder / "tokenizer"


def write(kind: str, folder: Path) -> Path:
    """Write the file or folder of a kind, and give what its reader is given."""
    match kind:
        case "safetensors":
            save_model(unet(), folder / "model.safetensors", {"title": "x"})
            return folder / "model.safetensors"
        case "folder":
            save_checkpoint(tiny_ldm.class_conditional(), folder / "model")
            return folder / "model"
        case "compvis":
            save_compvis(LatentDiffusion(autoencoder=tiny_ldm.kl()), folder / "model.safetensors")
            (folder / "model.yaml").unlink()  # the architecture is read from names and shapes
            return folder / "model.safetensors"
        case "ckpt" | "legacy ckpt":
            return write_ckpt(folder, legacy=kind != "ckpt")
        case "diffusers":
            save_diffusers(tiny_ldm.unconditional(), folder / "model")
            return folder / "model"
        case "bin":
            return write_bin(folder)
        case "lora":
            save_file(lora_state(), folder / "lora.safetensors", {"lora_adapter_metadata": '{"unet.lora_alpha": 2}'})
            return folder / "lora.safetensors"
        case "tokenizer":
            return write_tokenizer(folder)
        case _:
            save_png(folder / "picture.png", torch.zeros(3, 8, 8), {"workflow": "{}"})
            return folder / "picture.png"


READERS: dict[str, Callable[[Path], object]] = {
    "lora": lambda path: merge_lora(unet(), read_lora(path)),
    "tokenizer": lambda path: TextTokenizer.load(path)(["a red circle"]),
    "picture": load_image,
}
KINDS = ("safetensors", "folder", "compvis", "ckpt", "legacy ckpt", "diffusers", "bin", *READERS)
REFUSALS = (CheckpointError, ImageError)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    """The folder of each kind, and what in it its reader is given."""
    found = {}
    for kind in KINDS:
        folder = tmp_path_factory.mktemp(kind.replace(" ", "_"))
        path = write(kind, folder)
        READERS.get(kind, load_checkpoint)(path)  # as it is, it is read
        found[kind] = folder, path.relative_to(folder).as_posix()
    return found


def change(file: Path, random: Random) -> None:
    """Change a file as its format allows: its header, its index, or any of its bytes."""
    data = file.read_bytes()
    structured = random.random() < 0.7
    if structured and file.suffix == ".json":
        changed = mutations.text(mutations.document(json.loads(data), random))
    elif structured and file.suffix == ".safetensors":
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        described = header.get("__metadata__", {}).get("latent_loom")
        if described and random.random() < 0.7:
            header["__metadata__"]["latent_loom"] = json.dumps(mutations.document(json.loads(described), random))
        else:
            header = mutations.document(header, random)
        text = mutations.text(header)
        changed = struct.pack("<Q", len(text)) + text + data[8 + length :]
    elif structured and zipfile.is_zipfile(io.BytesIO(data)):
        changed = repacked(data, random)
    else:
        changed = mutations.bytes_of(data, random)
    file.write_bytes(changed)


def repacked(data: bytes, random: Random) -> bytes:
    """A zip archive with one of its entries changed, renamed, packed or left out."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w") as new:
        names = old.namelist()
        index = next(name for name in names if name.endswith("data.pkl"))
        chosen = random.choice([index, index, random.choice(names)])
        for name in names:
            content, how = old.read(name), random.randrange(6) if name == chosen else -1
            if how == 0:
                continue
            renamed = f"../{name}" if how == 1 else name
            content = mutations.bytes_of(content, random) if how >= 3 else content
            new.writestr(renamed, content, zipfile.ZIP_DEFLATED if how == 2 else zipfile.ZIP_STORED)
    return packed.getvalue()


def refusal(read: Callable[[Path], object], path: Path, kinds: Any) -> str | None:
    """The sentence in which a reader refuses a file; None where it reads it. Other errors go on."""
    try:
        read(path)
    except kinds as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_changed_files_are_read_or_refused(kind: str, originals: dict[str, tuple[Path, str]], tmp_path: Path) -> None:
    original, name = originals[kind]
    read = READERS.get(kind, load_checkpoint)
    refused = 0
    for number in range(cases(20, 250)):
        random, folder = Random(f"{kind} {number}"), tmp_path / str(number)
        shutil.copytree(original, folder)
        change(random.choice(sorted(file for file in folder.rglob("*") if file.is_file())), random)
        with no_hang(f"{kind} {number}"):
            told = refusal(read, folder / name, ValueError if kind == "tokenizer" else REFUSALS)
        assert told is None or str(folder) in told, f"{kind} {number}: the file is not named: {told}"
        assert told is None or len(told) < 3000, f"{kind} {number}: a message is for people"
        refused += told is not None
        shutil.rmtree(folder)
    assert refused, "some of the changes are told"


# --- what is made on purpose --------------------------------------------------------------------------------------------


def opcodes(value: Any) -> bytes:
    """A plain value as pickle instructions, without frame and memo."""
    return pickle.dumps(value, 2)[2:-1].replace(b"q\x00", b"")


def index_of(count: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], views: bytes = b"") -> bytes:
    """A pickle as torch.save writes it, of one tensor `w` in a storage of so many float32 numbers."""
    storage = b"ctorch\nFloatStorage\n" + opcodes("0") + opcodes("cpu") + opcodes(count) + views
    place = b"(" + opcodes("storage") + storage + b"tQ"
    rest = opcodes(offset) + opcodes(shape) + opcodes(stride) + b"\x89ccollections\nOrderedDict\n)R"
    return b"\x80\x02}" + opcodes("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + place + rest + b"tRs."


def zipped(index: bytes, numbers: bytes = b"\0" * 16, packing: int = zipfile.ZIP_STORED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", packing) as archive:
        archive.writestr("archive/data.pkl", index)
        archive.writestr("archive/data/0", numbers)
        archive.writestr("../../outside", b"never written")
    return packed.getvalue()


def row(index: bytes, numbers: bytes = b"") -> bytes:
    """The older form."""
    head = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return head + index + pickle.dumps(["0"], 2) + numbers


def called(name: str, argument: int) -> bytes:
    """A pickle of a few bytes that calls something with a number."""
    return row(b"\x80\x02c" + name.replace(".", "\n").encode() + b"\n" + opcodes(argument) + b"\x85R.")


def doubled(levels: int) -> bytes:
    """A pickle that copies a dictionary into another again and again."""
    step = b"ccollections\nOrderedDict\nh\x00\x85R0"
    entries = b"".join(opcodes(i) + b"N" for i in range(20_000))
    return b"\x80\x02}q\x00(" + entries + b"u" + step * levels + b"."


HUGE = 4_000_000_000
FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a tensor of 16 GB": (lambda: called("torch.Tensor", HUGE), "damaged"),
    "a float tensor of 16 GB": (lambda: called("torch.FloatTensor", HUGE), r"run code on loading \(torch.FloatTensor"),
    "bytes of 16 GB": (lambda: called("builtins.bytearray", HUGE), "damaged"),
    "a memo of 32 GB": (lambda: row(b"\x80\x02}r\xff\xff\xff\x7f."), "damaged"),
    "text of 16 GB": (lambda: b"\x80\x02X\xff\xff\xff\xff.", "damaged"),
    "bytes8 of 16 GB": (lambda: b"\x80\x05\x96\0\0\0\0\x04\0\0\0.", "damaged"),
    "an old storage of 16 GB": (lambda: row(index_of(HUGE, 0, (HUGE,), (1,), b"N")), "declares 16,000,000,000"),
    "a storage of 16 GB": (lambda: zipped(index_of(HUGE, 0, (HUGE,), (1,))), "declares 16,000,000,000"),
    "a storage unlike its record": (lambda: zipped(index_of(8, 0, (2, 2), (2, 1))), "declares 32 bytes for its record"),
    "a tensor beyond its storage": (lambda: zipped(index_of(4, 2, (2, 2), (2, 1))), "damaged"),
    "strides beyond it": (lambda: zipped(index_of(4, 0, (2, 2), (2**40, 1))), "damaged"),
    "a stride backwards": (lambda: zipped(index_of(4, 0, (2, 2), (-2, 1))), "damaged"),
    "one number a billion times": (lambda: zipped(index_of(4, 0, (10**9,), (0,))), "damaged"),
    "a zip bomb": (
        lambda: zipped(index_of(4, 0, (4,), (1,)), b"\0" * 50_000_000, zipfile.ZIP_DEFLATED),
        "a packed archive",
    ),
    "an archive of something else": (lambda: zipped(b"")[:0] + some_zip(), "without a model in it"),
    "a deep pickle": (lambda: b"\x80\x02" + b"(" * 600_000 + b"t" * 600_000 + b".", "over 1,000,000 operations"),
    "deep, not very": (lambda: zipped(b"\x80\x02" + b"(" * 90_000 + b"t" * 90_000 + b"."), "no tensors by name"),
    "millions of operations": (lambda: b"\x80\x02" + b"N0" * 1_000_000 + b"N.", "over 1,000,000 operations"),
    "a dictionary copied again and again": (lambda: row(doubled(1000)), "damaged"),
    "a header of 2 GB": (lambda: struct.pack("<Q", 2**31) + b'{"a":1}' + b" " * 50, "damaged"),
    "a negative header": (lambda: b"\xff" * 8 + b'{"a":1}', "damaged"),
    "overlapping tensors": (
        lambda: of_header({n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"}, 8),
        "damaged",
    ),
    "a tensor beyond the file": (
        lambda: of_header({"a": {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}}, 8),
        "damaged",
    ),
}


def some_zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("holiday.txt", b"sun")
    return packed.getvalue()


def of_header(header: dict[str, Any], length: int) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"\0" * length


@pytest.mark.parametrize("name", FILES)
def test_what_a_file_declares_is_not_believed(name: str, tmp_path: Path) -> None:
    content, told = FILES[name]
    path = tmp_path / "model.ckpt"
    path.write_bytes(content())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with no_hang(name), pytest.raises(CheckpointError, match=told) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000, "kilobytes"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.ckpt"]
    assert not (tmp_path.parent / "outside").exists()


def test_what_the_pickles_above_are_changed_from_is_read(tmp_path: Path) -> None:
    numbers = torch.arange(4.0).numpy().tobytes()
    (tmp_path / "new.ckpt").write_bytes(zipped(index_of(4, 0, (2, 2), (1, 2)), numbers))
    (tmp_path / "old.ckpt").write_bytes(row(index_of(4, 0, (2, 2), (1, 2), b"N"), struct.pack("<q", 4) + numbers))
    for name in ("new.ckpt", "old.ckpt"):
        assert read_weights(tmp_path / name)["w"].tolist() == [[0, 2], [1, 3]], name


@pytest.mark.parametrize(
    "name", ["posix.system", "builtins.eval", "torch.load", "numpy.load", "os.mkdir", "_codecs.decode"]
)
@pytest.mark.parametrize("form", ["zip", "row", "plain", "second name"])
def test_no_name_outside_the_table_is_called(name: str, form: str, tmp_path: Path) -> None:
    canary, path = tmp_path / "canary", tmp_path / "model.ckpt"
    module, _, function = name.rpartition(".")
    call = f"c{module}\n{function}\n".encode() + opcodes(str(canary)) + b"\x85R"
    if form == "second name":  # by the instruction that takes the name from the stack
        call = opcodes(module) + opcodes(function) + b"\x93" + opcodes(str(canary)) + b"\x85R"
    index = b"\x80\x02" + call + b"."
    path.write_bytes({"zip": zipped(index), "row": row(index)}.get(form, index))
    with pytest.raises(CheckpointError, match="so it was not loaded"):
        read_weights(path)
    assert not canary.exists()


def test_a_pickle_cannot_give_a_dictionary_methods_of_its_own(tmp_path: Path) -> None:
    attributes = b"}(" + opcodes("items") + b"N" + opcodes("get") + b"Nub"
    tensor = index_of(4, 0, (4,), (1,))[3:-2]
    index = b"\x80\x02ccollections\nOrderedDict\n)R" + attributes + tensor + b"s."
    (tmp_path / "model.ckpt").write_bytes(zipped(index))
    assert read_weights(tmp_path / "model.ckpt").keys() == {"w"}


def test_a_ckpt_of_seven_gigabytes_is_mapped(tmp_path: Path) -> None:
    """Of a sparse file: what is not looked at is not read."""
    count = 7 * 2**30 // 4
    path = tmp_path / "large.ckpt"
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        entry = zipfile.ZipInfo("archive/data.pkl")
        archive.writestr(entry, index_of(count, 0, (count,), (1,)))
        record = zipfile.ZipInfo("archive/data/0")
        record.extra = b"\0\0\x02\0ab"  # numbers begin at a multiple of four
        record.extra += (
            b"FB" + struct.pack("<H", pad := (-(file.tell() + 30 + len(record.filename) + 30)) % 64) + b"\0" * pad
        )
        with archive.open(record, "w", force_zip64=True) as stream:
            stream.write(b"\0" * 64)
            begin = file.tell()
            file.seek(4 * count - 64, io.SEEK_CUR)  # a hole
            stream._file_size = stream._compress_size = 4 * count  # type: ignore[attr-defined]
    assert begin
    used = resident()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))  # a mapping counts whole, whatever is read of it
    try:
        weights = read_weights(path)
        assert weights["w"].shape == (count,)
        assert weights["w"][-1] == 0
        assert resident() - used < GIB
        del weights
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


# --- configurations -----------------------------------------------------------------------------------------------------

CONFIGURED: list[dict[str, Any]] = [
    {"channel_mult": [1] * 100_000},
    {"channel_mult": []},
    {"channel_mult": [0, 1]},
    {"channel_mult": "12"},
    {"num_res_blocks": 10**9},
    {"num_res_blocks": 10**30},
    {"transformer_depth": 10**9, "context_dim": 8},
    {"model_channels": 10**6},
    {"model_channels": 0},
    {"in_channels": -8},
    {"in_channels": 1.5},
    {"num_heads": 3},
    {"num_heads": 0},
    {"num_heads": "two"},
    {"norm_groups": 0},
    {"num_classes": 10**12},
    {"frob": 1},
]


@pytest.mark.parametrize("change", CONFIGURED, ids=lambda change: "-".join(change))
def test_a_configuration_is_followed_as_far_as_the_weights_reach(change: dict[str, Any], tmp_path: Path) -> None:
    model = unet()
    described = {"latent_loom": 1, "model": "UNet", "config": model.config | change}
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(model.state_dict(), {"latent_loom": json.dumps(described)}))
    with no_hang(str(change)), pytest.raises(CheckpointError, match="configur") as caught:
        load_model(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("unet", {"layers_per_block": 10**9}),
        ("unet", {"block_out_channels": [32] * 100_000, "down_block_types": ["DownBlock2D"] * 100_000}),
        ("unet", {"block_out_channels": [10**12, 10**12]}),
        ("unet", {"block_out_channels": []}),
        ("unet", {"norm_num_groups": 0}),
        ("unet", {"down_block_types": 7}),
        ("vqvae", {"num_vq_embeddings": 10**12}),
        ("vqvae", {"latent_channels": -8}),
        ("vqvae", {"scaling_factor": "much"}),
        ("scheduler", {"num_train_timesteps": 10**12}),
        ("scheduler", {"trained_betas": [0.5] * 200_000}),
        ("scheduler", {"beta_start": None}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_diffusers_configuration_is_followed_no_further(part: str, change: dict[str, Any], tmp_path: Path) -> None:
    save_diffusers(tiny_ldm.unconditional(), tmp_path / "model")
    file = tmp_path / "model" / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with no_hang(str(change)[:80]), pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "model")
    assert str(tmp_path / "model") in str(caught.value)


@pytest.mark.parametrize("config", [[], 3, None, "x", {"latent_loom": []}, {"latent_loom": 1, "model": ["UNet"]}])
def test_a_description_of_another_form_is_refused(config: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(unet().state_dict(), {"latent_loom": json.dumps(config)}))
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_model(path)


@pytest.mark.parametrize(
    "key",
    [
        "model.diffusion_model.output_blocks.999999999999.0.w",
        "model.diffusion_model.input_blocks." + "9" * 5000 + ".0.w",
    ],
)
def test_names_that_count_further_than_there_are_weights_are_refused(key: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    first = "model.diffusion_model.input_blocks.0.0.weight"
    save_file({key: torch.ones(1), first: torch.ones(8, 3, 3, 3)}, path)
    with no_hang(key[:60]), pytest.raises(CheckpointError, match="holds no UNet"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghijklmnopqrstuv", "bcdefghijklmnopqrstuvw", strict=True)), "too many values"),
        ("a: &a {x: 1}\n" + "".join(f"{b}: &{b} {{<<: [*{a}, *{a}]}}\n" for a, b in zip("abcdefghijklmnopqrstuv", "bcdefghijklmnopqrstuvw", strict=True)), "too many values"),
        ("model: &m [*m]", "too many values"),
        ("[" * 20_000, "is not a yaml file"),
        ("model: !!python/object/apply:os.system [touch canary]", "is not a yaml file"),
        ("model: " + "1" * 5000, "is not a yaml file"),
        ("x" * 300_000, "which no model's yaml has"),
        ("model: {params: {unet_config: {params: {}}, first_stage_config: 3}}", "cannot be built"),
        ("model: {}\nlatent_loom: {unet: {model: UNet, config: 3}}", "describes no model"),
        ("model: {}\nlatent_loom: [1]", "describes no model|no checkpoint|cannot"),
    ],
    ids=["aliases", "merges", "circle", "deep", "python", "digits", "long", "types", "part", "list"],
)  # fmt: skip
def test_a_yaml_stands_for_no_more_than_it_says(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    with no_hang(told), pytest.raises(CheckpointError, match=told) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value)
    assert not Path("canary").exists()


def test_shards_lie_in_their_folder_and_are_no_lists_of_shards(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    for weight_map, told in [
        ({"w": "../w.safetensors"}, "outside its folder"),
        ({"w": index.name}, "outside its folder"),
        ({"w": 3}, "lists no shards"),
        ([], "lists no shards"),
        ({"w": "\0"}, r"index\.json"),
    ]:
        index.write_text(json.dumps({"weight_map": weight_map}))
        with pytest.raises(CheckpointError, match=told):
            read_weights(index)


@pytest.mark.parametrize(
    "change",
    [
        {"lora_down.weight": torch.ones(1, 1_000_000), "lora_up.weight": torch.ones(1_000_000, 1)},
        {"lora_down.weight": torch.ones(100_000, 16), "lora_up.weight": torch.ones(16, 100_000)},
        {"lora_down.weight": torch.ones(0, 16), "lora_up.weight": torch.ones(16, 0)},
        {"lora_down.weight": torch.tensor(1.0), "lora_up.weight": torch.tensor(1.0)},
        {"alpha": torch.ones(3)},
    ],
    ids=["wide", "rank", "empty", "scalars", "alphas"],
)
def test_a_lora_computes_nothing_larger_than_the_weight(change: dict[str, torch.Tensor], tmp_path: Path) -> None:
    key = "lora_unet_mid_block_attentions_0_to_q."
    path = tmp_path / "lora.safetensors"
    save_file(lora_state() | {key + name: value for name, value in change.items()}, path)
    with no_hang("lora"), pytest.raises(CheckpointError, match=r"lora\.safetensors"):
        merge_lora(unet(), read_lora(path))


def test_a_picture_of_ten_billion_pixels_is_refused(tmp_path: Path) -> None:
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0))
    path = tmp_path / "huge.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))
    with pytest.raises(ImageError, match=r"huge\.png.*pixels"):
        load_image(path)
