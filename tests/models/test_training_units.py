"""Training steps of convolution units on a CPU: the values, gradients and statistics of PyTorch's own layers, within rounding."""

import copy

import pytest
import torch
from torch import nn

from auricle.models.efficientat import training_units
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN, SqueezeExcite, conv_unit
from auricle.models.efficientat.training_units import depthwise_weight_gradient, expand


def maps(*shape: int, seed: int = 0) -> torch.Tensor:
    """(B, C, F, T), channels-last, with a mean that differs by channel."""
    source = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=source) + torch.randn(1, shape[1], 1, 1, generator=source)
    return values.contiguous(memory_format=torch.channels_last)


def trained(unit: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output, gradients and buffers of a unit after one step forward and backward."""
    x = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    y = unit(x)
    y.backward(maps(*y.shape, seed=1).to(y.dtype))
    gradients = {name: p.grad for name, p in unit.named_parameters()}
    return {"output": y.detach(), "input": x.grad, **gradients, **dict(unit.named_buffers())}


def compare(unit: nn.Module, x: torch.Tensor) -> None:
    """Compare with float64: a fast unit is about as near as PyTorch's layers in the same layout."""
    exact, layers = copy.deepcopy(unit).double(), copy.deepcopy(unit).to(memory_format=torch.channels_last)
    for module in unit.modules():
        module.fast = True
    unit.to(memory_format=torch.channels_last)
    fast, plain, want = trained(unit, x), trained(layers, x), trained(exact, x.double())
    for name, value in want.items():
        far, usual = ((found[name].double() - value).abs().max() / value.abs().max() for found in (fast, plain))
        assert far <= 4 * usual + 1e-6, f"{name}: {far:.1e} from float64, PyTorch's layers {usual:.1e}"


SHAPES = {  # of units: channels in and out, kernel, stride, groups, activation; map
    "wider": ((6, 20, 1, 1, 1, "relu"), (2, 6, 20, 50)),
    "wider-hardswish": ((6, 20, 1, 1, 1, "hardswish"), (2, 6, 20, 50)),
    "wider-linear": ((6, 20, 1, 1, 1, None), (2, 6, 20, 50)),
    "wider-few-positions": ((24, 40, 1, 1, 1, "relu"), (2, 24, 5, 7)),
    "narrower": ((20, 6, 1, 1, 1, None), (2, 20, 20, 50)),
    "stem": ((1, 16, 3, 2, 1, "hardswish"), (2, 1, 20, 50)),
    "depthwise-3": ((16, 16, 3, 2, 16, "relu"), (2, 16, 21, 50)),
    "depthwise-5": ((16, 16, 5, 1, 16, "relu"), (2, 16, 9, 50)),
    "depthwise-5-stride": ((16, 16, 5, 2, 16, "hardswish"), (2, 16, 9, 51)),
    "depthwise-5-low-map": ((16, 16, 5, 1, 16, "relu"), (2, 16, 3, 4)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_unit_has_the_values_gradients_and_statistics_of_its_layers(name):
    (inputs, outputs, kernel, stride, groups, activation), shape = SHAPES[name]
    torch.manual_seed(0)
    unit = conv_unit(inputs, outputs, kernel, stride=stride, groups=groups, activation=activation)
    with torch.no_grad():
        unit[1].weight.uniform_(-0.5, 1.5)
        unit[1].bias.normal_()
    compare(unit, maps(*shape))


def test_squeeze_and_excitation_has_the_values_and_gradients_of_its_layers():
    torch.manual_seed(0)
    compare(SqueezeExcite(1, 16, 4), maps(3, 16, 5, 8))


def test_a_gradient_in_pieces_equals_one_in_one_piece(monkeypatch):
    torch.manual_seed(0)
    unit = conv_unit(4, 12, 1, activation="hardswish")
    monkeypatch.setattr(training_units, "CACHED", 1)  # the least piece: ROWS positions
    compare(unit, maps(3, 4, 20, 33))


@pytest.mark.parametrize("kernel", [4, 5, 7])
def test_the_gradient_of_wide_depthwise_kernels_is_put_together_from_narrow_ones(kernel):
    x, weight = (
        maps(2, 8, 11, 13).double().requires_grad_(),
        torch.randn(8, 1, kernel, kernel).double().requires_grad_(),
    )
    y = nn.functional.conv2d(x, weight, None, 2, kernel // 2, 1, 8)
    grad = maps(*y.shape, seed=1).double()
    y.backward(grad)
    found = depthwise_weight_gradient(grad, x.detach(), weight.detach(), (2, 2), (kernel // 2, kernel // 2))
    torch.testing.assert_close(found, weight.grad)


def test_values_far_from_zero_keep_their_variance():
    unit = conv_unit(4, 12, 1)
    compare(unit, 300.0 + 0.1 * maps(2, 4, 20, 50))


def test_running_statistics_may_be_plain_averages():
    unit, exact = conv_unit(4, 12, 1), conv_unit(4, 12, 1)
    exact.load_state_dict(unit.state_dict())
    unit[1].momentum = exact[1].momentum = None
    for seed in range(3):
        x = maps(2, 4, 20, 30, seed=seed)
        expand(x, unit[0].weight, unit[1], "none")
        exact(x)
    for name, value in exact[1].named_buffers():
        torch.testing.assert_close(getattr(unit[1], name), value)


def test_what_is_not_trained_gets_no_gradient():
    unit = conv_unit(4, 12, 1, activation="relu")
    unit.fast = True
    for parameter in unit.parameters():
        parameter.requires_grad_(False)
    x = maps(2, 4, 20, 50).requires_grad_()
    unit(x).sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in unit.parameters())


def tiny() -> MN:
    return MN(MNConfig(width=0.1, num_classes=5))


def test_evaluation_fixed_norms_and_other_precisions_use_the_layers_themselves(monkeypatch):
    def never(*_):
        raise AssertionError("a fast path was taken")

    for name in ("expand", "pointwise", "depthwise"):
        monkeypatch.setattr(training_units, name, never)
    network, values = tiny(), torch.randn(2, 128, 64)
    network.prepare_training()
    network.eval().trunk(values)
    network.train()
    with torch.no_grad():
        network.trunk(values)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network.trunk(values)
    network.double().trunk(values)
    network.float()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    network.trunk(values).sum().backward()


def test_a_prepared_network_trains_to_the_same_numbers_twice():
    def gradients() -> list[torch.Tensor]:
        network = tiny().train()
        network.prepare_training()
        network.trunk(torch.linspace(-1, 1, 2 * 128 * 200).sin().view(2, 128, 200)).square().sum().backward()
        return [p.grad for p in network.features.parameters()]

    assert all(torch.equal(one, other) for one, other in zip(gradients(), gradients()))


def test_logits_of_frames_are_left_out_in_training_where_nobody_reads_them():
    network, wave = tiny().train(), torch.randn(2, 32000)
    assert network(wave).frame_logits is not None
    network.trains_frame_logits = False
    assert network(wave).frame_logits is None
    assert network.eval()(wave).frame_logits is not None
