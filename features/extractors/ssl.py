"""Self-supervised embeddings: layers of wav2vec 2.0, WavLM, HuBERT or XLS-R, as they are or pooled over time."""

import hashlib
import json
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from features.extractors._base import Extractor, within
from ingest.files import model_config
from ingest.types import DataError

RANDOM = "random"
ARCHITECTURES = ("wav2vec2", "wavlm", "hubert")
POOLS = ("none", "mean_std")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
FILES = ("model.safetensors", "pytorch_model.bin")
PRESETS = {
    "wav2vec2": {},
    "wavlm": {"architecture": "wavlm"},
    "hubert": {"architecture": "hubert"},
    "xlsr": {"stable": True, "normalise": True},  # detectors-b 9.2: XLS-R was trained on normalised waves
}
AT_ONCE = 1 << 22  # samples, 4 minutes: the convolutions of a published model take some 20 MB for each second
UNHEARD = ("_name_or_path", "transformers_version")  # of config.json: where a model was, and what wrote it
# The configuration of weights=random: small, with the seven convolutions that give 49 frames a second.
SMALL = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
    "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip


class Ssl(Extractor):
    """Outputs of a transformer encoder, 49 or 50 frames a second of `width` values.

    weights: the folder of a published model (config.json with model.safetensors or pytorch_model.bin); or
    `random`, a small encoder of `architecture` with random weights from seed 0, for tests. layer: 1..layers is
    the output of that transformer layer before any final norm, -1 the encoder's own output, 0 what enters the
    first layer. layers: several of those instead, `5,9,12`, side by side in that order. pool: `mean_std` gives one
    frame of mean and deviation over time of each of `layers`, concatenated (2 * layers * width values); of every
    transformer layer, whatever `layer` is, where none are listed. normalise: zero mean and unit variance per clip
    first. stable: random weights only, the layer-norm variant that XLS-R has. precision: float32 or bfloat16.
    """

    min_samples = 400  # one frame of the seven convolutions

    def __init__(
        self, weights: str = "", architecture: str = "wav2vec2", layer: int = -1, pool: str = "none",
        normalise: bool = False, stable: bool = False, precision: str = "float32", layers: str = "",
    ):  # fmt: skip
        super().__init__()
        if architecture not in ARCHITECTURES or pool not in POOLS or precision not in PRECISIONS:
            raise ValueError(
                f"architecture is one of {ARCHITECTURES}, pool of {POOLS}, precision of {tuple(PRECISIONS)}"
            )
        self.model, self.weights_hash = _model(weights, architecture, stable)
        self.model.to(PRECISIONS[precision]).requires_grad_(False).eval()
        width, count = self.model.config.hidden_size, self.model.config.num_hidden_layers
        every = tuple(range(1, count + 1))
        self.layers = _numbers(layers) or (every if pool == "mean_std" else (layer,))
        for number in (layer, *self.layers):
            within(-1, count, layer=number)
        self.pool, self.normalise, self.precision = pool, normalise, PRECISIONS[precision]
        self.dim = (2 if pool == "mean_std" else 1) * len(self.layers) * width
        self.alone = False

    def clips_per_block(self, samples: int) -> int:
        """Eight, of long ones as many as last a minute."""
        return max(min(8, 60 * self.rate_hz // samples), 1)

    def features(self, wave: Tensor) -> Tensor:
        """(batch, sample) -> (batch, frame, layers * width), or (batch, 1, 2 * layers * width) if pooled.

        A GPU gets the batch whole, and of 64 clips of a minute the activations alone would take 80 GB.
        """
        return torch.cat([self._of(part) for part in wave.split(max(AT_ONCE // wave.shape[1], 1))])

    def _of(self, wave: Tensor) -> Tensor:
        if self.normalise:
            variance, mean = torch.var_mean(wave, dim=1, keepdim=True, unbiased=False)
            wave = (wave - mean) / (variance + 1e-7).sqrt()
        states = self._states(wave.to(self.precision))
        if self.pool == "mean_std":
            x = torch.stack([state.float() for state in states], dim=1)  # (batch, layer, frame, width)
            deviation, mean = torch.std_mean(x, dim=2, unbiased=False)
            return torch.stack([mean, deviation], dim=2).flatten(1)[:, None]
        return torch.cat([state.float() for state in states], dim=-1)

    def _states(self, wave: Tensor) -> list[Tensor]:
        """(batch, frame, width) of each of the layers; the others are let go as the network runs."""
        kept: dict[int, Tensor] = {}
        stack = self.model.encoder.layers
        hooks = [stack[number - 1].register_forward_hook(partial(_keep, kept, number))
                 for number in set(self.layers) if number > 0]  # fmt: skip
        if 0 in self.layers:
            hooks.append(stack[0].register_forward_pre_hook(lambda module, args: kept.update({0: args[0]})))
        try:
            kept[-1] = self.model(wave).last_hidden_state
        finally:
            for hook in hooks:
                hook.remove()
        return [kept[number] for number in self.layers]


def _keep(kept: dict[int, Tensor], number: int, module: nn.Module, args: tuple, out: Any) -> None:
    kept[number] = out[0] if isinstance(out, tuple) else out


def _numbers(layers: str) -> tuple[int, ...]:
    """`5,9,12` to numbers; none for an empty text. Raises ValueError for any other text and for a number twice."""
    words = [word.strip() for word in layers.split(",")] if layers else []
    if any(not re.fullmatch("-1|[0-9]+", word) for word in words) or len(set(words)) < len(words):
        raise ValueError(f"layers {layers!r} is not a list of different numbers such as 5,9,12")
    return tuple(map(int, words))


def _model(weights: str, architecture: str, stable: bool) -> tuple[nn.Module, str]:
    if weights == RANDOM:
        from transformers import AutoConfig, AutoModel

        extra = {"do_stable_layer_norm": stable, "feat_extract_norm": "layer" if stable else "group"}
        config = AutoConfig.for_model(architecture, **SMALL, **extra, apply_spec_augment=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return AutoModel.from_config(config), hashlib.sha256(json.dumps([SMALL, extra]).encode()).hexdigest()
    folder = Path(os.path.expanduser(weights))  # not Path.expanduser, which raises where there is no such user
    files = [folder / name for name in FILES if (folder / name).is_file()]
    if weights and not files and (parts := sorted(folder.glob("*.index.json"))):
        raise DataError(f"ssl: {folder} holds its model in parts ({parts[0].name}); save it as one file: {FILES[0]}")
    if not weights or not files or not (folder / "config.json").is_file():
        raise DataError(
            f"ssl: {'no weights given' if not weights else f'{folder} is not the folder of a published model'}; "
            f"--set weights=DIR takes a folder with config.json and {' or '.join(FILES)} "
            "(download it where there is a network, e.g. facebook/wav2vec2-base), or weights=random for tests"
        )
    said = model_config(folder / "config.json")
    found = said.get("model_type")
    if found != architecture:
        raise DataError(f"ssl: {folder} holds a {found} model; set architecture={found}, one of {ARCHITECTURES}")
    model, loading = _loaded(folder, files[0])
    missing = sorted(key for key in loading["missing_keys"] if not key.endswith("masked_spec_embed"))
    if missing:
        raise DataError(f"ssl: {files[0]} lacks {len(missing)} weights of its model (first: {missing[0]})")
    if other := sorted(str(key) for key, *_ in loading["mismatched_keys"]):
        raise DataError(
            f"ssl: {len(other)} weights of {files[0]} have other shapes than config.json says (first: {other[0]})"
        )
    with open(files[0], "rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(json.dumps({k: v for k, v in said.items() if k not in UNHEARD}, sort_keys=True).encode())
    return model, digest.hexdigest()


def _loaded(folder: Path, file: Path) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a folder, and what transformers tells of loading it, without its bar and its table.

    Raises DataError for whatever transformers cannot load; it has an exception of another kind for every damage.
    """
    from transformers import AutoConfig, AutoModel, logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        config = AutoConfig.from_pretrained(folder, apply_spec_augment=False, local_files_only=True)
        return AutoModel.from_pretrained(
            folder, config=config, local_files_only=True, output_loading_info=True, dtype=torch.float32,
            ignore_mismatched_sizes=True,
        )  # fmt: skip
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DataError(
            f"ssl: {file} and its config.json cannot be loaded ({reason}); download the model's folder again"
        ) from None


build = Ssl
