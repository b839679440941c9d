"""CtrSVDD baseline on XLS-R features, AASIST's graphs behind them; the backbone is trained with the rest.

Zang et al., "CtrSVDD", Interspeech 2024, section 4; Babu et al., "XLS-R", arXiv 2111.09296.
"""

import torch

from benchmark.detectors import _ssl
from benchmark.detectors._ctrsvdd import CtrSvdd, SpectralFrontEnd


class Xlsr(CtrSvdd):
    """199 frames of 1024 values, 2 frames after the blocks.

    weights: a local copy of XLS-R 300M (folder or file), "random", or None for the caches. small: a tiny
    configuration for tests. pooling: see `CtrSvdd`.
    """

    WEIGHTS = "facebook/wav2vec2-xls-r-300m or xlsr2_300m.pt (backbone; Apache-2.0)"
    OFFLINE = {"weights": "random"}
    SMALL = {"weights": "random", "small": True}

    def __init__(self, *, weights: str | None = None, small: bool = False, pooling: str = "softmax") -> None:
        super().__init__(pooling=pooling)
        self.ssl_model = _ssl.Backbone("xls-r-300m", weights, detector="ctrsvdd_xlsr", small=small, config=_ssl.STILL)
        self.frontend = SpectralFrontEnd(2 * self.ssl_model.width)

    def encode(self, wave: torch.Tensor) -> torch.Tensor:
        """(batch, 64000) -> (batch, 64, 23, 29)."""
        return self.frontend(self.ssl_model(wave))

    def map_weights(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """As `CtrSvdd.map_weights`; the public code has fairseq's backbone inside its front end."""
        return super().map_weights(_ssl.nested(state, "frontend.model.", self.state_dict()))


build = Xlsr
