import pytest
import torch

from leigh_mlops.models.invertible.fixed_point import solve_fixed_point


def affine(factor=0.9, size=6, seed=0):
    """A contraction h(x) = A x + b with norm ``factor``, and its fixed point."""
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(size, size, dtype=torch.float64, generator=generator)
    matrix *= factor / torch.linalg.matrix_norm(matrix, ord=2)
    shift = torch.randn(size, dtype=torch.float64, generator=generator)
    rest = torch.linalg.solve(torch.eye(size, dtype=torch.float64) - matrix, shift)
    return (lambda x, samples: x @ matrix.T + shift), rest


def solve(step, x, **options):
    options = {"tolerance": 1e-12, "most": 500} | options
    return solve_fixed_point(step, x, size=torch.ones(len(x), dtype=x.dtype), **options)


@pytest.mark.parametrize("memory", [0, 1, 3, 5])
def test_it_comes_to_the_fixed_point(memory):
    step, rest = affine()
    start = torch.randn(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert (start - rest).abs().max() > 0.1
    found = solve(step, start, memory=memory)
    torch.testing.assert_close(found.x, rest.expand(4, -1), rtol=1e-9, atol=1e-9)
    assert found.residual.max() <= 1e-12


def test_an_affine_map_of_few_dimensions_is_solved_in_as_many_steps():
    step, _ = affine(0.99, size=3)
    start = torch.zeros(1, 3, dtype=torch.float64)
    plain, accelerated = (int(solve(step, start, memory=memory).iterations) for memory in (0, 3))
    assert plain > 20
    assert accelerated <= 6


def test_a_sample_whose_residual_falls_fast_takes_plain_steps():
    def step(x, samples):
        return torch.stack([row * (0.05 if sample == 0 else 0.9) for row, sample in zip(x, samples, strict=True)])

    start = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    plain, accelerated = (solve(step, start, memory=memory) for memory in (0, 2))
    assert plain.iterations[1] > 10 * accelerated.iterations[1]
    assert torch.equal(plain.x[0], accelerated.x[0])


def test_samples_do_not_mix():
    step, _ = affine()
    start = (
        torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        * torch.logspace(-8, 3, 5)[:, None]
    )
    together = solve(step, start)
    assert len(set(together.iterations.tolist())) > 1
    for number in range(5):
        alone = solve(step, start[number : number + 1])
        assert alone.iterations.item() == together.iterations[number]
        torch.testing.assert_close(alone.x[0], together.x[number], rtol=1e-12, atol=1e-12)


def test_where_acceleration_does_not_come_to_rest_plain_steps_do():
    """A contraction that folds, which extrapolation runs back and forth over."""

    def unit(*shape):
        matrix = torch.randn(*shape, dtype=torch.float64, generator=generator)
        return matrix / torch.linalg.matrix_norm(matrix, ord=2)

    generator = torch.Generator().manual_seed(0)
    first, second = unit(2, 1), unit(1, 2)
    shift, y = (torch.randn(*shape, dtype=torch.float64, generator=generator) for shape in ((2,), (400, 1)))

    def step(x, samples):
        return 10 * y[samples] - 0.9 * ((x @ first.T + shift) % 2 - 1).abs() @ second.T

    found = solve(step, 10 * y, tolerance=1e-10, most=1000)
    assert 0 < (found.iterations > 500).sum() < 100
    assert found.residual.max() <= 1e-10
    torch.testing.assert_close(step(found.x, slice(None)), found.x, rtol=0, atol=1e-9)


def test_what_does_not_come_to_rest_says_so():
    found = solve(lambda x, samples: x + 1, torch.ones(2, 3, dtype=torch.float64), most=10)
    assert found.residual.min() > 1e-12
    assert found.iterations.tolist() == [10, 10]
