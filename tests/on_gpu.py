"""A GPU in all but name, so that what runs on one can be tried on a machine that has none.

Within `claimed()` a tensor that is made on "cuda" or sent there says that it lies there, and so does whatever is
computed from it. As on a GPU it has no numpy() and does not mix with tensors of the host; its numbers are computed on
the processor, so that they can be compared. In other threads nothing is claimed, nor in gradients before they are
somebody's `grad`, nor inside functions that torch writes in Python.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
WHERE = {  # a question about a tensor -> its answer by whether it is there
    Tensor.device.__get__: lambda there: CUDA if there else CPU,
    Tensor.is_cuda.__get__: lambda there: there,
    Tensor.is_cpu.__get__: lambda there: not there,
}
SENDING = (Tensor.to, Tensor.cuda, Tensor.cpu)
TO_NUMPY = (Tensor.numpy, Tensor.__array__)
CLAIMED = WeakTensorKeyDictionary()  # what lies there; no attribute of a tensor, as torch.save keeps those
BETWEEN = (torch._has_compatible_shallow_copy_type, Tensor.data.__set__, Tensor.grad.__set__)  # take what lies apart


@contextlib.contextmanager
def claimed() -> Iterator[None]:
    """Claim that there is a GPU."""
    with _Claim():
        yield


class _Claim(TorchFunctionMode):
    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in WHERE:
            return WHERE[func](_there(args[0]))
        if func in SENDING:
            return _sent(func, args, kwargs)
        if func in TO_NUMPY and _there(args[0]):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it first.")
        if func == Tensor.pin_memory or func == torch._cudnn_rnn_flatten_weight:  # nothing to do on a processor
            return args[0]
        there = _side(func, args, kwargs)
        if kwargs.get("device") is not None:
            there, kwargs["device"] = torch.device(kwargs["device"]).type == "cuda", CPU
        kwargs.pop("pin_memory", None)
        result = func(*args, **kwargs)
        if func == Tensor.data.__set__:
            _put(args[0], _there(args[1]))
        for leaf in tree_leaves(result) if there else ():
            if isinstance(leaf, Tensor):
                _put(leaf, True)
        return result


def _there(x: Any) -> bool:
    return isinstance(x, Tensor) and CLAIMED.get(x, False)


def _put(x: Tensor, there: bool) -> None:
    CLAIMED[x] = there


def _side(func: Callable, args: tuple, kwargs: dict) -> bool:
    """Whether the result lies there. RuntimeError, as torch has it, where the arguments lie apart."""
    if func in (Tensor.__getitem__, Tensor.__setitem__):  # what lies there takes indices from anywhere
        if not _there(args[0]) and any(map(_there, tree_leaves(args[1]))):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        return _there(args[0])
    if func == Tensor.copy_:
        return _there(args[0])
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = any(map(_there, tensors))
    if there and func not in BETWEEN and any(t.dim() and t.numel() and not _there(t) for t in tensors):
        raise RuntimeError(f"Expected all tensors to be on the same device, in {getattr(func, '__name__', func)}")
    return there


def _sent(func: Callable, args: tuple, kwargs: dict) -> Tensor:
    """x.to(...), x.cuda() and x.cpu(): x itself where it is there already."""
    x, aims, there = args[0], [], func == Tensor.cuda or (func == Tensor.to and _there(args[0]))
    for value in (*args[1:], *kwargs.values()) if func == Tensor.to else ():
        if isinstance(value, str | torch.device):
            there = torch.device(value).type == "cuda"
        elif isinstance(value, Tensor):
            there = _there(value)
        aims.append(CPU if isinstance(value, str | torch.device) else value)
    own = len(args) - 1
    made = x.to(*aims[:own], **dict(zip(kwargs, aims[own:], strict=True))) if aims else x
    if made is x and there != _there(x):
        made = x.clone()
    if made is not x:
        _put(made, there)
    return made
