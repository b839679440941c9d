"""Self-supervised backbones through transformers: from a local folder, the hub cache, or random weights.

Weight files of fairseq, torchaudio and transformers are recognised by their names and loaded strictly.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.detectors import _pretrained
from benchmark.detectors._base import LoadReport, fill, read_state
from ingest.files import model_config
from ingest.types import DataError, nearest


@dataclass(frozen=True, slots=True)
class Architecture:
    """One published backbone: its hub name, other files that hold it, its configuration without a config.json."""

    kind: str  # wav2vec2 | wavlm
    hub: str
    files: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


ARCHITECTURES = {
    "wav2vec2-base-960h": Architecture("wav2vec2", "facebook/wav2vec2-base-960h"),
    "wav2vec2-base": Architecture("wav2vec2", "facebook/wav2vec2-base"),
    "wavlm-base": Architecture("wavlm", "microsoft/wavlm-base"),
    "xls-r-300m": Architecture(
        "wav2vec2",
        "facebook/wav2vec2-xls-r-300m",
        ("xlsr2_300m.pt", "wav2vec2_xlsr_300m.pth"),
        {
            "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
            "do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True,
        },
    ),
}  # fmt: skip

# fairseq's and torchaudio's XLS-R have neither dropout nor layer drop; the hub's configuration has 0.1 of each.
STILL = {
    "layerdrop": 0.0, "attention_dropout": 0.0, "hidden_dropout": 0.0, "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0, "final_dropout": 0.0,
}  # fmt: skip
# weights=random with small=True: for tests, the same frames with a fraction of the parameters.
SMALL = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64,
    "conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip

# What published files hold beside the backbone: quantisers of the pre-training, heads of it and of recognition.
BESIDE = (
    "quantizer.", "project_q.", "project_hid.", "final_proj.", "lm_head.", "label_embs_concat", "aux.",
    "w2v_encoder.proj.",
)  # fmt: skip
MASK = "masked_spec_embed"  # unused without SpecAugment; torchaudio's files lack it


class Backbone(nn.Module):
    """A wav2vec 2.0 or WavLM encoder: (batch, sample) wave -> (batch, frame, width) output after the last layer norm.

    SpecAugment inside the model is off: hub configurations switch it on in training. A backbone none of whose
    parameters is trained runs in evaluation mode without gradient; of a partly trained one, the parts that are not
    trained stay in evaluation mode.

    architecture: a key of ARCHITECTURES. weights: a hub folder (config.json with model.safetensors or
    pytorch_model.bin), a file of fairseq, torchaudio or transformers, None (the hub cache, then the torch hub cache)
    or "random". small: a tiny configuration, with random weights only. mask: keep the unused mask vector as a
    parameter. config: values that replace those of the configuration.
    """

    def __init__(
        self, architecture: str, weights: str | None, *, detector: str, small: bool = False, mask: bool = True,
        config: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise nearest(architecture, ARCHITECTURES, what="backbone")
        if small and weights != _pretrained.RANDOM:
            raise DataError(f"{detector}: small=true has no published weights; set weights={_pretrained.RANDOM} too")
        known = ARCHITECTURES[architecture]
        source = _source(weights, known, detector)
        changes = {"apply_spec_augment": False, **({} if mask else {"mask_time_prob": 0.0}), **(config or {})}
        self.model = _build(known, source, {**changes, **(SMALL if small else {})})
        self.width, self.layers = self.model.config.hidden_size, self.model.config.num_hidden_layers
        if source is not None and not _pretrained.laid_out_only(self.model):
            path = _weight_file(source, detector)
            _pretrained.tell(detector, path, self.load(path))
            self.began_from = path

    def load(self, path: Path) -> LoadReport:
        """Load a file of any of the three namings. DataError if it does not fit."""
        state = read_state(path)
        try:
            state = to_transformers(state)
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        return fill(self.model, state, path=path, ignored=lambda key: key.startswith(BESIDE), optional=(MASK,))

    def train(self, mode: bool = True) -> "Backbone":
        """Training mode for the parts with a trained parameter, evaluation mode for the rest."""
        super().train(mode)
        for part in self.model.modules():
            own = list(part.parameters())
            if own and not any(parameter.requires_grad for parameter in own):
                part.eval()
        return self

    @property
    def trained(self) -> bool:
        """Is any parameter of the backbone trained?"""
        return any(parameter.requires_grad for parameter in self.model.parameters())

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trained):
            return self.model(wave).last_hidden_state

    def layer_outputs(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, sample) -> (layer, batch, frame, width): what each transformer layer gives, before the final norm.

        Taken with hooks, as versions of transformers differ in what their hidden_states end with.
        """
        outputs: list[torch.Tensor] = []
        hooks = [
            layer.register_forward_hook(lambda module, args, out: outputs.append(_first(out)))
            for layer in self.model.encoder.layers
        ]
        try:
            self(wave)
        finally:
            for hook in hooks:
                hook.remove()
        return torch.stack(outputs)


RECORDED = (
    "model_type", "hidden_size", "num_hidden_layers", "apply_spec_augment", "mask_time_prob", "mask_feature_prob",
    "layerdrop", "attention_dropout", "hidden_dropout", "activation_dropout", "feat_proj_dropout", "final_dropout",
)  # fmt: skip


def configuration(detector: nn.Module) -> dict[str, Any] | None:
    """What a run records of its backbone's configuration, which decides on dropout and masking; None without one."""
    found = next((module for module in detector.modules() if isinstance(module, Backbone)), None)
    return None if found is None else {key: getattr(found.model.config, key) for key in RECORDED}


def _first(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output


def _source(weights: str | None, known: Architecture, detector: str) -> Path | None:
    """The folder or file that holds the backbone; None for random weights."""
    if weights == _pretrained.RANDOM:
        return None
    if weights is None and (folder := _hub_cache(known.hub)) is not None:
        return folder
    from huggingface_hub.constants import HF_HUB_CACHE

    names = (f"the folder of {known.hub} with config.json and model.safetensors", *known.files)
    return _pretrained.find(weights, detector=detector, files=names, also=HF_HUB_CACHE)


def _hub_cache(name: str) -> Path | None:
    """The newest snapshot of a model in the local hub cache, if it is there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None


def _weight_file(source: Path, detector: str) -> Path:
    if source.is_file():
        return source
    for name in _pretrained.IN_FOLDER:
        if (source / name).exists():
            return source / name
    parts = sorted(source.glob("*.index.json"))
    raise DataError(
        f"{detector}: {source} holds neither {' nor '.join(_pretrained.IN_FOLDER)}"
        + (f" but parts of one ({parts[0].name}), which are not read; save the model as one file" if parts else
           "; download the whole folder again")
    )  # fmt: skip


def _build(known: Architecture, source: Path | None, changes: Mapping[str, Any]) -> nn.Module:
    with torch.device("cpu"):  # a first import under the meta device would leave the library's constants there
        from transformers import Wav2Vec2Config, Wav2Vec2Model, WavLMConfig, WavLMModel

    config_class, model_class = {
        "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
        "wavlm": (WavLMConfig, WavLMModel),
    }[known.kind]
    values = dict(known.config)
    if source is not None and source.is_dir():
        path = source / "config.json"
        if not path.exists():
            raise DataError(f"{source} is not a hub folder: it has no config.json")
        values = model_config(path)
        if values.get("model_type", known.kind) != known.kind:
            raise DataError(f"{source} holds a {values['model_type']} model, not {known.kind} ({known.hub})")
    try:
        return model_class(config_class.from_dict({**values, **changes}))
    except Exception as error:  # the library has one of another kind for every odd value
        if source is None:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DataError(f"{source}: no model can be built with its config.json ({reason}); download it again") from None


_RENAMED = (
    # torchaudio
    (re.compile(r"^encoder\.feature_projection\."), "feature_projection."),
    (re.compile(r"^encoder\.transformer\."), "encoder."),
    # fairseq
    (re.compile(r"^(feature_extractor\.conv_layers\.\d+)\.0\."), r"\1.conv."),
    (re.compile(r"^(feature_extractor\.conv_layers\.\d+)\.2\.(?:1\.)?"), r"\1.layer_norm."),
    (re.compile(r"^layer_norm\."), "feature_projection.layer_norm."),
    (re.compile(r"^post_extract_proj\."), "feature_projection.projection."),
    (re.compile(r"^encoder\.pos_conv\.0\."), "encoder.pos_conv_embed.conv."),
    (re.compile(r"^(encoder\.layers\.\d+)\.self_attn_layer_norm\."), r"\1.layer_norm."),
    (re.compile(r"^(encoder\.layers\.\d+)\.self_attn\."), r"\1.attention."),
    # Microsoft's own WavLM files, otherwise as fairseq's
    (re.compile(r"\.attention\.relative_attention_bias\."), ".attention.rel_attn_embed."),
    (re.compile(r"\.attention\.grep_linear\."), ".attention.gru_rel_pos_linear."),
    (re.compile(r"\.attention\.grep_a$"), ".attention.gru_rel_pos_const"),
    (re.compile(r"^(encoder\.layers\.\d+)\.fc1\."), r"\1.feed_forward.intermediate_dense."),
    (re.compile(r"^(encoder\.layers\.\d+)\.fc2\."), r"\1.feed_forward.output_dense."),
    (re.compile(r"^mask_emb$"), MASK),
    # weight norm before torch 2
    (re.compile(r"^(encoder\.pos_conv_embed\.conv)\.weight_g$"), r"\1.parametrizations.weight.original0"),
    (re.compile(r"^(encoder\.pos_conv_embed\.conv)\.weight_v$"), r"\1.parametrizations.weight.original1"),
)  # fmt: skip
_FIRST_CONVOLUTION = re.compile(r"^(.*?)feature_extractor\.conv_layers\.0\.(?:0|conv)\.weight$")


def to_transformers(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Entries of fairseq, torchaudio or transformers under the names of transformers.

    The prefix in front of `feature_extractor` (`wav2vec2.`, `wavlm.`, `ssl_model.model.`, ...) is dropped; entries
    without it, which belong to a head, keep their name. Raises DataError if no backbone is found.
    """
    found = [match for key in state if (match := _FIRST_CONVOLUTION.match(key))]
    if not found:
        raise DataError("the weight file holds no wav2vec 2.0 or WavLM backbone (no feature_extractor.conv_layers)")
    prefix = found[0].group(1)
    renamed = {}
    for key, value in state.items():
        name = key.removeprefix(prefix)
        if key.startswith(prefix):
            for pattern, replacement in _RENAMED:
                name = pattern.sub(replacement, name)
        renamed[name] = value
    return renamed


def nested(state: Mapping[str, torch.Tensor], prefix: str, own: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Entries of a detector whose backbone has any naming under `prefix`, with ours under `ssl_model.model.`.

    own: the detector's entries, for the mask vector, which is unused and absent from some files.
    """
    inner = _pretrained.under(state, prefix)
    if not inner:
        return dict(state)
    outer = {key: value for key, value in state.items() if not key.startswith(prefix)}
    kept = {key: value for key, value in to_transformers(inner).items() if not key.startswith(BESIDE)}
    named = {f"ssl_model.model.{key}": value for key, value in kept.items()}
    mask = f"ssl_model.model.{MASK}"
    return {**outer, **({mask: own[mask]} if mask in own else {}), **named}
