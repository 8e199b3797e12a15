import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.models.invertible import InverseError, ResidualBlock

SIDE = 6


def block(*, gain=5.0, bound=0.8, **options):
    torch.manual_seed(0)
    made = ResidualBlock(
        4, 6, map_size=SIDE, lipschitz=bound, power_iterations=5, name="block 1 of stage 2", **options
    ).double()
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
    assert solved.residual.max() <= 1e-13
    assert solved.iterations.min() > 1
    assert solved.iterations.max() < 100


def test_a_branch_stretches_no_distance_by_more_than_the_cube_of_the_bound():
    made = block(gain=50)
    x, y = batch(64, seed=2), batch(64, seed=3)
    y[32:] = x[32:] + 1e-3 * y[32:]
    stretched = (made.branch(x) - made.branch(y)).flatten(1).norm(dim=1) / (x - y).flatten(1).norm(dim=1)
    assert 0 < stretched.max() <= made.lipschitz() <= 0.8**3
    assert made.float().lipschitz() <= 0.8**3


def test_a_sample_stops_when_it_has_converged_whatever_the_others_do():
    made, y = block(), batch(4)
    y[1:] *= 100
    alone, among = made.inverse(y[:1]), made.inverse(y)
    torch.testing.assert_close(alone.x, among.x[:1], rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(made.inverse(y[:1], acceleration=0).x, alone.x, rtol=1e-5, atol=1e-5)
    looser = made.inverse(y, tolerance=1e-2)
    assert (looser.iterations < among.iterations).all()


def test_what_does_not_converge_is_named_with_the_remedy():
    made, y = block(), batch()
    made.inverse(y, max_iterations=200)
    with pytest.raises(InverseError, match=r"block 1 of stage 2 has an error of .* after 2 steps.*allow more"):
        made.inverse(y, max_iterations=2)
    assert issubclass(InverseError, LeighError)


def test_numbers_that_are_not_finite_do_not_converge():
    y = batch()
    y[1, 0, 0, 0] = torch.nan
    made = block()
    made.inverse(y[:1])
    with pytest.raises(InverseError, match="block 1 of stage 2 can't invert a latent that is not finite"):
        made.inverse(y)


def test_single_precision_rests_at_its_resolution():
    """At c = 0.99 a tolerance of 1e-6 asks for less than float32 can tell."""
    made, x = block(gain=50, bound=0.99).float(), batch().float()
    y = made(x)
    assert 1e-6 * (1 - made.lipschitz()) / made.lipschitz() < torch.finfo(torch.float32).eps
    solved = made.inverse(y)
    assert (made(solved.x) - y).abs().max() < 1e-5


def test_training_mode_is_refused():
    with pytest.raises(InverseError, match=r"training mode.*call eval"):
        block().train().inverse(batch())


@pytest.mark.parametrize("tolerance", [1e-2, 1e-5, 1e-9])
@pytest.mark.parametrize("bound", [0.5, 0.95])
def test_the_error_is_the_one_that_was_asked_for(tolerance, bound):
    made, x = block(gain=50, bound=bound), batch()
    y = made(x)
    error = (made.inverse(y, tolerance).x - x).flatten(1).norm(dim=1)
    allowed = tolerance * y.flatten(1).abs().amax(dim=1) * x[0].numel() ** 0.5
    assert (error <= allowed).all()


def slowest():
    """On kernels that hand each pixel on, the branch is 0.95^3 x where x is positive: the slowest there is."""
    made = block(bound=0.95)
    for part in made.branch[::2]:
        torch.nn.init.dirac_(part.weight)
        torch.nn.init.zeros_(part.bias)
    return made


def test_where_the_bound_is_reached_the_error_is_no_larger_than_asked_and_not_much_smaller():
    made, x = slowest(), batch().abs()
    with torch.no_grad():  # so that a residual r is an error of r / (1 - L)
        made.branch[4].weight.neg_()
    y = made(x)
    error = (made.inverse(y, 1e-6, acceleration=0).x - x).flatten(1).abs().amax(dim=1)
    allowed = 1e-6 * y.flatten(1).abs().amax(dim=1)
    assert (0.5 * allowed < error).all()
    assert (error <= allowed).all()


def test_acceleration_needs_fewer_iterations():
    made = slowest()
    y = made(batch().abs())
    plain, accelerated = (made.inverse(y, 1e-10, acceleration=memory) for memory in (0, 2))
    assert plain.iterations.min() > 100
    assert (accelerated.iterations < plain.iterations / 5).all()
    torch.testing.assert_close(accelerated.x, batch().abs(), rtol=1e-8, atol=1e-8)


def test_a_checkpointed_block_has_the_same_gradients():
    x = batch()
    stored, again = block().train(), block(checkpointed=True).train()
    for made in (stored, again):
        made(x).square().sum().backward()
    for ours, theirs in zip(stored.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=0)
    for ours, theirs in zip(stored.buffers(), again.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, equal_nan=True)
