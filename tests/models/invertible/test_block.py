import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.models.invertible import InverseError, ResidualBlock

SIDE = 6


def block(*, gain=5.0, bound=0.8):
    torch.manual_seed(0)
    made = ResidualBlock(4, 6, map_size=SIDE, lipschitz=bound, power_iterations=5, name="block 1 of stage 2").double()
    for part in made.branch[::2]:
        part.weight.data *= gain
    return made.eval()


def batch(count=3, seed=1):
    return 4 * torch.randn(count, 4, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_inverse_undoes_the_block():
    made, x = block(), batch()
    assert (made(x) - x).abs().max() > 0.1
    solved = made.inverse(made(x), tolerance=1e-13)
    assert (solved.x - x).abs().max() < 1e-10
    assert solved.residual <= 1e-13
    assert 1 < solved.iterations < 100


def test_a_branch_stretches_no_distance_by_more_than_the_cube_of_the_bound():
    made = block(gain=50)
    x, y = batch(64, seed=2), batch(64, seed=3)
    y[32:] = x[32:] + 1e-3 * y[32:]
    stretched = (made.branch(x) - made.branch(y)).flatten(1).norm(dim=1) / (x - y).flatten(1).norm(dim=1)
    assert 0 < stretched.max() <= 0.8**3 * (1 + 1e-3)


def test_a_sample_stops_when_it_has_converged_whatever_the_others_do():
    made, y = block(), batch(4)
    y[1:] *= 100
    alone, among = made.inverse(y[:1]), made.inverse(y)
    torch.testing.assert_close(alone.x, among.x[:1], rtol=1e-13, atol=1e-13)
    looser = made.inverse(y, tolerance=1e-2)
    assert looser.iterations < among.iterations


def test_what_does_not_converge_is_named_with_the_remedy():
    made, y = block(), batch()
    made.inverse(y, max_iterations=200)
    with pytest.raises(InverseError, match=r"block 1 of stage 2 still moves by .* after 2 iterations.*allow more"):
        made.inverse(y, max_iterations=2)
    assert issubclass(InverseError, LeighError)


def test_numbers_that_are_not_finite_do_not_converge():
    y = batch()
    y[1, 0, 0, 0] = torch.nan
    with pytest.raises(InverseError, match="still moves by nan"):
        block().inverse(y, max_iterations=5)


def test_training_mode_is_refused():
    with pytest.raises(InverseError, match=r"training mode.*call eval"):
        block().train().inverse(batch())
