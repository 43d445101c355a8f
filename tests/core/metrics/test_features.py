"""The feature networks: what the small one notices, and that Inception-v3 is the published one."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from core.checkpoints.files import CheckpointError
from core.data.shapes import Shapes
from core.metrics.distribution import frechet_distance
from core.metrics.features import SmallFeatures, extract_features
from core.metrics.inception import InceptionV3, _resampling


def test_the_small_network_notices_what_makes_images_worse() -> None:
    torch.manual_seed(0)
    real = Shapes(size=400, seed=1).get_batch(range(400))
    batch = Shapes(size=1200, seed=2).get_batch(range(1200))
    images, labels = batch["images"], batch["labels"]
    network = SmallFeatures()
    known = extract_features(network, real["images"].split(100))
    assert known.shape == (400, network.num_features)

    def distance(images: Tensor) -> float:
        return frechet_distance(known, extract_features(network, images[:400].split(100)))

    same = distance(images)
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    # Each worse than other images of the same kind by a clear factor, and more so with more of it.
    assert same < 0.6 * distance(images + 0.1 * torch.randn_like(images))
    assert distance(images + 0.1 * torch.randn_like(images)) < 0.5 * distance(images + 0.3 * torch.randn_like(images))
    assert same < 0.2 * distance(blurred)
    assert same < 0.5 * distance(images[labels < 6])  # circles only
    assert same < 0.5 * distance(images[:, [1, 2, 0]])
    assert same < 0.2 * distance(Shapes(size=400, objects=2).get_batch(range(400))["images"])


def test_the_small_network_is_the_same_everywhere_and_takes_any_size() -> None:
    network = SmallFeatures()
    assert dict(network.named_parameters()) == {}
    features = network(Shapes(resolution=128, size=2).get_batch(range(2))["images"])
    assert features.shape == (2, 192)
    assert float(network.first.flatten()[0]) == pytest.approx(-0.1488, abs=1e-4)
    with pytest.raises(ValueError, match="16 pixels"):
        network(torch.zeros(1, 3, 8, 8))


def randomise(network: InceptionV3) -> None:
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.ndim == 4:
            nn.init.kaiming_normal_(tensor, generator=generator)
        elif name.endswith(("bn.weight", "running_var")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.is_floating_point():
            tensor.normal_(0, 0.1, generator=generator)


def test_inception_loads_its_published_file_and_computes_the_same(tmp_path: Path) -> None:
    network = InceptionV3()
    assert sum(p.numel() for p in network.parameters()) == 23_850_960
    randomise(network)
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    loaded = InceptionV3.load(tmp_path / "inception.pth")
    images = Shapes(resolution=48, size=2).get_batch(range(2))["images"]
    features = loaded(images)
    assert not loaded.training
    assert features.shape == (2, 2048)
    assert loaded.logits(features).shape == (2, 1008)
    # Recorded when these weights gave torch-fidelity 0.4.0's network the same features to 2e-7 of the largest.
    assert torch.allclose(features[0, ::512], torch.tensor([0.00108, 0.04484, 7.7911, 3.3632]), rtol=1e-3, atol=1e-3)


def test_resampling_is_tensorflow_s() -> None:
    # Twice as many pixels: every second one is the old one, those between are means, the last is repeated.
    doubled = _resampling(3, 6) @ torch.tensor([1.0, 2.0, 4.0])
    assert doubled.tolist() == [1, 1.5, 2, 3, 4, 4]
    assert (_resampling(640, 299).sum(1) - 1).abs().max() < 1e-5
    assert torch.equal(_resampling(299, 299), torch.eye(299))


@pytest.mark.parametrize("size", [(64, 48), (512, 400)])
def test_clean_resizing_is_pillow_s(size: tuple[int, int]) -> None:
    """As clean-fid calls it: each channel as floats, bicubic, without rounding."""
    pictures = Shapes(resolution=size[0], size=1).get_batch(range(1))["images"][..., : size[1]]
    seen: list[Tensor] = []
    network = InceptionV3(resizing="clean")
    network.Conv2d_1a_3x3.register_forward_pre_hook(lambda _, given: seen.append(given[0] * 128 + 128))
    with torch.no_grad():
        network(pictures)
    for channel, ours in zip(((pictures[0] + 1) * 127.5).round(), seen[0][0], strict=True):
        theirs = Image.fromarray(channel.numpy(), mode="F").resize((299, 299), Image.Resampling.BICUBIC)
        assert np.abs(ours.numpy() - np.asarray(theirs).clip(0, 255)).max() < 1e-2


def test_spatial_features_are_those_of_guided_diffusion(tmp_path: Path) -> None:
    network = InceptionV3()
    randomise(network)
    torch.save(network.state_dict(), tmp_path / "inception.pth")
    images = Shapes(resolution=48, size=2).get_batch(range(2))["images"]
    seen: list[Tensor] = []
    network.Mixed_6d.branch1x1.register_forward_hook(lambda _, __, made: seen.append(made))
    network(images)
    spatial = InceptionV3.load(tmp_path / "inception.pth", place="spatial")
    features = spatial(images)
    assert features.shape == (2, spatial.num_features) == (2, 2023)
    assert torch.equal(features, seen[0][:, :7].reshape(2, -1))


def test_other_weights_are_refused_by_name(tmp_path: Path) -> None:
    with torch.device("meta"):
        state = InceptionV3().state_dict()
    state = {name: torch.zeros(tensor.shape) for name, tensor in state.items()}
    torch.save({**state, "fc.weight": torch.zeros(1000, 2048)}, tmp_path / "imagenet.pth")
    with pytest.raises(CheckpointError, match=r"imagenet\.pth .*fc\.weight is of shape \(1000, 2048\)"):
        InceptionV3.load(tmp_path / "imagenet.pth")
    del state["Mixed_7c.branch3x3_2b.bn.weight"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(CheckpointError, match=r"Mixed_7c\.branch3x3_2b\.bn\.weight is missing"):
        InceptionV3.load(tmp_path / "cut.pth")
