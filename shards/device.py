"""The device that a command line names."""

from ingest.types import DataError


def check_device(device: str) -> None:
    """Raise DataError if torch cannot compute on a device: an unknown word, a GPU that is not there, no values."""
    import torch

    exact()
    try:
        torch.zeros(1, device=device).cpu()  # which a device without values (meta) cannot
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"--device {device} cannot be used ({why}); try --device cpu") from None


def exact() -> None:
    """Let this process's float32 be float32 on a GPU, too.

    By default torch has the convolutions and recurrent layers there round their factors to 10 bits (TF32), 1e-3 of a
    value: a pool that keeps the best nodes then keeps others than on a processor.
    """
    import torch

    torch.backends.cudnn.allow_tf32 = False
