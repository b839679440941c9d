"""leaderboard.md: its figures are those of the SQL beside them, its bytes do not change, its warnings are there."""

import json
import os
import re
import shutil
import subprocess
import sys

import duckdb
import made_results
import pyarrow as pa
import pytest
import street

from benchmark import card, results
from ingest.types import DataError
from reports import figures, site, sql
from reports.leaderboard import Page, settle, statements, write

TABLE = r"((?:^\|[^\n]*\|\n)+)\n<details><summary>SQL</summary>\n\n```sql\n(.*?)\n```"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made_results.make(folder)
    made_results.add_run(folder, "shortcut_duration_s", made_results.score_table(made_results.WEAK))
    made_results.add_run(
        folder, "aasist", made_results.score_table({"eval": ([1.0, 1.0], {"melgan": [1.0, 1.0]})}),
        protocol="inner/decro_en", scenario="inner", averages={}, pooled={}, simulated=True, partial=True,
    )  # fmt: skip
    results.collect(folder)
    return folder


@pytest.fixture(scope="module")
def page(data):
    return write(data).read_text()


def test_the_queries_are_the_same_in_every_locale():
    """Their signs were read as the locale has them: other letters under Latin-1, a traceback under ASCII."""
    locale = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = "from reports.leaderboard import statements; print(ascii([statements(), statements('site.sql')]))"
    said = subprocess.run([sys.executable, "-c", code], cwd=street.ROOT, env=locale, capture_output=True, check=True)
    assert said.stdout.decode().strip() == ascii([statements(), statements("site.sql")])


def section(page, heading):
    return page.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_every_table_is_what_its_sql_gives(data, page):
    found = re.findall(TABLE, page, re.DOTALL | re.MULTILINE)
    assert len(found) >= 8
    for table, query in found:
        assert sql.markdown(sql.query(data, query)) == table


def test_the_costs_are_what_their_sql_gives(data, page):
    costs = (data / "reports" / "costs.md").read_text()
    ((table, query),) = re.findall(TABLE, costs, re.DOTALL | re.MULTILINE)
    assert sql.markdown(sql.query(data, query)) == table


def test_robustness_counts_in_its_own_column_alone(tmp_path):
    good, weak = (made_results.score_table({"eval": cell["hard"]}) for cell in (made_results.GOOD, made_results.WEAK))
    about = {"averages": {}, "pooled": {}}
    for name, table in (("aasist", good), ("mean_pool", weak)):
        made_results.add_run(tmp_path, name, table, protocol="inner/decro_en", scenario="inner", **about)
    made_results.add_run(
        tmp_path, "mean_pool", weak, protocol="robustness/inner-decro_en", scenario="robustness", **about
    )
    page = write(tmp_path).read_text()
    rows = [
        [cell.strip() for cell in line.split("|")] for line in section(page, "Overview").splitlines() if "|" in line
    ]
    head, first, second = rows[0], rows[2], rows[3]
    column = {name: place for place, name in enumerate(head)}
    assert [row[column["detector"]] for row in (first, second)] == ["aasist", "mean_pool"]
    assert [row[column["protocols"]] for row in (first, second)] == ["1", "1"]
    assert first[column["robustness"]] == "" != second[column["robustness"]]
    assert second[column["mean"]] == second[column["inner"]]


def test_the_overview_has_intervals_and_marks_what_they_do_not_separate(data, page):
    query = next(q for _, q in re.findall(TABLE, page, re.DOTALL | re.MULTILINE) if "mean_eer" in q)
    rows = {row["detector"]: row for row in sql.query(data, query).to_pylist()}
    low, high = (float(x) for x in rows["mean_pool"]["95 % interval"].split(" to "))
    assert low <= float(rows["mean_pool"]["mean"]) <= high
    for row in rows.values():
        same = [r for r in rows.values() if r["protocols"] == row["protocols"] and r["rank"] < row["rank"]]
        low, high = (float(x) for x in row["95 % interval"].split(" to "))
        alike = [r["rank"] for r in same if low <= float(r["mean"]) <= high]
        assert row["≈ rank"] == (min(alike) if alike else None)
    assert rows["lfcc_gmm"]["≈ rank"] is None


def test_the_page_is_the_same_when_written_again(data, page):
    assert write(data).read_text() == page
    (data / "results.duckdb").unlink()
    results.collect(data)
    assert write(data).read_text() == page


def test_simulated_and_partial_data_are_announced_first(page):
    head = page.split("## Overview")[0]
    assert "that Siren made itself: 1." in head
    assert "that lack some of their trials: 1." in head
    assert "| simulated, partial |" in section(page, "inner/decro_en")


def test_no_banner_without_reason(tmp_path):
    made_results.make(tmp_path)
    results.collect(tmp_path)
    assert "**" not in write(tmp_path).read_text().split("## Overview")[0]


def test_runs_on_different_trials_are_named(tmp_path):
    """Labels corrected, one detector repeated: it stood beside the others as if they had heard the same."""
    table, trials = made_results.score_table(made_results.GOOD), {"before": "a" * 64, "after": "b" * 64}
    made_results.add_run(tmp_path, "lfcc_gmm", table, trials_fingerprint=trials["before"])
    made_results.add_run(tmp_path, "shortcut_dc", table, trials_fingerprint=trials["before"])
    made_results.add_run(
        tmp_path, "rat", table, trials_fingerprint="c" * 64, external=True
    )  # theirs, not recorded here
    assert "Mixed" not in write(tmp_path).read_text()
    made_results.add_run(
        tmp_path, "mean_pool", table, trials_fingerprint=trials["after"], finished_at="2026-01-02T03:04:05Z"
    )
    page = write(tmp_path).read_text()
    assert "> **Mixed trials.** Protocols with runs on trials that are not the same: 1." in page
    rows = section(page, "cross_method/librisevoc")
    after, before = (
        rows.index("| bbbbbbbbbbbb | 1 | mean_pool |"),
        rows.index("| aaaaaaaaaaaa | 2 | lfcc_gmm, shortcut probes |"),
    )
    assert rows.index("**Mixed trials**, the latest first.") < after < before and "cccccccccccc" not in rows
    site.write(tmp_path)
    shown = (tmp_path / "reports" / "site" / "index.html").read_text()
    assert "Mixed trials: protocols with runs on trials that are not the same: 1." in shown
    (of_protocol,) = (tmp_path / "reports" / "site" / "protocol").glob("*.html")
    shown = of_protocol.read_text()
    assert 0 < shown.index("Mixed trials, the latest first") < shown.index("<svg")


def test_figures_by_hand(page):
    rows = section(page, "cross_method/librisevoc")
    # lfcc_gmm: seed 0 has 0 and 37.5, seed 1 (and mean_pool) 37.5 and 50 on the two subsets
    assert re.search(
        r"\| 1 \|  \| lfcc_gmm \| average \| 2 \| 31.25 \| [^|]+ \| 31.25 ± 17.68 \| 18.75 to 43.75 \|", rows
    )
    assert re.search(r"\| 2 \| 1 \| mean_pool \| average \| 1 \| 43.75 \| [^|]+ \|  \|  \| 62.50 \|", rows)
    assert "shortcut_duration_s" in rows
    assert "## Failed runs" in page
    assert "| inner/librisevoc | aasist | 0 | out of memory |" in page
    assert "| librisevoc | LibriSeVoc | CC BY 4.0 | complete |" in page


def test_the_overview_has_a_column_per_scenario_and_no_probes(page):
    overview = section(page, "Overview")
    head = overview.split("\n| rank ")[1].split("\n")[0]
    assert [c.strip() for c in head.split("|")[1:6]] == ["≈ rank", "detector", "cross_method", "inner", "mean"]
    assert "shortcut_" not in overview.split("### Shortcut floor")[0].split("<details>")[0]
    assert "| cross_method/librisevoc | shortcut_duration_s |" in overview


def test_probes_stand_below_the_detectors_without_a_rank(page):
    rows = section(page, "cross_method/librisevoc").split("\n| rank ")[1].split("<details>")[0].splitlines()[2:]
    found = [[cell.strip() for cell in row.split("|")[1:4]] for row in rows if row]
    assert [name for *_, name in found] == ["lfcc_gmm", "mean_pool", "shortcut_duration_s"]
    assert [rank for rank, *_ in found] == ["1", "2", ""]


def test_published_stands_beside_measured_but_simulated_data_get_no_difference(page):
    rows = section(page, "inner/decro_en")
    line = next(line for line in rows.splitlines() if line.startswith("| aasist | eval | eer |"))
    cells = [c.strip() for c in line.split("|")[1:-1]]
    assert cells[3:5] == ["1", "100.00 %"]
    assert 0 < float(cells[5].removesuffix(" %")) < 50
    assert cells[6] == ""


def test_suspicious_scores_are_listed(page):
    assert "| aasist | 0 | eval | collapsed: fewer than 3 distinct scores" in section(page, "inner/decro_en")


def test_clock_times_stand_on_a_page_of_their_own(tmp_path):
    made_results.make(tmp_path)
    page = write(tmp_path)
    assert "train s" not in page.read_text()
    assert "| lfcc_gmm | cross_method/librisevoc | 2 |" in page.with_name("costs.md").read_text()


def test_a_property_that_never_varies_is_no_shortcut(tmp_path):
    constant = {subset: ([1.0] * 4, {a: [1.0, 1.0] for a in spoof}) for subset, (_, spoof) in made_results.WEAK.items()}
    made_results.make(tmp_path)
    made_results.add_run(tmp_path, "shortcut_duration_s", made_results.score_table(made_results.WEAK))
    made_results.add_run(tmp_path, "shortcut_channels", made_results.score_table(constant))
    overview = section(write(tmp_path).read_text(), "Overview")
    assert "| shortcut_duration_s | " in overview and "| shortcut_channels | 0.00 |" not in overview


def test_subsets_that_one_property_gives_away_are_flagged(tmp_path):
    many = [float(number) for number in range(40)]
    told = {
        "diffwave": (many, {"diffwave": [value + 100 for value in many]}),  # turned the other way than train: AUC 0
        "wavenet": (many, {"wavenet": many}),
        "tiny": ([1.0, 2.0], {"wavernn": [8.0, 9.0]}),  # four clips separate by chance
    }
    made_results.make(tmp_path)
    made_results.add_run(tmp_path, "shortcut_leading_silence_s", made_results.score_table(told))
    made_results.add_run(tmp_path, "shortcut_tree", made_results.score_table(told))
    page = section(write(tmp_path).read_text(), "cross_method/librisevoc")
    assert "**Shortcut**" in page and "| diffwave | leading_silence_s 1.000 | 40 | 40 |" in page
    assert "| wavenet | leading" not in page and "| tiny | leading" not in page


def test_without_runs_the_page_says_so(tmp_path):
    with pytest.raises(DataError, match=r"results.duckdb does not exist"):
        write(tmp_path)
    results.collect(tmp_path)
    assert "No run has finished yet" in write(tmp_path).read_text()


def test_without_a_catalog_the_page_has_no_corpora(data, tmp_path):
    shutil.copy(data / "results.duckdb", tmp_path)
    assert "## Corpora" not in write(tmp_path).read_text()


def test_licences_of_data_and_of_given_weights(tmp_path):
    made_results.make(tmp_path)
    made_results.add_run(tmp_path, "aasist", made_results.score_table(made_results.WEAK), trained=False)
    made_results.add_run(
        tmp_path, "rawnet2", made_results.score_table(made_results.WEAK), config={"config": {}, "weights": "ab" * 32}
    )
    made_results.add_run(tmp_path, "mine", made_results.score_table(made_results.WEAK), protocol="my/own")
    page = write(tmp_path).read_text()
    rows = section(page, "cross_method/librisevoc")
    assert "\nData: LibriSeVoc (not stated; LibriTTS is CC BY 4.0).\n" in rows
    assert "\nWeights that runs started from: aasist: AASIST.pth (clovaai release, MIT); rawnet2: " in rows
    assert "Weights that" not in section(page, "inner/librisevoc")
    assert "licences not known" in section(page, "my/own")


def test_known_leaks_stand_with_the_figures(page):
    head = section(page, "cross_method/librisevoc").split("\n| rank ")[0]
    assert (
        "\nNote: as in the paper: bona fide 60/20/20, spoof 80/20, unseen attacks tested whole; _strict tests" in head
    )
    assert "source (real and fake ids are split independently and unseen attacks are tested whole (paper, " in head
    assert "; speaker (readers recur across ids).\n" in head


def test_the_difference_between_a_leaking_protocol_and_its_twin_is_a_result(tmp_path):
    made_results.make(tmp_path)  # lfcc_gmm there: 18.75 and 43.75
    made_results.add_run(
        tmp_path, "lfcc_gmm", made_results.score_table(made_results.WEAK), protocol="cross_method/librisevoc_strict"
    )
    for name, trials in (("002", made_results.GOOD), ("clean", made_results.WEAK)):
        made_results.add_run(
            tmp_path, "aasist", made_results.score_table({"eval": trials["hard"]}), averages={},
            pooled={"whole": ["eval"]} if name == "002" else {}, protocol=f"cross_method/asvspoof2021_df_{name}",
        )  # fmt: skip
    overview = section(write(tmp_path).read_text(), "Overview").split("### What a leak is worth")[1]
    rows = [line.split(" | ")[2:6] for line in overview.splitlines() if line.startswith("| cross_method")]
    assert rows == [["aasist", "37.50", "50.00", "+12.50"], ["lfcc_gmm", "31.25", "43.75", "+12.50"]]


def test_averages_over_protocols_stand_beside_those_of_detectors_that_ran_all_of_them(tmp_path):
    inner = ["inner/decro_en", "inner/decro_zh", "inner/librisevoc", "inner/wavefake"]
    for detector, ran in (("aasist", inner), ("rawnet2_s", inner[:3])):  # AUC 3/8 and 1, EER 1/2 and 0
        for protocol, trials in zip(ran, (made_results.WEAK["hard"], *[made_results.GOOD["easy"]] * 3)):
            table = made_results.score_table({"eval": trials})
            made_results.add_run(
                tmp_path, detector, table, protocol=protocol, scenario="inner", averages={}, pooled={}, metrics=["eer"]
            )
    results.collect(tmp_path, replicates=2)
    overview = section(write(tmp_path).read_text(), "Overview").split("### Averages over protocols")[1]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in overview.splitlines() if "| inner/* |" in row]
    assert [row[:7] for row in rows] == [
        ["aasist", "inner/*", "4", "auc", "84.38", "99.81", "-15.43"],
        ["aasist", "inner/*", "4", "eer", "12.50", "1.80", "+10.70"],
    ]


def test_tables_of_one_or_of_several_configurations_stand_beside_ours(tmp_path):
    table = made_results.score_table({"ctrsvdd": made_results.GOOD["hard"]})
    for detector, protocol in (
        ("uniaudio", "uniaudio_zero_shot"), ("uniaudio_dann", "uniaudio_dann"), ("uniaudio_dann", "uniaudio_dann_r90"),
    ):  # fmt: skip
        made_results.add_run(
            tmp_path, detector, table, protocol=f"adaptation/{protocol}", scenario="adaptation", averages={}, pooled={}
        )
    results.collect(tmp_path, replicates=2)
    page = write(tmp_path).read_text()

    def beside(protocol):  # published EER in the table of ranks, and sources below
        rows = section(page, f"adaptation/{protocol}").splitlines()
        lines = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows if "| ctrsvdd |" in row]
        return lines[0][10], {(line[5], line[8].rpartition(", ")[2]) for line in lines[1:] if line[2] == "eer"}

    zero_shot = beside("uniaudio_zero_shot")
    assert zero_shot == ("43.16", {("43.00 %", "speech_only"), ("43.16 %", "speech_only")})
    of_many = {("47.31 %", "cfg2"), ("53.10 %", "cfg3"), ("52.33 %", "cfg4"), ("53.63 %", "cfg5")}
    assert beside("uniaudio_dann") == ("", of_many)
    assert beside("uniaudio_dann_r90") == ("49.12", {("49.12 %", "cfg1")})


def test_a_detection_cost_is_no_percentage(tmp_path):
    table = made_results.score_table({"eval_ref_real": made_results.GOOD["hard"]})
    made_results.add_run(
        tmp_path, "rat", table, protocol="official/asvspoof5_track1_open_rat", averages={}, pooled={},
        metrics=["eer", "min_dcf"],
    )  # fmt: skip
    results.collect(tmp_path, replicates=2)
    rows = section(write(tmp_path).read_text(), "official/asvspoof5_track1_open_rat").splitlines()
    lines = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in rows if row.startswith("| rat | eval_ref_real |")
    ]
    published = {line[2]: line[5] for line in lines if len(line) == 9}
    assert published == {"eer": "2.57 %", "min_dcf": "0.0740"}


def test_diagnostics_stand_beside_the_published_ones(tmp_path):
    runs = []
    for seed, gate in enumerate((0.5, 0.7, 0.8)):
        table = made_results.score_table({"ctrsvdd": made_results.GOOD["easy"]})
        table = table.append_column("gate_largest", pa.array([gate] * table.num_rows))
        runs.append(made_results.add_run(
            tmp_path, "uniaudio", table, protocol="adaptation/uniaudio_multidomain", seed=seed, averages={}, pooled={},
            diagnostics={"gate_largest": "largest gate weight of a clip"}, simulated=seed == 2,
        ))  # fmt: skip
    about = {"grid": "ablation/uniaudio_entropy", "title": "entropy", "source": "Table 7", "note": "a note",
             "order": ["lambda_ent=0"], "levels": [["lambda_ent=0", run] for run in runs],
             "columns": {"ctrsvdd": ["", "ctrsvdd"]}}  # fmt: skip
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids" / "entropy.json").write_text(json.dumps(about))
    rows = section(write(tmp_path).read_text(), "ablation/uniaudio_entropy")
    assert "entropy. Table 7. A note." in rows
    assert "| lambda_ent=0 | 3 | 0.00 | 3.45 | simulated |" in rows
    assert "| lambda_ent=0 | largest gate weight of a clip | 3 | 0.700 | 0.920 | simulated |" in rows


def test_a_collapsed_seed_is_told(tmp_path):
    collapsed = {name: (list(reversed(b)), {k: [9.0] * len(v) for k, v in s.items()}) for name, (b, s) in
                 made_results.GOOD.items()}  # fmt: skip
    for seed, test in enumerate((made_results.GOOD, made_results.GOOD, collapsed)):
        made_results.add_run(tmp_path, "lfcc_gmm", made_results.score_table(test), seed=seed)
        made_results.add_run(tmp_path, "mean_pool", made_results.score_table(made_results.GOOD), seed=seed)
    rows = section(write(tmp_path).read_text(), "cross_method/librisevoc")
    told = rows.split("Single seeds move the mean here")[1].split("<details>")[0]
    assert "| lfcc_gmm | easy | 3 | 33.33 | 0.00 | 0.00 | 100.00 | 2 | 0.00 |" in told
    assert "mean_pool" not in told


def test_the_real_time_factor_is_seconds_of_scoring_per_second_heard(tmp_path):
    whole = made_results.score_table(made_results.GOOD)
    timed = whole.append_column("duration_s", pa.array([2.5] * whole.num_rows))
    for name, table, given in (
        ("aasist", timed, {"samples": 32_000}), ("mean_pool", timed, {"samples": None}),
        ("mean_old", whole, {"samples": None}), ("mean_win", timed, {"samples": 32_000, "windows": True}),
    ):  # fmt: skip
        made_results.add_run(tmp_path, name, table, config={"input": given}, scored_trials=10, score_s=5.0)
    write(tmp_path)
    lines = (tmp_path / "reports" / "costs.md").read_text().splitlines()
    column = next(line for line in lines if line.startswith("| detector")).split(" | ").index("real-time factor")
    cells = {
        line.split(" | ")[0]: line.split(" | ")[column].strip()
        for line in lines
        if line.startswith(("| aas", "| mean"))
    }
    assert cells == {"| aasist": "0.2500", "| mean_pool": "0.2000", "| mean_win": "0.2000", "| mean_old": ""}


def test_the_overview_shows_measured_throughput(tmp_path):
    made_results.make(tmp_path)
    assert "| real-time factor |" not in write(tmp_path).read_text()
    with duckdb.connect(str(tmp_path / "results.duckdb")) as con:
        con.execute(
            "INSERT INTO throughput BY NAME SELECT 'lfcc_gmm' AS detector, 'fast' AS form, 'cpu' AS device, 1 AS threads, "
            "32000 AS samples, 8 AS batch_size, 81 AS parameters, 2500000000 AS macs, 5.0 AS score_per_s, 'c' AS code_version"
        )
        con.execute(
            "INSERT INTO throughput SELECT * REPLACE ('asdg' AS detector, 1080000 AS parameters) FROM throughput"
        )
    with sql.connect(tmp_path, "results") as con:
        settle(con)
        page, costs = Page(con).text(), Page(con).costs()
    beside = costs.split("## Beside Table IX")[1]
    assert [line for line in beside.splitlines() if line.startswith(("| asdg", "| lfcc"))] == [
        "| asdg | fast | cpu | 1 | 32000 | 8 | 1.08 | 1.10 | 2.50 | 0.34 |  | 1005.6 | 5.0 | 1213.2 |"
    ]
    overview = section(page, "Overview").split("<details>")[0]
    assert next(line for line in overview.splitlines() if " lfcc_gmm " in line).endswith("| 2.50 | 0.1000 |")
    ((table, query), *_) = re.findall(TABLE, page, re.DOTALL | re.MULTILINE)
    assert sql.markdown(sql.query(tmp_path, query)) == table
    ((table, query),) = re.findall(TABLE, beside, re.DOTALL | re.MULTILINE)
    assert sql.markdown(sql.query(tmp_path, query)) == table


def test_the_other_metrics_have_the_interval_of_the_run_nearest_to_the_median(tmp_path):
    for seed, test in ((None, made_results.GOOD), (1, made_results.WEAK), (2, made_results.WEAK)):
        made_results.add_run(
            tmp_path, "lfcc_gmm", made_results.score_table(test), seed=seed, metrics=["min_dcf"], external=seed is None,
            config={"lr": 0.2 if seed == 2 else 0.1},
        )  # fmt: skip
    page = section(write(tmp_path).read_text(), "cross_method/librisevoc")
    rows = [line for line in page.splitlines() if "| min_dcf |" in line]
    names = [row.split(" | ")[0].strip("| ") for row in rows]
    assert [name.partition(" #")[0] for name in names] == ["lfcc_gmm", "lfcc_gmm", "lfcc_gmm (external)"]
    assert names[0] != names[1] and all(re.search(r"\| [\d.]+ to [\d.]+ \|$", row) for row in rows)
    assert all(f"| {name} |" in page.split("EER % by subset")[1].split("<details>")[0] for name in names)


def test_what_was_not_run_has_no_rank(tmp_path):
    made_results.make(tmp_path)
    part = {"easy": made_results.GOOD["easy"]}
    made_results.add_run(tmp_path, "aasist", made_results.score_table(part), partial=True)
    page = section(write(tmp_path).read_text(), "cross_method/librisevoc")
    (row,) = [line for line in page.splitlines() if "| not run |" in line]
    assert [cell.strip() for cell in row.split("|")[1:7]] == ["", "", "aasist", "average", "1", "not run"]
    assert page.index("| 1 |  | lfcc_gmm |") < page.index(row)


def with_ablation(data):
    """One run of lfcc_gmm as it is, and three worse seeds of an ablation of it."""
    as_it_is = made_results.add_run(
        data, "lfcc_gmm", made_results.score_table(made_results.GOOD), config={"config": {}}
    )
    level = {"config": {"components": 2}}
    for seed, test in ((0, made_results.WEAK), (1, made_results.WEAK), (2, made_results.GOOD)):
        made_results.add_run(data, "lfcc_gmm", made_results.score_table(test), seed=seed, config=level, suffix="level")
    return as_it_is


def test_an_ablation_does_not_move_the_overview_nor_the_figures(tmp_path):
    run = with_ablation(tmp_path)
    page = write(tmp_path).read_text()
    (row,) = [line for line in section(page, "Overview").splitlines() if line.startswith("| 1 |")]
    assert [cell.strip() for cell in row.split("|")][3:6] == ["lfcc_gmm", "18.75", "18.75"]
    with figures.opened(tmp_path) as con:
        plots = {plot.name: plot for plot in figures.every(con, tmp_path)}
        best = con.execute(plots["det-cross_method-librisevoc"].query).fetchall()
    assert [(name, chosen) for name, chosen, *_ in best] == [("lfcc_gmm", run)]
    assert "drawn together" in plots["det-cross_method-librisevoc"].text


def test_tables_of_a_protocol_tell_configurations_apart(tmp_path):
    with_ablation(tmp_path)
    page = section(write(tmp_path).read_text(), "cross_method/librisevoc")
    for table in ("Single seeds move the mean", "Look twice at these scores"):
        rows = [line for line in page.split(table)[1].split("<details>")[0].splitlines() if "lfcc_gmm" in line]
        assert rows and all(line.startswith("| lfcc_gmm #") for line in rows), table


def test_a_protocol_says_what_its_configurations_set_differently(tmp_path):
    with_ablation(tmp_path)
    level = {"config": {"components": 2}, "training": {"lr": 0.1, "phases": [{"epochs": 3}]}, "weights": None}
    made_results.add_run(tmp_path, "lfcc_gmm", made_results.score_table(made_results.WEAK), seed=5, config=level)
    made_results.add_run(tmp_path, "aasist", made_results.score_table(made_results.WEAK), config={"config": {}})
    made_results.add_run(tmp_path, "lfcc_gmm", made_results.score_table(made_results.WEAK), external=True, seed=None)
    page = section(write(tmp_path).read_text(), "cross_method/librisevoc")
    rows = page.split("What `#` stands for")[1].split("<details>")[0].strip().splitlines()[2:]
    said = dict(re.fullmatch(r"\| lfcc_gmm #(\w{6}) \| (.*) \|", row).groups() for row in rows)
    assert sorted(said.values()) == [
        "config.components = 2",
        "config.components = 2, training.lr = 0.1, training.phases[0].epochs = 3",
        "nothing that the others do not set, too",
    ]
    assert all(f"| lfcc_gmm #{short} |" in page.split("What `#`")[0] for short in said)


def test_a_card_has_the_seeds_of_its_own_configuration(tmp_path):
    run = with_ablation(tmp_path)
    level = "cross_method-librisevoc-lfcc_gmm-s1-level"
    results.collect(tmp_path)
    with duckdb.connect(str(tmp_path / "results.duckdb"), read_only=True) as con:
        seeds = {r: con.execute(card._SEEDS, {"run": r}).fetchall() for r in (run, level)}
        flags = {r: con.execute(card._FLAGS, {"run": r}).fetchall() for r in (run, level)}
    assert seeds[run] == [] and {row[1] for row in seeds[level]} == {3}
    assert {seed for seed, *_ in flags[run]} == {0} and {seed for seed, *_ in flags[level]} == {0, 1, 2}


def test_every_subset_of_a_protocol_with_many_is_there(tmp_path):
    names = [f"s{k:02}" for k in range(35)]
    made_results.add_run(
        tmp_path, "lfcc_gmm", made_results.score_table(dict.fromkeys(names, made_results.GOOD["easy"])), pooled={},
        averages={"average": names},
    )  # fmt: skip
    page = section(write(tmp_path).read_text(), "cross_method/librisevoc")
    heads = [line for line in page.split("EER % by subset")[1].splitlines() if line.startswith("| detector | s")]
    assert [head.count("|") - 2 for head in heads] == [12, 12, 12]
    assert " ".join(heads).replace("|", " ").split() == ["detector", *names[:12], "detector", *names[12:24], "detector",
                                                         *names[24:], "average"]  # fmt: skip
    site.write(tmp_path)
    shown = (tmp_path / "reports" / "site" / "protocol" / "cross_method-librisevoc.html").read_text()
    assert all(f"<th scope=col class=n>{name}</th>" in shown for name in [*names, "average"])
