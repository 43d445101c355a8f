import pytest
import torch

from core.models.discriminator import NLayerDiscriminator


@pytest.mark.parametrize(("side", "layers", "patches"), [(256, 3, 30), (32, 3, 2), (24, 3, 1), (64, 2, 14), (12, 2, 1)])
def test_one_logit_for_each_patch(side, layers, patches):
    model = NLayerDiscriminator(base_channels=2, num_layers=layers)
    assert model(torch.zeros(2, 3, side, side)).shape == (2, 1, patches, patches)


def test_published_names_widths_and_initialisation():
    model = NLayerDiscriminator()
    shapes = {key: tuple(tensor.shape) for key, tensor in model.named_parameters()}
    assert shapes == {
        "main.0.weight": (64, 3, 4, 4),
        "main.0.bias": (64,),
        "main.2.weight": (128, 64, 4, 4),
        "main.3.weight": (128,),
        "main.3.bias": (128,),
        "main.5.weight": (256, 128, 4, 4),
        "main.6.weight": (256,),
        "main.6.bias": (256,),
        "main.8.weight": (512, 256, 4, 4),
        "main.9.weight": (512,),
        "main.9.bias": (512,),
        "main.11.weight": (1, 512, 4, 4),
        "main.11.bias": (1,),
    }
    assert sum(parameter.numel() for parameter in model.parameters()) == 2_765_633
    assert model.main[8].weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert model.main[9].weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert model.main[9].weight.mean().item() == pytest.approx(1, abs=0.01)


def test_config_rebuilds_the_model():
    model = NLayerDiscriminator(4, 8, 2)
    assert NLayerDiscriminator(**model.config).config == {"in_channels": 4, "base_channels": 8, "num_layers": 2}


def test_images_smaller_than_a_patch_are_refused():
    with pytest.raises(ValueError, match=r"16×32 are too small .* at least 24, or fewer num_layers"):
        NLayerDiscriminator(base_channels=2)(torch.zeros(1, 3, 16, 32))
