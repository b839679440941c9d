"""Self-supervised embeddings: a layer of wav2vec 2.0, WavLM, HuBERT or XLS-R, or all layers pooled over time."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from features.extractors._base import Extractor
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
    first layer. pool: `mean_std` gives one frame of mean and deviation over time of every layer, concatenated
    (2 * layers * width values), whatever `layer` is. normalise: zero mean and unit variance per clip first.
    stable: random weights only, the layer-norm variant that XLS-R has. precision: float32 or bfloat16.
    """

    min_samples = 400  # one frame of the seven convolutions

    def __init__(
        self, weights: str = "", architecture: str = "wav2vec2", layer: int = -1, pool: str = "none",
        normalise: bool = False, stable: bool = False, precision: str = "float32",
    ):  # fmt: skip
        super().__init__()
        if architecture not in ARCHITECTURES or pool not in POOLS or precision not in PRECISIONS:
            raise ValueError(
                f"architecture is one of {ARCHITECTURES}, pool of {POOLS}, precision of {tuple(PRECISIONS)}"
            )
        self.model, self.weights_hash = _model(weights, architecture, stable)
        self.model.to(PRECISIONS[precision]).requires_grad_(False).eval()
        width, layers = self.model.config.hidden_size, self.model.config.num_hidden_layers
        if not -1 <= layer <= layers:
            raise ValueError(f"layer {layer} is not within -1..{layers}")
        self.layer, self.pool, self.normalise, self.precision = layer, pool, normalise, PRECISIONS[precision]
        self.dim = 2 * layers * width if pool == "mean_std" else width
        self.clips_per_block = 8

    def features(self, wave: Tensor) -> Tensor:
        """(batch, sample) -> (batch, frame, width), or (batch, 1, 2 * layers * width) if pooled."""
        if self.normalise:
            variance, mean = torch.var_mean(wave, dim=1, keepdim=True, unbiased=False)
            wave = (wave - mean) / (variance + 1e-7).sqrt()
        entered: list[Tensor] = []
        hooks = [
            layer.register_forward_hook(lambda module, args, out: entered.extend(_states(args, out, entered)))
            for layer in self.model.encoder.layers
        ]
        try:
            last = self.model(wave.to(self.precision)).last_hidden_state
        finally:
            for hook in hooks:
                hook.remove()
        if self.pool == "mean_std":
            x = torch.stack(entered[1:], dim=1).float()  # (batch, layer, frame, width)
            deviation, mean = torch.std_mean(x, dim=2, unbiased=False)
            return torch.stack([mean, deviation], dim=2).flatten(1)[:, None]
        return (last if self.layer == -1 else entered[self.layer]).float()


def _states(args: tuple, out: Any, entered: list[Tensor]) -> list[Tensor]:
    """What a layer gives; before the first, also what it was given."""
    given = [] if entered else [args[0]]
    return [*given, out[0] if isinstance(out, tuple) else out]


def _model(weights: str, architecture: str, stable: bool) -> tuple[nn.Module, str]:
    from transformers import AutoConfig, AutoModel

    if weights == RANDOM:
        extra = {"do_stable_layer_norm": stable, "feat_extract_norm": "layer" if stable else "group"}
        config = AutoConfig.for_model(architecture, **SMALL, **extra, apply_spec_augment=False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return AutoModel.from_config(config), hashlib.sha256(json.dumps([SMALL, extra]).encode()).hexdigest()
    folder = Path(weights).expanduser()
    files = [folder / name for name in FILES if (folder / name).is_file()]
    if not weights or not files or not (folder / "config.json").is_file():
        raise DataError(
            f"ssl: {'no weights given' if not weights else f'{folder} is not the folder of a published model'}; "
            f"--set weights=DIR takes a folder with config.json and {' or '.join(FILES)} "
            "(download it where there is a network, e.g. facebook/wav2vec2-base), or weights=random for tests"
        )
    found = json.loads((folder / "config.json").read_text()).get("model_type")
    if found != architecture:
        raise DataError(f"ssl: {folder} holds a {found} model; set architecture={found}, one of {ARCHITECTURES}")
    config = AutoConfig.from_pretrained(folder, apply_spec_augment=False, local_files_only=True)
    model, said = AutoModel.from_pretrained(
        folder, config=config, local_files_only=True, output_loading_info=True, dtype=torch.float32
    )
    missing = sorted(key for key in said["missing_keys"] if not key.endswith("masked_spec_embed"))
    if missing:
        raise DataError(f"ssl: {files[0]} lacks {len(missing)} weights of its model (first: {missing[0]})")
    with open(files[0], "rb") as file:
        return model, hashlib.file_digest(file, "sha256").hexdigest()


build = Ssl
