"""The convolutional front of AASIST and RawGAT-ST for scoring on a CPU: the same sums, a cache-sized tile at a time.

Op by op, these networks write and read maps of tens of megabytes per clip for each norm, activation and pooling, which
takes longer than the convolutions. Here a tile of time steps passes through a whole block before the next one starts;
channels lie innermost, time outermost, so that a tile is one piece of memory and pooling over time is a maximum of
whole rows. Batch norms are folded into the convolutions in front of them. Values agree with the plain form within
rounding (2e-5 behind six blocks, on values up to 30).
"""

import torch
from torch import nn
from torch.nn import functional

TILE_BYTES = 1 << 20  # of one activation inside a block
FRONT_ROWS = 512  # pooled time steps per tile of the filter bank


def usable(x: torch.Tensor) -> bool:
    """Whether a tensor may be worked on in tiles: float32 on a CPU, outside autocast."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


@torch.no_grad()
def pooled_magnitude(wave: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Maximum over 3 x 3 of |filters * wave|: (batch, sample), (filter, tap) -> (batch, 1, filter // 3, time // 3).

    One matrix product gives three neighbouring outputs of every filter, ordered so that the nine values under one
    pooling window lie in nine rows. No gradient: neither the wave nor the fixed filters take one.
    """
    rows, taps = len(filters) // 3, filters.shape[1]
    weight = filters.new_zeros(taps + 2, 3, 3, rows)  # tap, phase, filter in its window, window
    windows = filters[: 3 * rows].view(rows, 3, taps).permute(2, 1, 0)
    for phase in range(3):
        weight[phase : phase + taps, phase] = windows
    weight = weight.view(taps + 2, 9 * rows)
    steps = (wave.shape[1] - taps + 1) // 3
    out = wave.new_empty(len(wave), steps, rows)
    for clip, result in zip(wave, out):
        frames = clip.unfold(0, taps + 2, 3)[:steps]
        for tile, target in zip(frames.split(FRONT_ROWS), result.split(FRONT_ROWS)):
            torch.amax((tile @ weight).abs_().view(-1, 9, rows), 1, out=target)
    return out.transpose(1, 2).unsqueeze(1)


def encode(blocks: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """What `blocks(x)` gives, for a sequence of `ResidualBlock2d` (each perhaps in a sequence of one).

    (batch, channel, filter, time) -> (batch, channel, filter, time).
    """
    y = x.permute(0, 3, 2, 1).contiguous()  # (batch, time, filter, channel)
    for block in blocks:
        y = _block(block[0] if isinstance(block, nn.Sequential) else block, y)
    return y.permute(0, 3, 2, 1)


def _affine(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Gain and offset of a batch norm in evaluation."""
    gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return gain, norm.bias - norm.running_mean * gain


def time_first(weight: torch.Tensor) -> torch.Tensor:
    """A convolution's weight for maps whose channels lie innermost and whose time comes before the filters."""
    return weight.transpose(2, 3).contiguous(memory_format=torch.channels_last)


def _block(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(batch, time, filter, channels_in) -> (batch, time // pool, filter, channels_out), contiguous."""
    first, second = getattr(block, block.first_name), block.conv2
    gain, offset = _affine(block.bn2)
    weight1, bias1 = time_first(first.weight * gain.view(-1, 1, 1, 1)), first.bias * gain + offset
    weight2, bias2 = time_first(second.weight), second.bias
    shortcut = getattr(block, "conv_downsample", None)
    weight3 = None if shortcut is None else time_first(shortcut.weight)
    bias2 = bias2 if shortcut is None else bias2 + shortcut.bias
    (clips, time, rows, _), channels = x.shape, len(bias1)
    pool = 1 if isinstance(block.pool, nn.Identity) else block.pool.kernel_size[1]
    steps = time // pool
    tile = max(1, TILE_BYTES // (4 * channels * (rows + 1)) // pool) * pool
    padded = functional.pad(x, (0, 0, 0, 0, 1, 1))  # one step of silence on both ends, as the convolutions pad
    out = x.new_empty(clips, steps, rows, channels)
    for clip in range(clips):
        image = padded[clip : clip + 1].permute(0, 3, 1, 2)  # row t + 1 holds step t
        for begin in range(0, steps * pool, tile):
            end = min(begin + tile, steps * pool)
            low, high = max(begin - 1, 0), min(end + 1, time)
            hidden = functional.selu_(functional.conv2d(image[:, :, low : high + 2], weight1, bias1, padding=(0, 1)))
            hidden = _silent_ends(hidden, begin == 0, end == time)
            y = functional.conv2d(hidden, weight2, bias2).permute(0, 2, 3, 1)
            if weight3 is None:
                y += x[clip : clip + 1, begin:end]
            else:
                y += functional.conv2d(image[:, :, begin : end + 2], weight3).permute(0, 2, 3, 1)
            target = out[clip, begin // pool : end // pool]
            torch.amax(y.reshape(-1, pool, rows, channels), 1, out=target)
    return out


def _silent_ends(x: torch.Tensor, before: bool, after: bool) -> torch.Tensor:
    """(1, channel, time, filter), channels innermost: with a step of zeros in front, behind, or as it is."""
    if not (before or after):
        return x
    longer = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 0, 0, int(before), int(after)))
    return longer.permute(0, 3, 1, 2)
