"""Tests for detcon.train.optim."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from detcon.config import Recipe, RecipeError, load_recipe
from detcon.train.optim import (
    NothingToTrain,
    build_optimizer,
    lr_multiplier,
    peak_lr,
    split_parameters,
)
from detcon.train.recipe import AdamW, Cosine, Lars, OptimizerRecipe, ScheduleRecipe, Sgd, StepDecay

RATES = [0.5, 2.0, 1.0]


def lars_by_hand(weights, gradients, decay):
    """Three steps of one layer in plain numpy, in the official order (facts, 2.5)."""
    w, momentum = weights.copy(), np.zeros_like(weights)
    for lr, g in zip(RATES, gradients, strict=True):
        u = g + decay * w
        of_w, of_u = np.linalg.norm(w), np.linalg.norm(u)
        momentum = 0.9 * momentum + u * (1e-3 * of_w / of_u if of_w > 0 and of_u > 0 else 1.0)
        w = w - lr * momentum
    return w


def steps_of(optimizer, module, gradients):
    bias = module.bias.detach().clone()
    for lr, g in zip(RATES, gradients, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = lr
        module.weight.grad = torch.from_numpy(g)
        module.bias.grad = torch.ones(4, dtype=torch.float64)
        optimizer.step()
    return module.weight.detach().numpy(), (module.bias - bias).detach().numpy()


def linear(weights):
    module = nn.Linear(5, 4, dtype=torch.float64)
    module.weight.data = torch.from_numpy(weights.copy())
    return module


@pytest.mark.parametrize("decay", [0.0, 1.5e-6, 0.1])
@pytest.mark.parametrize("zero", ["nothing", "gradient", "weights"])
def test_lars_is_the_official_one(decay, zero):
    """Also where a gradient is exactly zero: behind norms that start at zero, and decayed."""
    rng = np.random.default_rng(0)
    weights, gradients = rng.normal(size=(4, 5)), 1e-2 * rng.normal(size=(3, 4, 5))
    gradients[0] *= zero != "gradient"
    weights *= zero != "weights"
    module = linear(weights)
    recipe = Lars(lr=1, weight_decay=decay, scale_lr=False)
    ours, bias = steps_of(build_optimizer(recipe, module, 256), module, gradients)
    np.testing.assert_allclose(ours, lars_by_hand(weights, gradients, decay), rtol=1e-14)
    plain = -(0.5 * 1 + 2 * 1.9 + 1 * 2.71)  # heavy ball on ones, no decay, no trust ratio
    np.testing.assert_allclose(bias, np.full(4, plain), rtol=1e-14)


def test_lars_leaves_alone_what_has_no_gradient():
    module = linear(np.ones((4, 5)))
    optimizer = build_optimizer(Lars(lr=1), module, 256)
    module.bias.grad = torch.ones(4, dtype=torch.float64)
    optimizer.step()
    assert (module.weight == 1).all() and optimizer.state.keys() == {module.bias}


def test_lars_goes_on_from_the_state_of_timms():
    """Checkpoints of before were made with timm's LARS; without decay it is the same."""
    timm_lars = pytest.importorskip("timm.optim.lars").Lars
    rng = np.random.default_rng(0)
    weights, gradients = rng.normal(size=(4, 5)), rng.normal(size=(6, 4, 5))
    recipe = Lars(lr=1, weight_decay=0.0, scale_lr=False)
    whole, halves = linear(weights), linear(weights)
    optimizer = build_optimizer(recipe, whole, 256)
    for part in (gradients[:3], gradients[3:]):
        expected, _ = steps_of(optimizer, whole, part)
    groups = [
        {"params": [halves.weight], "always_adapt": True},
        {"params": [halves.bias], "always_adapt": False},
    ]
    before = timm_lars(groups, lr=1, momentum=0.9, trust_coeff=1e-3, eps=0.0)
    steps_of(before, halves, gradients[:3])
    optimizer = build_optimizer(recipe, halves, 256)
    optimizer.load_state_dict(before.state_dict())
    found, _ = steps_of(optimizer, halves, gradients[3:])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_groups():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LayerNorm([4, 2, 2]), nn.Linear(4, 2)
    )
    module[3].weight.requires_grad = False
    weights, small = split_parameters(module)
    assert [w.shape for w in weights] == [(4, 3, 3, 3)]
    assert len(small) == 6, "five of convolution, norms and linear, and a bias"
    assert not any(p is module[3].weight for p in weights + small), "frozen ones are left out"


def test_lars_groups_have_neither_decay_nor_ratio_for_biases():
    weights, small = build_optimizer(Lars(lr=1), nn.Linear(2, 2), 256).param_groups
    assert (weights["weight_decay"], weights["always_adapt"]) == (1.5e-6, True)
    assert (small["weight_decay"], small["always_adapt"]) == (0.0, False)


@pytest.mark.parametrize("kind", [Sgd, AdamW])
def test_decay_of_biases_is_a_choice(kind):
    decays = [
        [g["weight_decay"] for g in build_optimizer(recipe, nn.Linear(2, 2), 1).param_groups]
        for recipe in (kind(lr=1, weight_decay=0.3), kind(lr=1, weight_decay=0.3, decay_all=True))
    ]
    assert decays == [[0.3, 0.0], [0.3, 0.3]]


def test_shared_parameters_are_trained_once():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    assert len(split_parameters(module)[0]) == 1
    build_optimizer(AdamW(lr=1), module, 1)


def test_the_rate_grows_with_the_batch_where_the_recipe_says_so():
    assert peak_lr(Lars(lr=0.2), 4096) == pytest.approx(3.2)
    assert peak_lr(AdamW(lr=0.2), 4096) == 0.2
    assert peak_lr(Sgd(lr=0.1, scale_lr=True), 128) == 0.05


def test_says_when_there_is_nothing_to_train():
    with pytest.raises(NothingToTrain, match="Linear has no parameter to train: all are frozen"):
        build_optimizer(Sgd(lr=1), nn.Linear(2, 2).requires_grad_(False), 1)


def test_schedules():
    """The paper's warm-up at 100 epochs of batch 4096 (facts 2.1): 312 of 31278 steps, from 0."""
    cosine = Cosine(warmup_steps=312)
    at = [lr_multiplier(cosine, step, 31278) for step in (0, 156, 312, 15795, 31278)]
    assert at == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert lr_multiplier(Cosine(warmup=0.1), 5, 100) == 0.5, "a share of all steps"
    assert lr_multiplier(Cosine(warmup=0, warmup_steps=None), 0, 100) == 1
    step = StepDecay()
    at = [lr_multiplier(step, number, 100) for number in (0, 69, 70, 89, 90, 99)]
    assert at == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


class Both(Recipe):
    optimizer: OptimizerRecipe = Lars(lr=0.2)
    schedule: ScheduleRecipe = Cosine()


def test_unions_are_told_apart_by_kind():
    recipe = load_recipe(Both, None, {"optimizer": {"kind": "adamw", "lr": 1e-3}})
    assert recipe.optimizer == AdamW(lr=1e-3)
    assert TypeAdapter(ScheduleRecipe).validate_python({"kind": "step"}) == StepDecay()
    with pytest.raises(
        RecipeError, match=r"'optimizer\.kind' must be one of .*'lars'.* got 'adam'"
    ):
        load_recipe(Both, None, {"optimizer": {"kind": "adam", "lr": 1}})
    with pytest.raises(
        RecipeError, match=r"no setting 'optimizer\.momentun'.*'optimizer\.momentum'"
    ):
        load_recipe(Both, None, {"optimizer": {"kind": "sgd", "lr": 1, "momentun": 0}})
