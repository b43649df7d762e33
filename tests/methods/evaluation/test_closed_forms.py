"""The formulas against what they are formulas of: autograd, a fine sum, noise, hidden pixels."""

import pytest
import torch

from cnnlab.methods.evaluation import closed_forms
from cnnlab.methods.evaluation.closed_forms import (
    METHODS,
    Form,
    Product,
    Relu,
    Saturating,
    Square,
    forms,
    table,
)


def every():
    """The functions of the lecture, and some with colours, several rows and a bias."""
    weight = torch.tensor([[[1.0, -2], [0.5, 3]], [[0, 1], [2, -1]], [[1, 1], [-1, 0.25]]]).double()
    return [
        *(form for form, _ in forms(torch.float64)),
        Form(weight, -0.3),
        Relu(weight, 0.7),
        Relu(-weight, -0.2),
        Square(weight, 2.0),
        Product(torch.float64),
    ]


def points(form, n=6):
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.randn(n, *form.weight.shape, dtype=torch.float64, generator=generator)


def gradient(form, x):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(form(leaf).sum(), leaf)[0]


@pytest.mark.parametrize("form", every(), ids=lambda form: form.label)
def test_gradient_and_gradient_x_input(form):
    x = points(form)
    torch.testing.assert_close(form.attribution("gradient", x), gradient(form, x))
    torch.testing.assert_close(form.attribution("gradient x input", x), gradient(form, x) * x)


@pytest.mark.parametrize("form", every(), ids=lambda form: form.label)
def test_integrated_gradients_are_a_fine_sum_and_add_up(form):
    x, steps = points(form), 4000
    total = sum(gradient(form, x * ((k + 0.5) / steps)) for k in range(steps)) / steps
    found = form.attribution("integrated gradients", x)
    torch.testing.assert_close(found, total * x, rtol=0, atol=5e-3)
    due = form(x) - form(torch.zeros_like(x))
    torch.testing.assert_close(found.sum(dim=(1, 2, 3)), due[:, 0].detach())


@pytest.mark.parametrize("form", every(), ids=lambda form: form.label)
def test_smoothgrad_is_a_mean_over_noise(form):
    generator, sigma, draws = torch.Generator().manual_seed(1), 0.8, 200_000
    x = points(form, 1) / 2
    noise = torch.randn(draws, *x.shape[1:], dtype=torch.float64, generator=generator)
    mean = gradient(form, x + sigma * noise).mean(dim=0, keepdim=True)
    torch.testing.assert_close(form.attribution("SmoothGrad", x, sigma=sigma), mean, rtol=0, atol=0.03)
    torch.testing.assert_close(form.attribution("SmoothGrad", x, sigma=0.0), form.attribution("gradient", x))


@pytest.mark.parametrize("form", every(), ids=lambda form: form.label)
def test_occlusion_hides_one_pixel_at_a_time(form):
    x = points(form)
    expected = torch.zeros(len(x), 1, *x.shape[2:], dtype=torch.float64)
    with torch.no_grad():
        for row in range(x.shape[2]):
            for column in range(x.shape[3]):
                hidden = x.clone()
                hidden[:, :, row, column] = 0
                expected[:, 0, row, column] = (form(x) - form(hidden))[:, 0]
    torch.testing.assert_close(form.attribution("occlusion", x), expected)


def test_the_numbers_of_the_papers():
    product, x = Product(), torch.tensor([[[[3.0, -1.0]]]])
    assert product.attribution("integrated gradients", x).tolist() == [[[[-1.5, -1.5]]]]
    full, both = Saturating(), torch.ones(1, 1, 1, 2)
    assert full(both).item() == 1 and not full.attribution("gradient", both).any()
    assert not full.attribution("occlusion", both).any()  # each alone is enough
    assert full.attribution("integrated gradients", both).tolist() == [[[[0.5, 0.5]]]]
    torch.testing.assert_close(
        full.attribution("SmoothGrad", both, sigma=1.0), torch.full((1, 1, 1, 2), 0.23975)
    )
    square = Square(torch.ones(1, 1, 1))
    assert square.attribution("gradient x input", torch.full((1, 1, 1, 1), 3.0)).item() == 18
    assert square.attribution("integrated gradients", torch.full((1, 1, 1, 1), 3.0)).item() == 9
    assert (
        not Relu(torch.ones(1, 1, 2), -1.0).attribution("integrated gradients", torch.zeros(1, 1, 1, 2)).any()
    )


def test_the_table_says_who_adds_up():
    rows = table()
    assert len(rows) == len(forms()) * len(METHODS)
    complete = {(row.function, row.method) for row in rows if row.complete}
    functions = [form.label for form, _ in forms()]
    assert complete == {
        *((function, "integrated gradients") for function in functions),
        *(("2a - b + 0.5", method) for method in ("gradient x input", "occlusion")),
        ("2a² + b²", "occlusion"),
    }
    for row in rows:
        assert row.total == pytest.approx(sum(row.attribution)) and len(row.attribution) == len(row.x)
        assert row.complete == (abs(row.total - row.expected) < 1e-5) and row.formula
    assert {len(form.formulas) for form, _ in forms()} == {len(METHODS)}


def test_they_are_models_and_stay_as_they_are():
    for form, x in forms():
        before = {name: value.clone() for name, value in form.state_dict().items()}
        assert form(x).shape == (1, 1) and len(form.classes) == 1
        for method in METHODS:
            assert (
                form.attribution(method, x).isfinite().all() and not form.attribution(method, x).requires_grad
            )
        assert all(torch.equal(value, before[name]) for name, value in form.state_dict().items())
    with pytest.raises(LookupError, match="no method 'gradients'. Did you mean 'gradient'"):
        form.attribution("gradients", x)
    with pytest.raises(ValueError, match=r"the weight is \(C, H, W\)"):
        closed_forms.Form(torch.ones(2))
