"""Second utterances: drawn from the speaker in training, named by the trial when scoring, degraded as it says."""

import numpy as np
import pyarrow as pa
import pytest
import small_corpus
import soundfile
import torch

from benchmark import detectors, references
from benchmark.feeds import Feed, of
from benchmark.loader import Loader
from benchmark.score import score
from features import extractors
from ingest import audio, catalog
from ingest.types import DataError
from shards import writer
from shards.reader import Reader

SPEAKERS = {"a1": "ann", "a2": "ann", "a3": "ann", "b1": "bob", "c1": None, "d1": "dan"}
LABELS = {"a1": "bonafide", "a2": "bonafide", "a3": "spoof", "b1": "bonafide", "c1": "bonafide", "d1": "spoof"}


class Voices:
    """A reader whose clips are noise of their own; a1 is the shortest."""

    def length(self, utt_id, variant="original"):
        return 4_000 + 500 * sorted(SPEAKERS).index(utt_id)

    def wave(self, utt_id, variant="original"):
        random = np.random.default_rng(sorted(SPEAKERS).index(utt_id))
        return 0.1 * random.standard_normal(self.length(utt_id)).astype(np.float32)

    def span(self, utt_id, start, stop, variant="original"):
        return self.wave(utt_id)[start:stop]


def rows(*ids, **columns):
    names = ids or tuple(SPEAKERS)
    fixed = {"utt_id": names, "label": [LABELS[i] for i in names], "speaker": [SPEAKERS[i] for i in names],
             "corpus": ["x"] * len(names), "partition": [None] * len(names)}  # fmt: skip
    return pa.table({name: pa.array(list(values), pa.string()) for name, values in {**fixed, **columns}.items()})


def loader(table, *, train, samples=5_000, reader=None, **options):
    spec = {"feature": "raw", "params": {}, "samples": None, "train_samples": samples, "train_crop": "first",
            "test_crop": "first", "short": "zero"}  # fmt: skip
    options = {"batch_size": 2, "seed": 1, "feed": Feed(reference=True)} | options
    return Loader(reader or Voices(), table, spec, extractors.get("raw"), train=train, **options)


def trial_of(wave):
    """The utterance that a wave, cut or followed by zeros, comes from."""
    wave = np.asarray(wave)
    return next(i for i in SPEAKERS if np.array_equal(Voices().wave(i)[:3_000], wave[:3_000]))


def test_a_trial_is_paired_with_another_bona_fide_clip_of_its_speaker(capsys):
    seen = {name: set() for name in SPEAKERS}
    for number in range(12):
        for batch in loader(rows(), train=True).epoch(number):
            assert bool(batch.extra["reference_given"].all())
            assert batch.x.shape == batch.extra["reference"].shape == (len(batch.utt_id), 5_000)
            for utt_id, reference in zip(batch.utt_id, batch.extra["reference"], strict=True):
                seen[utt_id].add(trial_of(reference))
    assert seen == {"a1": {"a2"}, "a2": {"a1"}, "a3": {"a1", "a2"}, "b1": {"b1"}, "c1": set(), "d1": set()}
    assert "2 of 6 training trials have no bona fide clip of their speaker and are left out (first: c1)" in (
        capsys.readouterr().err
    )


def test_pairs_depend_on_seed_and_epoch_alone():
    def pairs(number, **options):
        return [(b.utt_id, b.extra["reference"]) for b in loader(rows(), train=True, **options).epoch(number)]

    for one, other in zip(pairs(3, workers=1), pairs(3, workers=5), strict=True):
        assert one[0] == other[0] and torch.equal(one[1], other[1])


def test_nobody_to_pair_with_is_an_error():
    with pytest.raises(DataError, match="none of the 2 training trials has a bona fide clip of its speaker"):
        loader(rows("c1", "d1"), train=True)


def test_partitions_are_kept_apart():
    pool = references.Pool(rows("a1", "a2", "a3", partition=["train", "dev", "dev"]))
    assert pool.draw(2, np.random.default_rng(0)) == 1
    assert pool.draw(0, np.random.default_rng(0)) == 0


MODES = ("real", "mismatch", "enrolled", "noise", "silence", "snr10", "snr20", "1s", "3s")


def test_degraded_references_by_hand():
    wave = np.random.default_rng(0).standard_normal(50_000).astype(np.float32)
    made = {mode: references.degraded(wave, mode, np.random.default_rng(1)) for mode in MODES}
    assert all(np.array_equal(made[mode], wave) for mode in ("real", "mismatch", "enrolled"))
    assert made["1s"].size == 16_000 and made["3s"].size == 48_000 and np.array_equal(made["3s"], wave[:48_000])
    assert not made["silence"].any() and made["silence"].size == wave.size
    assert np.mean(made["noise"] ** 2) == pytest.approx(np.mean(wave**2), rel=1e-5)
    assert abs(np.corrcoef(made["noise"], wave)[0, 1]) < 0.02
    for mode, ratio in (("snr10", 10), ("snr20", 100)):
        assert np.mean(wave**2) / np.mean((made[mode] - wave) ** 2) == pytest.approx(ratio, rel=1e-3)
    with pytest.raises(DataError, match="unknown reference mode 'louder'"):
        references.degraded(wave, "louder", np.random.default_rng(1))


def test_every_mode_that_a_protocol_may_name_is_known():
    from protocols.types import REFERENCE_MODES

    assert set(MODES) | {"zero"} == set(REFERENCE_MODES)


def scored(table, detector, batch_size):
    of_scoring = of(detector, train=False)
    return score(detector, loader(table, train=False, batch_size=batch_size, feed=of_scoring))


def test_scores_hang_on_the_named_reference_and_on_no_batch_mate():
    torch.manual_seed(0)
    detector = detectors.build("rat", weights="random", small=True).eval()
    table = rows("a3", "a3", "a3", "a3", "d1", "b1", reference=["a1", "b1", "a1", None, None, "a2"],
                 reference_mode=["real", "mismatch", "silence", "zero", "real", "1s"])  # fmt: skip
    together = scored(table, detector, 4)
    np.testing.assert_allclose(together, scored(table, detector, 1), rtol=1e-4, atol=1e-5)
    assert len(set(together[:4].round(6))) == 4  # four references, four scores
    zero = detectors.build("rat", weights="random", small=True, reference="zero").eval()
    zero.load_state_dict(detector.state_dict())
    np.testing.assert_allclose(together[3:5], scored(table, zero, 4)[3:5], rtol=1e-4, atol=1e-5)


def test_enrolment_is_read_from_the_files_beside_the_corpus(tmp_path):
    data = small_corpus.build(tmp_path)
    extra = tmp_path / "tiny" / "enrol" / "e1.wav"
    extra.parent.mkdir()
    soundfile.write(extra, small_corpus.clip(99, 24_000, seconds=1.0), 24_000, subtype="PCM_16")
    with catalog.connect(data / "catalog.duckdb", read_only=False) as con:
        con.execute("INSERT INTO finding VALUES ('tiny', 'extra', 'enrol/e1.wav', 'in no protocol file')")
    writer.write_corpus("tiny", data)
    table = pa.table({"utt_id": ["tiny/b1", "tiny/s1", "tiny/s2"], "label": ["bonafide", "spoof", "spoof"],
                      "reference": ["tiny/e1", None, "tiny/b2"], "reference_mode": ["enrolled"] * 3})  # fmt: skip
    with Reader(data) as reader:
        heard = {}
        for batch in loader(table, train=False, reader=reader, batch_size=1).epoch():
            given = batch.extra["reference_given"].item()
            heard[batch.utt_id[0]] = batch.extra["reference"][0].numpy() if given else None
        np.testing.assert_array_equal(heard["tiny/b1"], audio.mono16k(extra))
        assert heard["tiny/b1"].size == 16_000 and heard["tiny/s1"] is None
        np.testing.assert_array_equal(heard["tiny/s2"], reader.wave("tiny/b2"))
        extra.unlink()
        with pytest.raises(DataError, match=r"enrol/e1\.wav, enrolled for trials here, cannot be read"):
            list(loader(table, train=False, reader=reader, batch_size=1).epoch())


def test_a_mixed_batch_gives_the_rows_without_reference_the_zero_one():
    torch.manual_seed(0)
    detector = detectors.build("rat", weights="random", small=True).eval()
    x = 0.1 * torch.randn(2, 8_000)
    reference = 0.1 * torch.randn(2, 6_000)
    with torch.inference_mode():
        mixed = detector.score(x, reference, torch.tensor([True, False]))
        torch.testing.assert_close(mixed[:1], detector.score(x[:1], reference[:1]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mixed[1:], detector.score(x[1:]), rtol=1e-4, atol=1e-5)
