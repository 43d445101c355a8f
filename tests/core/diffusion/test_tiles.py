"""Tiles against latent-diffusion's own way, unfolding and folding, and against one pass where that must agree."""

import pytest
import torch
import torch.nn.functional as F

from core.conditioning.conditioning import Conditioning
from core.diffusion.tiles import blend, border_weights, decode_tiles, denoise_tiles, places
from core.models.autoencoder import KLAutoencoder
from core.models.denoiser import denoise
from core.models.unet import UNet


def z_of(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def folded(compute, z, kernel, stride, factor=1):
    """latent-diffusion's get_fold_unfold and get_weighting, for sizes that the stride divides."""
    crops = F.unfold(z, kernel, stride=stride)
    crops = crops.view(len(z), z.shape[1], kernel, kernel, -1)
    grid = torch.stack(torch.meshgrid(*[torch.arange(factor * kernel)] * 2, indexing="ij"), -1) / (factor * kernel - 1)
    edge = torch.cat([grid.amin(-1, keepdim=True), (1 - grid).amin(-1, keepdim=True)], -1).amin(-1)
    weights = edge.clip(0.01, 0.5).reshape(1, 1, -1, 1).expand(-1, -1, -1, crops.shape[-1])
    made = torch.stack([compute(crops[..., i]) for i in range(crops.shape[-1])], -1)
    channels = made.shape[1]
    weighted = made.flatten(2, 3) * weights
    size, options = (factor * z.shape[2], factor * z.shape[3]), {"stride": factor * stride}
    total = F.fold(weighted.flatten(1, 2), size, factor * kernel, **options)
    return total / F.fold(weights.expand(len(z), channels, -1, -1).flatten(1, 2), size, factor * kernel, **options)


@pytest.mark.parametrize("factor", [1, 2], ids=["latents", "images twice their size"])
def test_blending_is_latent_diffusions(factor):
    """float32: 1e-5. Each tile is computed from all of itself, so that overlapping tiles disagree."""
    z = z_of(2, 3, 16, 24)

    def compute(part, _=None):
        return F.interpolate(part * part.mean(dim=(2, 3), keepdim=True).exp(), scale_factor=factor)

    torch.testing.assert_close(blend(compute, z, 8, 4, factor), folded(compute, z, 8, 4, factor), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "kernel", "stride"), [((17, 30), 8, 5), ((8, 8), 8, 8), ((5, 21), 8, 3)])
def test_every_size_is_covered_and_what_is_local_does_not_change(size, kernel, stride):
    z = z_of(1, 2, *size)
    seen = torch.zeros(size, dtype=torch.bool)
    for y, x in places(*size, kernel, stride):
        seen[y, x] = True
        assert y.stop - y.start == min(kernel, size[0])
    assert seen.all()
    torch.testing.assert_close(blend(lambda part, _: 2 * part, z, kernel, stride), 2 * z)


def test_weights_fall_towards_the_border_and_never_to_zero():
    weights = border_weights(5, 9)
    assert weights.min() == pytest.approx(0.01)
    assert weights[2, 4] == 0.5
    assert torch.equal(weights, weights.flip(0, 1))


def test_channels_beside_the_latent_are_cut_with_it():
    torch.manual_seed(0)
    unet = UNet(5, 3, 8, (1, 2), 1, (2,), num_heads=2, context_dim=6, norm_groups=4).eval()
    torch.nn.init.normal_(unet.out[2].weight, std=0.1)
    z, t = z_of(2, 3, 8, 16), torch.tensor([10, 700])
    told = Conditioning(z_of(2, 4, 6), z_of(1, 2, 8, 16))
    with torch.no_grad():
        tiled = denoise_tiles(unet, z, t, told, kernel=8, stride=8)
        halves = [
            denoise(unet, z[..., x : x + 8], t, Conditioning(told.context, told.concat[..., x : x + 8])) for x in (0, 8)
        ]
        whole = denoise_tiles(unet, z, t, told, kernel=16, stride=16)
    torch.testing.assert_close(tiled, torch.cat(halves, -1))
    assert not torch.allclose(tiled, whole, atol=1e-3), "a tile sees no further than its border"
    with pytest.raises(ValueError, match="resize the condition"):
        denoise_tiles(unet, z, t, Conditioning(told.context, z_of(1, 2, 4, 8)), kernel=8, stride=8)


def test_a_decoders_tiles_agree_away_from_the_seams():
    torch.manual_seed(0)
    autoencoder = KLAutoencoder(model_channels=8, channel_mult=(1, 1), num_res_blocks=1, norm_groups=1).eval()
    z = z_of(1, 4, 8, 8)
    with torch.no_grad():
        whole = autoencoder.decode(z)
        assert torch.allclose(decode_tiles(autoencoder, z, 8, 4), whole, atol=1e-5)
        assert decode_tiles(autoencoder, z, 4, 2).shape == whole.shape == (1, 3, 16, 16)


def test_gaps_are_refused():
    with pytest.raises(ValueError, match="tiles of 8 every 9 leave gaps; give a stride from 1 to 8"):
        places(16, 16, 8, 9)
