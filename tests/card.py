"""A GPU that is simulated: tensors on it compute on the CPU, and nothing mixes them with those left on the CPU.

PyTorch's fake tensors have no values, so that an inverse or a counterfactual, whose way depends on values, can't run
with them. Tensors on the simulated card have values, and give what the CPU gives. Other subclasses of tensors, such as
those of occlusion, can't hold them.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten

CARD = torch.device("cuda:0")
_COPIES = {aten._to_copy.default, aten.copy_.default}
_READS = {
    aten._local_scalar_dense.default: "a number read",
    aten.nonzero.default: "nonzero",
    aten.masked_select.default: "masked_select",
    aten.equal.default: "equal",
}
_PRODUCTS = {
    aten.convolution.default,
    aten.convolution_backward.default,
    aten.mm.default,
    aten.bmm.default,
    aten.addmm.default,
    aten.baddbmm.default,
}


class LeftBehindError(RuntimeError):
    """An operation mixes a tensor on the card with one on the CPU, which a real card refuses."""


class CardTensor(torch.Tensor):
    """A tensor on the card; ``values`` holds its numbers on the CPU."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "CardTensor":
        # To C++ it is on the meta device, since autograd would look for a driver of a CUDA device.
        return torch.Tensor._make_wrapper_subclass(
            cls,
            values.size(),
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device="meta",
        )

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @property
    def device(self) -> torch.device:
        return CARD

    @property
    def is_cuda(self) -> bool:
        return True

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __getitem__(self, places: Any) -> Any:
        # An index from the CPU, which a card takes, would be moved to the meta device, which has no values.
        known = places if isinstance(places, tuple) else (places,)
        far = list, torch.Tensor
        return super().__getitem__(
            tuple(torch.as_tensor(each).to(CARD) if isinstance(each, far) else each for each in known)
        )

    def numpy(self) -> Any:
        raise LeftBehindError("numpy() of a tensor on the card; copy it with cpu() first")

    def __deepcopy__(self, memo: dict[int, Any]) -> "CardTensor":
        copied = self.detach().clone()
        return torch.nn.Parameter(copied, self.requires_grad) if isinstance(self, torch.nn.Parameter) else copied

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise LeftBehindError(f"{func} on a tensor of a card that is no longer simulated")

    __torch_function__ = torch._C._disabled_torch_function_impl


class SimulatedCard(TorchDispatchMode):
    """Runs what is asked of the card.

    Attributes:
        waits: How often the program would wait for the card, by the reason.
        pinned: Tensors that were made in pinned memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.pinned = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        present = [each for each in tensors if isinstance(each, CardTensor)]
        absent = [each for each in tensors if not isinstance(each, CardTensor) and each.dim() > 0]
        if present and absent and func not in _COPIES:
            raise LeftBehindError(f"{func}: a tensor of shape {tuple(absent[0].shape)} was left behind on the CPU")
        stays = self._stays_on_card(func, args, kwargs, bool(present))
        self._count(func, args, stays, bool(present))
        if kwargs.get("device") is not None:
            kwargs["device"] = torch.device("cpu")
        self.pinned += bool(kwargs.pop("pin_memory", False))
        if func is aten._conj.default and present:
            func = aten.conj_physical.default
        wrapped = {id(each.values): each for each in present}
        is_rounded = func in _PRODUCTS and torch.backends.cudnn.conv.fp32_precision == "tf32"

        def unwrap(each: Any) -> Any:
            if not isinstance(each, CardTensor):
                return each
            return to_tf32(each.values) if is_rounded else each.values

        def wrap(each: Any) -> Any:
            if not isinstance(each, Tensor):
                return each
            # What changes a tensor in place returns it.
            return wrapped[id(each)] if id(each) in wrapped else CardTensor(each)

        found = func(*tree_map(unwrap, args), **tree_map(unwrap, kwargs))
        return tree_map(wrap, found) if stays else found

    def _stays_on_card(self, func: Any, args: Any, kwargs: Any, present: bool) -> bool:
        if func is aten.copy_.default:
            return isinstance(args[0], CardTensor)
        device = kwargs.get("device")
        return present if device is None else torch.device(device).type in ("cuda", "meta")

    def _count(self, func: Any, args: Any, stays: bool, present: bool) -> None:
        if not present:
            return
        if func in _READS:
            self.waits[_READS[func]] += 1
        if func in _COPIES and not stays:
            self.waits["a copy to the CPU"] += 1
        if func is aten.index.Tensor and any(
            each is not None and each.dtype in (torch.bool, torch.uint8) for each in args[1]
        ):
            self.waits["an index of booleans"] += 1


class _Factories(TorchFunctionMode):
    """Makes tensors of numbers on the CPU first, as PyTorch copies them to a device where no mode sees it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = dict(kwargs or {})
        if func not in (torch.tensor, torch.as_tensor) or given.get("device") is None:
            return func(*args, **given)
        device = given.pop("device")
        return func(*args, **given).to(device)


def to_tf32(values: Tensor) -> Tensor:
    """Round float32 to the 11 bits of TF32, as matrix units of a card do unless they are told not to."""
    if values.dtype != torch.float32:
        return values
    bits = values.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32).view(values.shape)


@contextmanager
def simulated_card() -> Iterator[SimulatedCard]:
    """Simulate a card within the context; ``CARD`` is its device."""
    nothing = torch.zeros(1, dtype=torch.uint8)
    # A network's parameters could not become tensors of the card in place.
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    real = torch.cuda._lazy_init, torch.cuda.get_rng_state, torch.cuda.set_rng_state, torch.cuda.manual_seed_all
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    # A function each, as the compiler, which some imports call, tells functions of PyTorch apart.
    torch.cuda._lazy_init, torch.cuda.manual_seed_all = (lambda: None), (lambda seed: None)
    torch.cuda.get_rng_state, torch.cuda.set_rng_state = (lambda *given: nothing), (lambda *given: None)
    try:
        with torch.backends.cudnn.flags(enabled=False), _Factories(), SimulatedCard() as card:
            yield card
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)
        torch.cuda._lazy_init, torch.cuda.get_rng_state, torch.cuda.set_rng_state, torch.cuda.manual_seed_all = real
