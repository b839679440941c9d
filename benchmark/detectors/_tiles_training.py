"""The residual blocks of AASIST and RawGAT-ST in training on a CPU, tile by tile; scoring is in `_tiles`.

One block is one differentiable function. Forward: the first convolution writes its map and the moments of the batch
norm; then norm, SELU, second convolution, shortcut and pooling pass over it tile by tile. Backward: the same two passes
in reverse, recomputing what is cheap (norm and SELU) and keeping what is not (the first map, and one byte per pooled
value that says which of the pooled ones was the largest). Maps are (time, filter, channel), as in `_tiles`.
"""

from collections.abc import Iterator

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ._tiles import TILE_BYTES, time_first

ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805  # of SELU
LAST = torch.channels_last
# Below this size of one clip's inner map, the library's own convolutions on whole maps are as quick.
WORTHWHILE_BYTES = 4 << 20


def encode(blocks: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """What `blocks(x)` gives in training, batch norm statistics included; see `_tiles.encode` for the shapes."""
    for block in blocks:
        inner = block[0] if isinstance(block, nn.Sequential) else block
        if 4 * inner.bn2.num_features * (x.shape[2] + 1) * x.shape[3] < WORTHWHILE_BYTES:
            x = block(x.contiguous())
        else:
            x = _block(inner, x.permute(0, 3, 2, 1).contiguous()).permute(0, 3, 2, 1)
    return x


def _block(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    if hasattr(block, "bn1"):
        with torch.no_grad():
            moments = Moments(x.shape[3])
            for clip in x:
                moments.add(clip)
            moments.follow(block.bn1)
    first, norm, shortcut = getattr(block, block.first_name), block.bn2, getattr(block, "conv_downsample", None)
    moments = Moments(first.out_channels)
    pool = 1 if isinstance(block.pool, nn.Identity) else block.pool.kernel_size[1]
    third = (None, None) if shortcut is None else (shortcut.weight, shortcut.bias)
    weights = (first.weight, first.bias, norm.weight, norm.bias, block.conv2.weight, block.conv2.bias, *third)
    y = TiledBlock.apply(x, *weights, norm.eps, pool, moments)
    moments.follow(norm)
    return y


class Moments:
    """Mean and variance per channel, merged in float64 from tiles, so that no large squares are subtracted."""

    def __init__(self, channels: int):
        self.count = 0
        self.mean, self.scatter = (torch.zeros(channels, dtype=torch.float64) for _ in range(2))

    def add(self, tile: torch.Tensor) -> None:
        """(..., channel) contiguous."""
        rows = tile.reshape(-1, tile.shape[-1])
        mean = rows.mean(0)
        scatter = (rows - mean).square_().sum(0)
        before, self.count = self.count, self.count + len(rows)
        gap = mean.double() - self.mean
        self.mean += gap * (len(rows) / self.count)
        self.scatter += scatter.double() + gap.square() * (before * len(rows) / self.count)

    def follow(self, norm: nn.modules.batchnorm._BatchNorm) -> None:
        """Move the running statistics of a batch norm as a training step does."""
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked += 1
        share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.lerp_(self.mean.float(), share)
        norm.running_var.lerp_((self.scatter / max(1, self.count - 1)).float(), share)


class TiledBlock(torch.autograd.Function):
    """One `ResidualBlock2d` in training: (batch, time, filter, channel) -> (batch, time // pool, filter, channel)."""

    @staticmethod
    def forward(ctx, x, w1, b1, gain, offset, w2, b2, w3, b3, eps, pool, moments):  # noqa: ANN001
        weight1, weight2 = time_first(w1), time_first(w2)
        clips, time, rows, _ = x.shape
        channels, steps = len(b1), time // pool
        hidden = x.new_empty(clips, time, rows + 1, channels)
        for clip, a, e in tiles(clips, time, pool, rows * channels):
            tile = conv(between(x[clip], a - 1, e + 1), weight1, b1, padding=(0, 1))
            hidden[clip, a:e] = tile
            moments.add(tile)
        mean, inverse = moments.mean.float(), (moments.scatter / moments.count + eps).rsqrt().float()
        affine = (gain * inverse, offset - mean * gain * inverse)
        bias2 = b2 if w3 is None else b2 + b3
        weight3 = None if w3 is None else time_first(w3)
        out = x.new_empty(clips, steps, rows, channels)
        largest = torch.zeros(out.shape, dtype=torch.uint8)
        for clip, a, e in tiles(clips, steps * pool, pool, rows * channels):
            y = conv(activated(hidden[clip], a - 1, e + 1, *affine), weight2, bias2)
            y += x[clip, a:e] if weight3 is None else conv(between(x[clip], a - 1, e + 1), weight3)
            _pool(
                y.view(-1, pool, rows, channels), out[clip, a // pool : e // pool], largest[clip, a // pool : e // pool]
            )
        ctx.save_for_backward(x, hidden, largest, gain, mean, inverse, *affine, weight1, weight2)
        ctx.weight3, ctx.pool = weight3, pool
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):  # noqa: ANN001
        x, hidden, largest, gain, mean, inverse, *affine, weight1, weight2 = ctx.saved_tensors
        weight3, (clips, time, rows, narrow) = ctx.weight3, x.shape
        channels = len(gain)
        back1, back2 = (w.transpose(0, 1).flip(2, 3).contiguous(memory_format=LAST) for w in (weight1, weight2))
        back3 = None if weight3 is None else weight3.transpose(0, 1).flip(2, 3).contiguous(memory_format=LAST)
        dx, dnorm = torch.empty_like(x), torch.empty_like(hidden)
        dw1, dw2 = torch.zeros_like(weight1), torch.zeros_like(weight2)
        dw3 = None if weight3 is None else torch.zeros_like(weight3)
        db1, db2 = (gain.new_zeros(channels) for _ in range(2))
        total, product = (torch.zeros(channels, dtype=torch.float64) for _ in range(2))
        for clip, a, e in tiles(clips, time, ctx.pool, rows * channels):
            dy = unpooled(gradient[clip], largest[clip], a - 1, e + 1, ctx.pool)
            active = activated(hidden[clip], a - 1, e + 1, *affine)
            own, inside = dy[1:-1], active[1:-1]
            dw2 += weight_gradient(own, active, weight2)
            db2 += own.sum((0, 1))
            dz = conv(dy, back2, padding=(0, 1))
            dz = torch.ops.aten.elu_backward(dz, ALPHA, SCALE, 1, True, inside)
            dnorm[clip, a:e] = dz
            total += dz.sum((0, 1)).double()
            product += (dz * hidden[clip, a:e]).sum((0, 1)).double()
            if weight3 is not None:
                dw3 += weight_gradient(own, between(x[clip], a - 1, e + 1), weight3)
                dx[clip, a:e] = conv(dy, back3)
            else:
                dx[clip, a:e] = own if narrow == channels else own.sum(2, keepdim=True)
        count = clips * time * (rows + 1)
        dgain = ((product - mean.double() * total) * inverse.double()).float()
        slope = -gain * inverse.square() * dgain / count
        level = -gain * inverse * (total / count).float() - slope * mean
        for clip, a, e in tiles(clips, time, ctx.pool, rows * channels):
            low, high = max(a - 1, 0), min(e + 1, time)
            dh = torch.addcmul(level, hidden[clip, low:high], slope).addcmul_(dnorm[clip, low:high], affine[0])
            dh = padded(dh, low - (a - 1), e + 1 - high)
            dx[clip, a:e] += conv(dh, back1)
            dw1 += weight_gradient(dh[1:-1], between(x[clip], a - 1, e + 1), weight1, padding=(0, 1))
            db1 += dh[1:-1].sum((0, 1))
        back = [None if w is None else w.transpose(2, 3) for w in (dw1, dw2, dw3)]
        db3 = None if weight3 is None else db2
        return dx, back[0], db1, dgain, total.float(), back[1], db2, back[2], db3, None, None, None


def tiles(clips: int, time: int, pool: int, row: int) -> Iterator[tuple[int, int, int]]:
    """(clip, first step, last step + 1): tiles of whole pooling windows; row: values per step."""
    size = max(1, TILE_BYTES // (4 * row) // pool) * pool
    for clip in range(clips):
        for begin in range(0, time, size):
            yield clip, begin, min(begin + size, time)


def conv(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, *, padding: tuple[int, int] = (0, 0)
) -> torch.Tensor:
    """(time, filter, channels_in) -> (time - 2, filter ..., channels_out); weight as `time_first` gives it."""
    return functional.conv2d(x.unsqueeze(0).permute(0, 3, 1, 2), weight, bias, padding=padding).permute(0, 2, 3, 1)[0]


def weight_gradient(
    dy: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, *, padding: tuple[int, int] = (0, 0)
) -> torch.Tensor:
    """Gradient of the weight of `conv(x, weight, padding=padding)` given that of its result."""
    dy, x = (part.unsqueeze(0).permute(0, 3, 1, 2) for part in (dy, x))
    mask = [False, True, False]
    return torch.ops.aten.convolution_backward(dy, x, weight, None, [1, 1], padding, [1, 1], False, [0, 0], 1, mask)[1]


def padded(x: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """(time, filter, channel) with so many steps of zeros in front and behind."""
    return functional.pad(x, (0, 0, 0, 0, before, after)) if before or after else x


def between(x: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Steps low to high of (time, filter, channel), zeros where there are none."""
    first, last = max(low, 0), min(high, len(x))
    return padded(x[first:last], first - low, high - last)


def activated(x: torch.Tensor, low: int, high: int, gain: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """SELU(x gain + offset) for steps low to high, zeros where there are none."""
    first, last = max(low, 0), min(high, len(x))
    return padded(functional.selu_(torch.addcmul(offset, x[first:last], gain)), first - low, high - last)


def _pool(windows: torch.Tensor, out: torch.Tensor, largest: torch.Tensor) -> None:
    """(window, step, filter, channel): the maximum over the steps, and the first step that reaches it."""
    best = windows[:, 0]
    for step in range(1, windows.shape[1]):
        higher = windows[:, step] > best
        torch.maximum(largest, higher.view(torch.uint8) * step, out=largest)
        best = torch.maximum(best, windows[:, step])
    out.copy_(best)


def unpooled(gradient: torch.Tensor, largest: torch.Tensor, low: int, high: int, pool: int) -> torch.Tensor:
    """Gradient of the pooled steps low to high: that of each window at its largest step, zeros elsewhere."""
    first, last = max(low // pool, 0), min(-(-high // pool), len(gradient))
    window = torch.arange(pool, dtype=torch.uint8).view(1, pool, 1, 1)
    y = gradient[first:last].unsqueeze(1) * (largest[first:last].unsqueeze(1) == window)
    y = y.flatten(0, 1)
    return between(y, low - first * pool, high - first * pool)
