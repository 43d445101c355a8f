"""Guidance: functions that change a prediction before the solver sees it.

Each takes and gives predictions in the process' parametrisation, so they chain: classifier-free guidance, its rescaling,
the gradient of a classifier or of an image's likelihood, a kept region, a threshold.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.diffusion.process import Process, Timestep
from core.diffusion.solvers.model import Denoise
from core.precision import in_float32


def classifier_free(cond: Tensor, uncond: Tensor, scale: float) -> Tensor:
    """uncond + scale·(cond − uncond) (Ho & Salimans 2021). 1 gives the conditional prediction, 0 the unconditional.

    cond, uncond: (b, …).
    """
    return uncond + scale * (cond - uncond)


def rescale(guided: Tensor, cond: Tensor, amount: float = 0.7) -> Tensor:
    """Undo the growth of contrast under classifier-free guidance (Lin et al. 2024, eq. 15 and 16).

    guided, cond: (b, …), the guided and the conditional prediction. amount: 0 leaves guided as it is, 1 gives it cond's
    standard deviation in each sample; the paper recommends 0.7, with zero terminal SNR.
    """
    dims = tuple(range(1, guided.ndim))
    matched = guided * (cond.std(dims, keepdim=True) / guided.std(dims, keepdim=True))
    return torch.lerp(guided, matched, amount)


def steer(prediction: Tensor, grad: Tensor, t: Timestep, process: Process, scale: float = 1.0) -> Tensor:
    """Classifier guidance: eps − noise·scale·∇_z log p(y|z) (Dhariwal & Nichol 2021, algorithm 2; noise is √(1−ᾱ) there).

    prediction, grad: (b, …), of any parametrisation; grad is that of log p with respect to the noisy z (`gradient`). The
    sign is minus: Rombach et al. 2022, eq. 16, print a plus, which leads away from y. At zero SNR, where z says nothing
    of y, the prediction stays as it is.
    """
    signal, noise = process.rates(t, like=prediction)
    change = process.predicts.change(-noise, signal, noise)
    return (prediction + scale * (change * grad)).to(prediction.dtype)


@in_float32
def gradient(log_p: Tensor, z: Tensor) -> Tensor:
    """∇_z of the (b,) log likelihoods computed from z, which must require a gradient. Shape of z.

    Raises ValueError if nothing connects the two.
    """
    if not log_p.requires_grad:
        raise ValueError(
            "log_p carries no gradient: compute it from a z that requires one, with gradients on (torch.enable_grad)"
        )
    (grad,) = torch.autograd.grad(log_p.sum(), z)
    return grad


def image_log_likelihood(seen: Tensor, wanted: Tensor) -> Tensor:
    """−½‖y − T(D(z0))‖² of each sample, the Gaussian image guider (Rombach et al. 2022, appendix C). Returns (b,).

    seen: T(D(z0)), what a transformation T (downsampling, masking, …) makes of the decoded estimate z0 at (z, t); the
    gradient flows back through decoder and denoiser to z. wanted: y, of the same shape.
    """
    return -0.5 * (wanted - seen).flatten(1).square().sum(1)


def keep_known(z: Tensor, z0: Tensor, noise: Tensor, t: Timestep, mask: Tensor, process: Process) -> Tensor:
    """Put the known latent, noised to level t, where the mask is 1: what the denoiser should see when inpainting.

    mask: (b or 1, 1 or c, …), **1 = keep**, 0 = generate, as in latent-diffusion's samplers (its inpainting script has it
    the other way round). z, z0, noise: (b, c, …). Give the prediction to `predict_known` with the same mask.
    """
    return mask * process.add_noise(z0, noise, t) + (1 - mask) * z


def predict_known(prediction: Tensor, z: Tensor, z0: Tensor, t: Timestep, mask: Tensor, process: Process) -> Tensor:
    """Where the mask is 1, replace the prediction by the one that implies z0: every solver then arrives there at z0's level.

    A solver that ends without noise (`Levels.end`) ends at z0 itself. DDIM and PLMS as in latent-diffusion stop at the schedule's
    first level, and leave √ᾱ₀ · z0 + √(1 − ᾱ₀) · eps: of LDM's betas .039 of the noise. `Levels.of(…, end="z0")` leaves none.
    prediction, z, z0: (b, c, …); z is the latent as the solver has it. mask: 1 = keep, as in `keep_known`.
    """
    return mask * process.from_z0(z0, z, t) + (1 - mask) * prediction


def inpainting(denoise: Denoise, z0: Tensor, noise: Tensor, mask: Tensor, process: Process) -> Denoise:
    """A denoiser that keeps z0 where the mask is 1 (`keep_known` before it, `predict_known` after).

    z0, noise: (b, c, …); mask: as in `keep_known`.
    """

    def inpaint(z: Tensor, t: Tensor) -> Tensor:
        prediction = denoise(keep_known(z, z0, noise, t, mask, process), t)
        return predict_known(prediction, z, z0, t, mask, process)

    return inpaint


def dynamic_threshold(
    prediction: Tensor, z: Tensor, t: Timestep, process: Process, percentile: float = 0.995, floor: float = 1.0
) -> Tensor:
    """Clip the implied z0 of each sample at a percentile of its magnitudes and scale it back to ±floor (Imagen).

    prediction, z: (b, …). Saharia et al. 2022, section 2.3. Meant for pixels in [-1, 1]; latents have no bounds:
    choose floor accordingly.
    """
    z0 = process.to_z0(prediction, z, t)
    limit = torch.quantile(z0.flatten(1).abs().float(), percentile, dim=1).clamp(min=floor).to(z0.dtype)
    limit = limit.reshape(-1, *[1] * (z0.ndim - 1))
    return process.from_z0(z0.clamp(-limit, limit) * (floor / limit), z, t)


def in_interval(t: Tensor, process: Process, scale: float, sigma_low: float, sigma_high: float) -> float:
    """The scale where sigma_low < sigma(t) ≤ sigma_high, and 1 elsewhere (Kynkäänniemi et al. 2024, eq. 5).

    t: (b,), one timestep for all rows, which is read on the host; sigma is noise / signal. Raises ValueError where the rows have several.
    """
    at, *others = dict.fromkeys(t.tolist())  # in one copy to the host
    if others:
        raise ValueError("the rows have several timesteps, and one scale is asked for; give a sampler's t")
    return scale if sigma_low < process.level(at).sigma <= sigma_high else 1.0
