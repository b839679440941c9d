"""The device that a command line names."""

from ingest.types import DataError


def check_device(device: str) -> None:
    """Raise DataError if torch cannot compute on a device: an unknown word, a GPU that is not there, no values."""
    import torch

    try:
        torch.zeros(1, device=device).cpu()  # which a device without values (meta) cannot
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"--device {device} cannot be used ({why}); try --device cpu") from None
