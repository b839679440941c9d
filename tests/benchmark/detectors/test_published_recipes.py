"""How each detector is trained and fed, as the papers and their public code have it (detectors-a and -b)."""

import pytest

from benchmark import detectors, settings

COSINE = {"name": "cosine_per_step", "min_lr": 5e-6}
HALVED_10, HALVED_20 = ({"name": "step", "every": every, "factor": 0.5} for every in (10, 20))
FALLING_2, FALLING_10 = (
    {"name": "cosine_per_epoch", "period": period, "min_lr": low} for period, low in ((2, 0.0), (10, 1e-6))
)
LONG = COSINE | {"steps": 200_000}

# optimizer, lr, weight decay, batch, epochs, selection, patience (0: none), schedule, balance
TRAINING = {
    "lfcc_lcnn": ("adam", 3e-4, 0, 64, 100, "loss", 50, HALVED_10, "protocol"),
    "rawnet2": ("adam", 1e-4, 1e-4, 32, 100, "eer", 0, "constant", "protocol"),
    "rawnet2_voc": ("adam", 1e-4, 1e-4, 32, 100, "eer", 0, "constant", "protocol"),
    "rawgat_st": ("adam", 1e-4, 1e-4, 10, 300, "eer", 0, "constant", "protocol"),
    "aasist": ("adam", 1e-4, 1e-4, 24, 100, "eer", 0, COSINE, "protocol"),
    "aasist_l": ("adam", 1e-4, 1e-4, 24, 100, "eer", 0, COSINE, "protocol"),
    # the comparison paper's (detectors-a 9, detectors-b 0.2)
    "aasist outputs=1": ("adam", 1e-4, 1e-4, 64, 200, "auc", 3, LONG, "oversample"),
    "lfcc_lcnn_s": ("adam", 1e-4, 1e-4, 64, 200, "auc", 3, "constant", "oversample"),
    "rawnet2_s": ("adam", 1e-4, 1e-4, 64, 200, "auc", 3, "constant", "oversample"),
    "rawnet2_voc_s": ("adam", 1e-4, 0, 32, 200, "auc", 3, "constant", "oversample"),
    "rawgat_st_s": ("adam", 1e-4, 1e-4, 32, 200, "auc", 3, "constant", "oversample"),
    "asdg": ("adam", 1e-4, 1e-4, 64, 200, "auc", 3, "constant", "oversample"),
    "w2v2_ft": ("adam", 1e-4, 1e-5, 128, 200, "auc", 3, "constant", "oversample"),
    "wavlm_ft": ("adam", 1e-4, 1e-5, 128, 200, "auc", 3, "constant", "oversample"),
    "wav2clip": ("adam", 1e-4, 1e-4, 128, 200, "auc", 3, "constant", "oversample"),
    "audioclip": ("adam", 1e-4, 1e-4, 128, 200, "auc", 3, "constant", "oversample"),
    "sfatnet": ("adam", 1e-4, 1e-4, 128, 200, "loss", 3, FALLING_2, "oversample"),
    "fd_add": ("adam", 1e-4, 1e-5, 128, 200, "auc", 3, "constant", "oversample"),
    "fd_add decay=all": ("adam", 1e-4, 0.01, 128, 200, "auc", 3, "constant", "oversample"),
    # self-supervised, singing, mixtures; where a phase says otherwise see PHASES
    "ssl_aasist": ("adam", 1e-6, 1e-4, 14, 100, "loss", 0, "constant", "none"),
    "singfake_aasist": ("adam", 1e-4, 1e-4, 12, 100, "eer", 0, COSINE, "none"),
    "singfake_w2v2_aasist": ("adam", 1e-4, 1e-4, 12, 100, "eer", 0, COSINE, "none"),
    "singfake_lfcc_resnet": ("adam", 3e-4, 5e-4, 8, 100, "loss", 50, HALVED_20, "none"),
    "singfake_spec_resnet": ("adam", 3e-4, 5e-4, 8, 100, "loss", 50, HALVED_20, "none"),
    **{
        f"ctrsvdd_{front_end}": ("adamw", 1e-3, 1e-9, 24, 100, "eer", 0, FALLING_10, "none")
        for front_end in ("raw", "lfcc", "mfcc", "melspec", "spec", "xlsr")
    },
    "uniaudio_logmel": ("adam", 1e-3, 1e-4, 64, 10, "eer", 5, "constant", "none"),
    "uniaudio_mfcc": ("adam", 1e-3, 1e-4, 64, 10, "eer", 5, "constant", "none"),
}
LAST_BATCH_KEPT = {
    "lfcc_lcnn", "rawnet2_voc", "rawgat_st", "singfake_lfcc_resnet", "singfake_spec_resnet",
    *(name for name in TRAINING if name.startswith("ctrsvdd")),
}  # fmt: skip
OF_A_PHASE = ("optimizer", "lr", "weight_decay", "batch_size", "epochs", "clip_norm", "precision")
# each phase: the values of OF_A_PHASE
PHASES = {
    "w2v2_two_stage": [
        ("adamw", 1e-3, 0.01, 64, 10, 1.0, "float32"),
        ("adamw", 1e-5, 0.01, 64, 10, 1.0, "half"),
    ],
    "rat": [("adam", 1e-3, 0, 6, 20, 0, "bfloat16"), ("adam", 1e-6, 0, 6, 20, 0, "bfloat16")],
    "uniaudio_w2v": [("adamw", 1e-4, 1e-4, 8, 8, 5.0, "float32")],
    "uniaudio": [
        ("adam", 1e-3, 1e-4, 64, 10, 0, "float32"),
        ("adamw", 1e-4, 1e-4, 8, 8, 5.0, "float32"),
        ("adamw", 3e-4, 0.01, 32, 10, 5.0, "float32"),
        ("adamw", 2e-4, 0.01, 32, 25, 5.0, "float32"),
        ("adamw", 3e-5, 1e-4, 16, 5, 1.0, "float32"),
    ],
}
PHASES["uniaudio_dann"] = PHASES["uniaudio"]
# samples in training, train crop, test crop, what fills a short clip in training
INPUT = {
    "lfcc_lcnn": (None, "random", "first", "zero"),
    "rawnet2": (64_600, "first", "first", "repeat"),
    "rawnet2_voc": (64_000, "first", "first", "repeat"),  # 96,000 at 24 kHz
    "rawgat_st": (64_600, "first", "first", "repeat"),
    "ssl_aasist": (64_600, "first", "first", "repeat"),
    "w2v2_two_stage": (64_000, "first", "first", "none"),  # windows, the last one followed by zeros
    "rat": (64_000, "first", "first", "zero"),
    **dict.fromkeys(("aasist", "aasist_l", "singfake_aasist", "singfake_w2v2_aasist"),
                    (64_600, "random", "first", "repeat")),
    **dict.fromkeys((name for name in TRAINING if name.startswith("uniaudio") or "resnet" in name),
                    (64_000, "random", "first", "repeat")),
    **dict.fromkeys((name for name in TRAINING if name.startswith("ctrsvdd")),
                    (64_000, "random", "first", "repeat_random")),
    **dict.fromkeys(("uniaudio", "uniaudio_dann", "uniaudio_w2v"), (64_000, "random", "first", "repeat")),
    **dict.fromkeys((name for name, row in TRAINING.items() if row[-1] == "oversample"),
                    (48_000, "random", "middle", "repeat")),
}  # fmt: skip


def resolved(case):
    name, *assignments = case.split()
    chosen = settings.parse(assignments, detectors.names())
    if case == "aasist outputs=1":
        chosen[""]["samples"] = 48_000
    return settings.resolve(name, chosen, clip=None, weights=None)


@pytest.mark.parametrize("case", sorted({*TRAINING, *PHASES}))
def test_it_is_trained_and_fed_as_published(case):
    found = resolved(case)
    how, spec = found.training, found.input
    if case in TRAINING:
        told = (how.optimizer, how.lr, how.weight_decay, how.batch_size, how.epochs, how.selection, how.patience)
        assert (*told, how.schedule, how.balance) == TRAINING[case]
    else:
        phases = [[{**found.as_json()["training"], **phase}[key] for key in OF_A_PHASE] for phase in how.phases]
        assert [tuple(phase) for phase in phases] == PHASES[case]
    length = spec["train_samples"] or spec["samples"]
    assert (length, spec["train_crop"], spec["test_crop"], spec["train_short"] or spec["short"]) == INPUT[case]
    if how.balance == "oversample":
        stop = {"fd_add": 0.998}.get(case.split()[0], 0.999)
        assert (how.min_delta, how.stop_above) == ({"sfatnet": 1e-4}.get(case, 0.001), stop)
    assert how.drop_last == (case not in LAST_BATCH_KEPT)
    assert how.swa == (case in ("aasist", "aasist_l", "singfake_aasist", "singfake_w2v2_aasist"))


def test_every_detector_that_is_trained_by_gradient_stands_in_the_tables():
    here = {case.split()[0] for case in (*TRAINING, *PHASES)}
    trained = {name for name in detectors.names() if not hasattr(detectors.get(name), "fit")}
    assert trained - here == {"mean_pool"}
