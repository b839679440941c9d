"""Protocol files: every one loads and names its source; what is wrong in one is said with its place."""

import csv

import pytest
from shared_data import shared

import protocols
from ingest.types import DataError

GOOD = """
title = "t"
scenario = "inner"
source = "s"
[train]
where = "corpus = 'decro' AND partition = 'train'"
[dev]
where = "corpus = 'decro' AND partition = 'dev'"
[test]
where = "corpus = 'decro' AND partition = 'eval'"
[test.eval]
"""


def load(folder, text, stem="mine", name=None):
    (folder / "inner").mkdir(exist_ok=True)
    (folder / "inner" / f"{stem}.toml").write_text(text)
    return protocols.load(name or f"inner/{stem}", folder)


@pytest.mark.parametrize("name", protocols.names())
def test_every_protocol_loads_and_names_its_source(name):
    protocol = protocols.load(name)
    assert protocol.name == name and protocol.source and protocol.title
    assert "{" not in protocol.title + protocol.note + protocol.source
    assert protocol.needs, "no condition names a corpus"
    assert len({role.subset for role in protocol.test}) == len(protocol.test)


def test_the_issue_set_is_there():
    assert {
        "inner/librisevoc", "inner/wavefake", "inner/decro_en", "inner/decro_zh", "cross_method/librisevoc",
        "cross_method/wavefake", "cross_dataset/librisevoc", "cross_language/wavefake_en_ja",
        "cross_language/decro_zh_en", "cross_language/decro_en_zh", "official/asvspoof2019_la",
    } <= set(protocols.names())  # fmt: skip


def test_published_protocols_have_their_ids():
    """Every protocol that the printed tables name exists (ablations and complexity are grids, not protocols)."""
    with open(shared("published", "results.csv"), encoding="utf-8") as file:
        quoted = {(row["protocol"], row["subset"]) for row in csv.DictReader(file)}
    known = set(protocols.names())
    for name, subset in sorted(quoted):
        if not name or name.split("/")[0] in ("ablation", "complexity") or name.endswith("*"):
            continue
        assert name in known, name
        protocol = protocols.load(name)
        subsets = {role.subset for role in protocol.test} | set(protocol.averages) | set(protocol.pooled)
        if subset and subset not in ("train", "dev", "test", "asvspoof2019_la_dev"):  # sizes, a selection set
            assert subset in subsets, f"{name} {subset}"


@pytest.mark.parametrize("name", protocols.names())
def test_vocoders_that_are_averaged_are_pooled_too(name):
    """The two answer different questions, so both are stored."""
    protocol = protocols.load(name)
    for members in protocol.averages.values():
        if len(members) > 5 and all(member.startswith(("wavefake_", "librisevoc_")) for member in members):
            assert members in protocol.pooled.values()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[dev]", "[deb]"), r"inner/mine\.toml: unknown key 'deb'; did you mean dev"),
        (("source = ", "sourc = "), r"unknown key 'sourc'; did you mean source"),
        (('source = "s"', ""), r"inner/mine\.toml: needs a source"),
        (('"inner"', '"joint"'), r"scenario is 'joint' but the file lies in inner/"),
        (("partition = 'dev'", "partiton = 'dev'"), r"\[dev\] where: unknown column 'partiton'; did you mean partition"),
        (("partition = 'dev'", "partition = "), r"\[dev\] where: not valid SQL"),
        (("\"corpus = 'decro' AND partition = 'dev'\"", '"length(corpus)"'), r"true or false, this one is BIGINT"),
        (("partition = 'dev'", "utt_id IN (SELECT utt_id FROM utterance)"), r"subquery is not allowed"),
        (("partition = 'dev'", "getenv('HOME') = 'x'"), r"function 'getenv' is not allowed"),
        (("partition = 'dev'", "true) FROM read_csv('/etc/passwd') WHERE (true"), r"one condition, not a statement"),
        (("partition = 'dev'", "true); DROP TABLE utterance; SELECT (true"), r"\[dev\] where: not valid SQL"),
        (("partition = 'dev'", "true); SELECT (true"), r"one condition, not a statement"),
        (("[train]", "[train]\nequal = ['corpos']"), r"\[train\] equal: unknown column 'corpos'; did you mean corpus"),
        (("[train]", "[train]\nequal = ['rate_hz']"), r"\[train\] equal: rate_hz is a column of the catalog and none of the"),
        (("[train]", "[train]\nshares = { gender = { f = 1 } }"), r"shares: gender is a column of the catalog and none of"),
        (("[dev]", "[dev]\nmean_over = 'song'"), r"\[dev\] mean_over: song is a column of the catalog and none of the"),
        (("[train]", "[train]\nmean_over = 'corpus'"), r"\[train\]: unknown key 'mean_over'"),
        (("[train]", "[train]\nlimit = { spoof = 1.5 }"), r"\[train\] limit: spoof is a number"),
        (("[train]", "[train]\nequal = 5"), r"\[train\]: 5 is neither a string nor a list of them"),
        (("[train]", "[train]\npart = 5"), r"inner/mine\.toml: a value is not of the kind that its key takes"),
        (("[train]", "[train]\nlimit = { spoof = 5, seed = 'x' }"), r"a value is not of the kind that its key takes"),
        (("[train]", "[train]\nin = ['held']"), r"\[train\]: unknown list 'held'"),
        *(
            (("[train]", f"[lists]\nheld = {{ file = {file}, column = 1 }}\n[train]"), r"\[lists\.held\]: `file` is the name")
            for file in ("5", "['a']", "''", "'../x.csv'", "'a/../../x'", "'/etc/passwd'", '"a\\u0000"')
        ),
        *(
            (("[train]", f"[lists]\nheld = {{ file = 'a', {columns} }}\n[train]"), r"\[lists\.held\]: `column` and `members`")
            for columns in ("column = [1]", "column = true", "column = 1, members = 1.5")
        ),
        *(
            (("[train]", f"[lists]\n{lists}\n[train]\n{key}"), message)
            for lists, key, message in (
                ("'a b' = { file = 'a', column = 1 }", "", r"a list's name is made of letters"),
                ("a = { file = 'a', column = 'x', members = 2 }", "", r"`column` and `members` are words"),
                ("a = { file = 'a', column = 1, members = 2 }", "in = ['a']", r"'a' has `members`, so it is one for"),
                ("a = { file = 'a', column = 1 }", "reference = { mode = 'enrolled', list = 'a' }", r"'a' has no `members`"),
            )
        ),
        (("[train]", "[train]\nmin_duration_s = 'x'"), r"\[train\]: min_duration_s is a number of seconds, not 'x'"),
        (("[train]", "[train]\nmin_duration_s = nan"), r"min_duration_s is a number of seconds, not nan"),
        (("[train]", "[train]\nvariant = 5"), r"\[train\] variant: needs a string, not 5"),
        (("[train]", "[train]\nshares = { label = { spoof = inf } }"), r"spoof is a positive number, not inf"),
        (("[train]", "[train]\ncount = [1]"), r"\[train\]: a count is \[bona fide, spoof\]"),
        (("[train]", "balance = 'over'\n[train]"), r"unknown balance 'over'; did you mean oversample"),
        (("[train]", "metrics = ['err']\n[train]"), r"unknown metric 'err'; did you mean eer"),
        (("[train]", "declares = ['sorce: x']\n[train]"), r"unknown kind of overlap 'sorce'; did you mean source"),
        (("[train]", "[averages]\naverage = ['evil']\n[train]"), r"\[averages\] average: unknown subset 'evil'"),
        (("[train]", "[averages]\nall = ['eval']\n[pooled]\nall = ['eval']\n[train]"), r"all is a name in \[averages\] and"),
        (("[train]", "[train"), r"inner/mine\.toml: not valid TOML"),
        (("title = ", "like = 'inner/librisevok'\ntitle = "), r"unknown protocol 'inner/librisevok'; did you mean inner/lib"),
        (("title = ", "like = 'inner/mine'\ntitle = "), r"goes round in a circle"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(tmp_path, change, message):
    assert change[0] in GOOD
    with pytest.raises(DataError, match=message):
        load(tmp_path, GOOD.replace(*change))


def test_one_metric_and_one_declaration_need_no_list(tmp_path):
    protocol = load(tmp_path, GOOD.replace("[train]", "metrics = 'eer'\ndeclares = 'speaker: they recur'\n[train]", 1))
    assert protocol.metrics == ("eer",) and [one.kinds for one in protocol.declares] == [("speaker",)]


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(DataError, match=r"unknown protocol 'inner/librisvoc'; did you mean .*inner/librisevoc"):
        protocols.load("inner/librisvoc")


def test_a_template_makes_one_protocol_for_each_value(tmp_path):
    text = GOOD.replace("[train]", "[for]\nattack = ['vits', 'nvcnet']\npart = ['dev', 'eval']\n[train]").replace(
        "partition = 'eval'", "partition = '{part}' AND (label = 'bonafide' OR attack = '{attack}')"
    )
    protocol = load(tmp_path, text, stem="of_{attack}_{part}", name="inner/of_nvcnet_dev")
    assert {"inner/of_vits_dev", "inner/of_vits_eval", "inner/of_nvcnet_eval"} <= set(protocols.names(tmp_path))
    assert "partition = 'dev' AND" in protocol.test[0].parts[0].where[0]
    assert "attack = 'nvcnet'" in protocol.test[0].parts[0].where[0]


def test_subsets_come_from_a_list_and_groups_from_patterns(tmp_path):
    text = GOOD.replace("[test.eval]", """[test."of_{attack}"]
for = { attack = ['vits', 'nvcnet'] }
spoof = "attack = '{attack}'"
[averages]
mean = "of_*"
all = ["mean", "of_vits"]
""")  # fmt: skip
    protocol = load(tmp_path, text)
    assert [role.subset for role in protocol.test] == ["of_vits", "of_nvcnet"]
    assert protocol.averages == {"mean": ("of_vits", "of_nvcnet"), "all": ("mean", "of_vits")}


@pytest.mark.parametrize(
    ("stem", "head", "message"),
    [
        ("mine", "[for]\nattack = ['vits']", r"inner/mine\.toml: \[for\] makes one protocol for each value"),
        ("of_{atack}", "[for]\nattack = ['vits']", r"gives no value for the \{word\} in the file's name"),
        ("of_{attack}", "[for]\nattack = ['vits', 'vits']", r"inner/of_vits comes twice"),
        ("of_{attack}", "[for]\nattack = ['vits']\nn = [1, 2]", r"inner/of_vits comes twice"),
    ],
)
def test_a_template_whose_values_make_no_protocol_of_their_own_is_refused(stem, head, message, tmp_path):
    with pytest.raises(DataError, match=message):
        load(
            tmp_path,
            GOOD.replace("[train]", f"{head}\n[train]"),
            stem=stem,
            name=f"inner/{stem}".replace("{attack}", "vits"),
        )


@pytest.mark.parametrize(
    ("subset", "condition", "message"),
    [
        ("eval", "attack = '{attack}'", r"\[test\.eval\]: comes twice; put a \{word\}"),
        ("of_{attack}", "attack = '{atack}'", r"\[test\.of_vits\] spoof: no `for` gives \{atack\} a value"),
    ],
)
def test_a_subset_for_each_value_has_a_name_and_a_condition_of_its_own(subset, condition, message, tmp_path):
    text = GOOD.replace("[test.eval]", f"""[test."{subset}"]
for = {{ attack = ['vits', 'nvcnet'] }}
spoof = "{condition}"
""")  # fmt: skip
    with pytest.raises(DataError, match=message):
        load(tmp_path, text)


def test_braces_of_a_regular_expression_are_no_word(tmp_path):
    condition = r"regexp_matches(attack, '[a-z]{2}\p{Lu}')"
    protocol = load(tmp_path, GOOD.replace("[train]", f"[train]\nspoof = '''{condition}'''"))
    assert protocol.train.parts[0].spoof == condition


def test_like_takes_what_is_not_given_from_the_other(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "other.toml").write_text(GOOD)
    test = "[test.zh]\nwhere = \"corpus = 'decro' AND language = 'zh' AND partition = 'eval'\"\n"
    protocol = load(tmp_path, f"like = 'inner/other'\ntitle = 'changed'\n{test}")
    assert protocol.title == "changed" and protocol.source == "s"
    assert [role.subset for role in protocol.test] == ["zh"]
    assert protocol.train == protocols.load("inner/other", tmp_path).train


def test_a_protocol_needs_the_corpora_its_conditions_name(tmp_path):
    text = GOOD.replace(
        "corpus = 'decro' AND partition = 'dev'", "corpus IN ('ctrsvdd', 'wavefake') AND corpus <> 'wavefake'"
    )
    assert load(tmp_path, text).needs == {"decro", "ctrsvdd"}
