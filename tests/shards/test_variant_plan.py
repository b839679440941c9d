"""Plans of variants: what they give each clip, how often, and what is wrong in a file."""

import collections
import hashlib

import pytest

from ingest.types import DataError
from shards import variant_plan, variants


@pytest.mark.parametrize("name", variant_plan.names())
def test_every_plan_loads_and_gives_known_words(name):
    plan = variant_plan.load(name)
    for number in range(50):
        words = plan.words(f"wavefake/c{number}")
        assert words and all(variants.parse(word) for word in words)
        assert words == plan.words(f"wavefake/c{number}") == variants.plan(f"wavefake/c{number}", name)[1:]


def test_the_feature_decomposition_plan_draws_as_its_paper():
    plan = variant_plan.load("fd_add")
    drawn = [plan.words(f"librisevoc/c{i}") for i in range(4000)]
    assert {len(words) for words in drawn} == {3} and {len(set(words)) for words in drawn} == {3}
    labels = [variants.labels(word) for words in drawn for word in words]
    compression, speed = (collections.Counter(column) for column in zip(*labels))
    assert compression[0] / 12_000 == pytest.approx(0.1, abs=0.012)  # a little less: `original` alone is drawn again
    for label in range(1, 10):
        assert compression[label] / 12_000 == pytest.approx(0.1, abs=0.012)
    for label in range(16):
        assert speed[label] / 12_000 == pytest.approx((1 if label in (0, 15) else 2) / 30, abs=0.008)
    assert all(variants.labels(word)[0] == 0 for i in range(50) for word in plan.words(f"asvspoof2021_df/c{i}"))
    other = variant_plan.load("fd_add", seed=1)
    assert sum(plan.words(f"wavefake/c{i}") == other.words(f"wavefake/c{i}") for i in range(100)) < 5


def test_k_of_a_list_and_where():
    plan = variant_plan.parse(
        """
        [[use]]
        variants = ["alaw", "g722", "phone"]
        draw = 2
        [[use]]
        corpora = ["tiny"]
        where = "label = 'spoof'"
        variants = ["mp3-32k"]
        """, "own",
    )  # fmt: skip
    chosen = collections.Counter(word for i in range(3000) for word in plan.words(f"other/c{i}"))
    assert all(count == pytest.approx(2000, abs=120) for count in chosen.values()) and len(chosen) == 3
    assert "mp3-32k" in plan.words("tiny/a", [True, True]) and "mp3-32k" not in plan.words("tiny/a", [True, False])
    assert "mp3-32k" not in plan.words("other/a", [True, True])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = 'x'", "at least one"), ("[[use]]", "either variants"), ("[[use]]\nvariant = ['alaw']", "did you mean variants"),
        ("[[use]]\nvariants = ['alow']", "did you mean alaw"), ("[[use]]\nvariants = 'alaw'", "a list of words"),
        ("[[use]]\nvariants = ['alaw', 'alaw']", "twice"), ("[[use]]\nvariants = ['original']", "no variant of a plan"),
        ("[[use]]\nvariants = ['alaw']\ndraw = 2", "2 different variants out of 1"), ("[[use]]\nvariants = ['alaw']\ndraw = 0", "from 1 on"),
        (f"seed = {2**63}\n[[use]]\nvariants = ['alaw']", "seed is a whole number from 0 on, below"),
        ("[[use]]\ndraw = 1\nfactor = 5", r"factor: \[\[use.factor\]\] tables"), ("[[use]]\ndraw = 1\n[use.factor]\nalaw = 1", "tables of"),
        ("[[use]]\ndraw = 2\n[[use.factor]]\noriginal = 1\nalaw = 1\n[[use.factor]]\noriginal = 1", "2 different variants out of 1"),
        ("[[use]]\nvariants = ['mp3-33k']", "MP3 at 16 kHz has 8 16 24 32 40 "),
        ("seed = -1\n[[use]]\nvariants = ['alaw']", "seed is a whole number"), ("seed = ", "not valid TOML"),
        ("[[use]]\nvariants = ['alaw']\nwhere = 'nosuch = 1'", "unknown column"), ("[[use]]\nvariants = ['alaw']\nwhere = 1", "in quotes"),
        ("[[use]]\n[[use.factor]]\nalaw = 1", "needs draw"), ("[[use]]\ndraw = 1\n[[use.factor]]\nalaw = 0", "weight above 0"),
        ("[[use]]\ndraw = 1\n[[use.factor]]\nspeed-90 = 1\n[[use.factor]]\nalaw = 1", "in this order"),
        ("[[use]]\ndraw = 4\n[[use.factor]]\noriginal = 1\nspeed-90 = 1\nspeed-80 = 1\n", "4 different variants out of 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_plan_is_said(text, message):
    with pytest.raises(DataError, match=message) as raised:
        variant_plan.parse(text, "own")
    assert "plan own" in str(raised.value)


def test_rare_words_fill_up_what_is_to_be_drawn():
    """Words whose weights are so small that no number of tries finds them all: as many as asked for, by weight."""
    text = "[[use]]\ndraw = {}\n[[use.factor]]\nalaw = 1e8\nulaw = 1e-4\ng722 = 9e-4\n[[use.factor]]\nspeed-90 = 1"
    two, three = (variant_plan.parse(text.format(draw), "own") for draw in (2, 3))
    drawn = [two.words(f"tiny/c{i}") for i in range(60)]
    assert all(len(words) == 2 and "alaw_speed-90" in words for words in drawn)
    assert 40 < sum("g722_speed-90" in words for words in drawn) < 60  # nine of ten
    assert drawn == [two.words(f"tiny/c{i}") for i in range(60)]
    assert three.words("tiny/a") == ("alaw_speed-90", "g722_speed-90", "ulaw_speed-90")


def test_draws_are_what_they_were():
    """Pinned: a plan draws the same words as ever for the same seed."""
    digest, plan = hashlib.sha256(), variant_plan.load("fd_add")
    for number in range(2000):
        for corpus in ("wavefake", "asvspoof2021_df"):
            digest.update(" ".join(plan.words(f"{corpus}/c{number}")).encode())
    assert digest.hexdigest() == "c969e02145a08245fdff1b3b916d3f84169b03c303b57692da64308bb986e11d"


def test_unknown_plans_and_files(tmp_path):
    with pytest.raises(DataError, match="did you mean fd_add"):
        variant_plan.load("fd_ad")
    with pytest.raises(DataError, match="cannot be read"):
        variant_plan.load(tmp_path / "absent.toml")
    (tmp_path / "own.toml").write_text("[[use]]\nvariants = ['alaw']\nwhere = \"label = 'spoof'\"\n")
    assert variant_plan.load(tmp_path / "own.toml").name == "own"
