"""The autoencoders against diffusers' with the same randomised weights: float32, CPU, error ≤ 2e-5 of the output's std.

Measured: 0 to 1e-5. A norm with epsilon 1e-5, the UNet's, would show as 2e-4 at least.
"""

import pytest
import torch
from diffusers import AutoencoderKL, VQModel
from parity_weights import randomise

from core.checkpoints.diffusers_keys import autoencoder_from_diffusers, autoencoder_to_diffusers
from core.models.autoencoder import KLAutoencoder, VQAutoencoder

TOLERANCE = 2e-5

SMALL = {"model_channels": 32, "channel_mult": (1, 2), "num_res_blocks": 1, "norm_groups": 8}
CASES = {
    "KL, 32 norm groups": (KLAutoencoder, SMALL | {"norm_groups": 32}, {"norm_num_groups": 32}),
    "KL, three levels, wide latent": (
        KLAutoencoder,
        SMALL | {"channel_mult": (1, 1, 2), "z_channels": 16, "num_res_blocks": 2},
        {
            "block_out_channels": (32, 32, 64),
            "down_block_types": ("DownEncoderBlock2D",) * 3,
            "up_block_types": ("UpDecoderBlock2D",) * 3,
            "latent_channels": 16,
            "layers_per_block": 2,
        },
    ),
    "KL, no attention": (
        KLAutoencoder,
        SMALL | {"mid_attention": False},
        {"mid_block_add_attention": False},
    ),
    "KL, attention at a level": (
        KLAutoencoder,
        SMALL | {"attention_factors": (2,)},
        {
            "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
            "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        },
    ),
    "VQ": (VQAutoencoder, SMALL | {"codes": 64}, {"num_vq_embeddings": 64}),
    "VQ, attention at a level": (
        VQAutoencoder,
        SMALL | {"codes": 64, "attention_factors": (2,), "z_channels": 4},
        {
            "num_vq_embeddings": 64,
            "latent_channels": 4,
            "down_block_types": ("DownEncoderBlock2D", "AttnDownEncoderBlock2D"),
            "up_block_types": ("AttnUpDecoderBlock2D", "UpDecoderBlock2D"),
        },
    ),
    "VQ, no attention": (
        VQAutoencoder,
        SMALL | {"codes": 64, "mid_attention": False},
        {"num_vq_embeddings": 64, "mid_block_add_attention": False},
    ),
}


def oracle(model, settings):
    defaults = {
        "block_out_channels": (32, 64),
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "layers_per_block": 1,
        "latent_channels": model.latent_channels,
        "norm_num_groups": 8,
    }
    return (VQModel if "codes" in model.config else AutoencoderKL)(**(defaults | settings)).eval()


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def pair(request):
    cls, config, settings = request.param
    ours = randomise(cls(**config), gain=0.5)
    theirs = oracle(ours, settings)
    theirs.load_state_dict(autoencoder_to_diffusers(ours.state_dict(), ours.config))
    return ours, theirs


@pytest.fixture
def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def assert_parity(ours, wanted):
    torch.testing.assert_close(ours, wanted, rtol=0, atol=TOLERANCE * wanted.std().item())


@torch.no_grad()
def test_same_weights_encode_and_decode_alike(pair, images):
    ours, theirs = pair
    if isinstance(ours, KLAutoencoder):
        posterior, wanted = ours.posterior(images), theirs.encode(images).latent_dist
        assert_parity(posterior.mean, wanted.mean)
        assert_parity(posterior.logvar, wanted.logvar)
        torch.testing.assert_close(posterior.kl(), wanted.kl(), rtol=1e-5, atol=0)
        z = wanted.mean
    else:
        z = theirs.encode(images).latents
        assert_parity(ours.encode(images), z)
    assert_parity(ours.decode(z), theirs.decode(z).sample)


def test_keys_go_to_diffusers_and_back_bit_equal(pair):
    ours, theirs = pair
    state = {key: tensor for key, tensor in ours.state_dict().items() if key != "scale_factor"}
    back = autoencoder_from_diffusers(theirs.state_dict(), ours.config)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_names_of_old_diffusers_folders_are_read():
    model = randomise(VQAutoencoder(**SMALL, attention_factors=(2,), codes=8))
    new = autoencoder_to_diffusers(model.state_dict(), model.config)
    renames = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for key, tensor in new.items():
        for after, before in renames.items():
            key = key.replace(f".{after}.", f".{before}.")
        old[key] = tensor
    assert old.keys() != new.keys()
    back = autoencoder_from_diffusers(old, model.config)
    assert all(torch.equal(back[key], tensor) for key, tensor in model.state_dict().items() if key in back)
    assert len(back) == len(model.state_dict()) - 1


def test_weights_of_another_architecture_are_refused():
    model = KLAutoencoder(**SMALL)
    with pytest.raises(ValueError, match=r"missing: .*of another shape: "):
        autoencoder_to_diffusers(
            KLAutoencoder(**SMALL | {"z_channels": 8, "mid_attention": False}).state_dict(), model.config
        )
