import pytest
import torch
from torch import nn

from core.models.ema import EMA, ExponentialAverage, PowerAverage


def model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def train(net, ema, steps, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator))
        net(torch.randn(4, 3, generator=generator))
        ema.update(net)


@pytest.mark.parametrize(
    ("decay", "warmup", "keeps"),
    [(0.9999, True, [2 / 11, 3 / 12]), (0.2, True, [2 / 11, 0.2]), (0.9, False, [0.9, 0.9])],
)
def test_average_follows_the_warmed_up_decay(decay, warmup, keeps):
    net = nn.Linear(1, 1, bias=False)
    net.weight.data.fill_(1.0)
    ema = EMA(net, ExponentialAverage(decay, warmup))
    average = 1.0
    for keep, value in zip(keeps, [3.0, -2.0], strict=True):
        net.weight.data.fill_(value)
        ema.update(net)
        average = keep * average + (1 - keep) * value
        assert ema.model.weight.item() == pytest.approx(average)
    assert net.weight.item() == -2.0


@pytest.mark.parametrize("averaging", [ExponentialAverage(), PowerAverage(0.1)])
def test_resumes_to_the_bit(averaging):
    whole_net, part_net = model(), model()
    whole, part = EMA(whole_net, averaging), EMA(part_net, averaging)
    train(whole_net, whole, 3)
    train(part_net, part, 3)
    resumed = EMA(model(seed=9), averaging)
    resumed.load_state_dict(part.state_dict())
    train(whole_net, whole, 4, seed=2)
    train(part_net, resumed, 4, seed=2)
    wanted = whole.state_dict()
    assert wanted["updates"] == 7
    assert all(
        isinstance(tensor, torch.Tensor) and torch.equal(tensor, wanted[key])
        for key, tensor in resumed.state_dict().items()
    )


def test_averaged_model_is_frozen_in_eval_mode_and_copies_buffers():
    net = model()
    ema = EMA(net, ExponentialAverage())
    train(net, ema, 2)
    assert not ema.model.training
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())
    assert torch.equal(ema.model[1].running_mean, net[1].running_mean)
    assert ema.model[1].num_batches_tracked == 2


def test_averages_of_half_precision_weights_keep_small_steps():
    net = nn.Linear(1, 1).to(torch.bfloat16)
    ema = EMA(net, ExponentialAverage(warmup=False))
    net.weight.data.add_(1)
    before = ema.model.weight.item()
    ema.update(net)
    assert ema.model.weight.item() - before == pytest.approx(1e-4, rel=0.05)


def test_decay_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"decay is 1\.5"):
        ExponentialAverage(1.5)


@pytest.mark.parametrize("sigma_rel", [0.02, 0.1, 0.25])
def test_the_power_average_weights_time_by_its_power_and_is_as_wide_as_it_says(sigma_rel):
    """Karras et al. 2024, equation 1: weights go as t^γ, of relative width sigma_rel; the initial weights are forgotten."""
    rule, steps = PowerAverage(sigma_rel), 4000
    net = nn.Linear(1, 1, bias=False)
    ema = EMA(net, rule)
    shares = torch.zeros(steps, dtype=torch.float64)
    for n in range(1, steps + 1):
        keep = rule.keeps(n)
        shares *= keep
        shares[n - 1] = 1 - keep
    t = torch.arange(1, steps + 1, dtype=torch.float64)
    assert float(shares.sum()) == pytest.approx(1)
    mean = (shares * t).sum()
    deviation = ((shares * (t - mean) ** 2).sum()).sqrt() / steps
    assert float(deviation) == pytest.approx(sigma_rel, rel=0.01)
    wanted = t**rule.gamma / (t**rule.gamma).sum()
    assert float((shares - wanted).abs().sum()) < 0.01

    net.weight.data.fill_(3.0)
    ema.update(net)
    assert ema.model.weight.item() == 3.0
    net.weight.data.fill_(1.0)
    ema.update(net)
    assert ema.model.weight.item() == pytest.approx(3 * 0.5 ** (rule.gamma + 1) + 1 - 0.5 ** (rule.gamma + 1))


def test_a_width_that_no_power_has_is_refused():
    for sigma_rel in (0.0, 0.3):
        with pytest.raises(ValueError, match=r"must lie between 0 and 0\.288"):
            PowerAverage(sigma_rel)
