"""The site: every number is that of the SQL below it, nothing is asked for, nothing unescaped, and a browser is content."""

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import browser
import made_results
import pyarrow as pa
import pytest

from benchmark import results
from ingest.types import DataError
from reports import figures, leaderboard, pages, site, sql
from reports.__main__ import main

NASTY = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made_results.make(folder)
    made_results.add_run(folder, "shortcut_duration_s", made_results.score_table(made_results.WEAK))
    made_results.add_run(
        folder, "aasist", made_results.score_table({"eval": ([1.0, 1.0], {"melgan": [1.0, 1.0]})}),
        protocol="inner/decro_en", scenario="inner", averages={}, pooled={}, simulated=True, partial=True,
        title=f"titled {NASTY} & more", device='a "processor"',
    )  # fmt: skip
    made_results.add_run(
        folder, "it's & <b>", made_results.score_table({"eval": made_results.GOOD["easy"]}), external=True,
        protocol="inner/librisevoc", scenario="inner", averages={}, pooled={}, source=NASTY, suffix="ext",
    )  # fmt: skip
    table = made_results.score_table({"eval": made_results.GOOD["easy"]})
    for name, values in (
        ("gate", pa.array([0.25] * table.num_rows)),
        ("domain", pa.array(["speech"] * table.num_rows)),
    ):
        table = table.append_column(name, values)
    made_results.add_run(
        folder,
        "gated",
        table,
        protocol="inner/librisevoc",
        scenario="inner",
        averages={},
        pooled={},
        diagnostics={"gate": "weight & <b>"},
    )
    site.write(folder)
    return folder


@pytest.fixture(scope="module")
def files(data):
    return {str(p.relative_to(data / "reports/site")): p.read_text() for p in (data / "reports/site").rglob("*.html")}


class Tables(HTMLParser):
    """(head, rows, the query below) of each table of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.found, self.rows, self.cell, self.pre, self.drawing = [], None, None, None, 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.rows = []
        elif tag == "tr" and self.rows is not None:
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.cell = ""
        elif tag == "pre":
            self.pre = ""

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self.cell is not None:
            self.rows[-1].append(self.cell)
            self.cell = None
        elif tag == "table":
            self.found.append([self.rows[0], self.rows[1:], None])
            self.rows = None
        elif tag == "pre":
            if self.found and self.found[-1][2] is None:
                self.found[-1][2] = self.pre
            self.pre = None

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data
        if self.pre is not None:
            self.pre += data


def test_every_table_is_what_its_sql_gives(data, files):
    compared = 0
    for name, page in files.items():
        for head, rows, query in Tables(page).found:
            table = sql.query(data, query)
            if head == ["column", "value", "meaning"]:  # the run table, on its side
                wanted = {k: sql.cell(v) for k, v in table.to_pylist()[0].items() if v is not None}
                assert {row[0]: row[1] for row in rows} == wanted, name
            else:
                assert head == table.column_names, name
                assert rows == [[sql.cell(v) for v in row.values()] for row in table.to_pylist()], (name, query)
            compared += 1
    assert compared > 40


def test_figures_by_hand(files):
    index = Tables(files["index.html"]).found[0]
    assert "≈ rank" in index[0] and "≈ rank is the best rank" in files["index.html"]
    rows = {(row[1], row[2]): dict(zip(index[0], row)) for row in index[1]}
    best = rows["lfcc_gmm", "cross_method/librisevoc"]
    # seed 0 has 0 and 37.5, seed 1 37.5 and 50 on the two subsets
    assert (best["rank"], best["seeds"], best["EER %"], best["seed range"]) == ("1", "2", "31.25", "25.00")
    assert rows["mean_pool", "cross_method/librisevoc"]["EER %"] == "43.75"
    assert rows["aasist", "inner/decro_en"]["data"] == "simulated, partial"
    assert not any(detector.startswith("shortcut_") for detector, _ in rows)


def test_known_leaks_stand_on_the_page_of_a_protocol(files):
    page = next(page for name, page in files.items() if name.startswith("protocol/") and "cross_method" in name)
    assert "Note: as in the paper: bona fide 60/20/20" in page
    assert "speaker (readers recur across ids)." in page


def test_there_is_a_page_for_everything_and_every_link_leads_to_one(files):
    assert {"index.html", "protocols.html", "detectors.html", "figures.html"} <= set(files)
    assert sum(name.startswith("run/") for name in files) == 8
    assert sum(name.startswith("detector/") for name in files) == 6
    assert sum(name.startswith("protocol/") for name in files) == 3
    reached = {"index.html"}
    for name, page in files.items():
        for address in re.findall(r'<a [^>]*href="([^"]+)"', page):
            if not address.startswith("#"):
                target = (Path("/") / name).parent / unquote(urlsplit(html.unescape(address)).path)
                reached.add(str(target.resolve().relative_to("/")))
    assert reached == set(files)


def test_nothing_is_asked_for_and_nothing_stands_unescaped(files):
    for name, page in files.items():
        outside = re.sub(r"<script>.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
        sources = re.findall(r'\b(?:src|href|action|data|poster|srcset)="([^"]*)"', outside)
        assert not [s for s in sources if re.match(r"(?i)[a-z]+:|//", s) and not s.startswith("data:")], name
        assert "<script" not in outside
        assert "alert(1)</" not in outside
        assert "<b>" not in outside
        assert page.count("default-src 'none'") == 1
        assert outside.count("<h1>") == 1
    assert html.escape(NASTY) in "".join(files.values())


def test_provenance_is_on_the_page_of_the_run(files):
    page = files["run/cross_method-librisevoc-lfcc_gmm-s0-abc.html"]
    for words in ("seed", "config", "trials_fingerprint", "finished_at", "2025-01-02T03:04:05Z"):
        assert f">{words}<" in page or words == "trials_fingerprint"
    assert "Epoch whose weights were scored" in page
    assert "Learning curves" in page


def test_figures_have_words_beside_them(files):
    drawn = 0
    for page in files.values():
        for figure in re.findall(r"<figure>.*?</figure>", page, re.DOTALL):
            labels = re.search(r'<svg role=img aria-labelledby="([^"]+)" aria-describedby="([^"]+)"', figure)
            for label in labels.groups():
                assert len(re.search(rf'id="{label}">([^<]+)<', figure)[1]) > 10
            drawn += 1
    assert drawn > 10


def test_the_same_data_gives_the_same_bytes(data, files, tmp_path):
    stamps = {p: p.stat().st_mtime_ns for p in (data / "reports/site").rglob("*.html")}
    (data / "results.duckdb").unlink()
    results.collect(data)
    site.write(data)
    assert {p: p.read_text() for p in stamps} == {p: files[str(p.relative_to(data / "reports/site"))] for p in stamps}
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps  # equal pages are not even written


def test_pages_of_what_is_gone_are_removed(data):
    left = data / "reports/site/run/gone.html"
    left.write_text("old")
    assert main(["site", "--data", str(data)]) == 0
    assert not left.exists()


def test_many_runs_have_no_plots_of_their_own(data, monkeypatch):
    monkeypatch.setattr(site, "RUN_PLOTS", 3)
    monkeypatch.setattr(site, "OVERFULL", 0)
    with site.figures.opened(data) as con:
        made = dict(site.Site(con, data).all())
    page = made["run/cross_method-librisevoc-lfcc_gmm-s0-abc.html"]
    assert "<svg" not in page
    assert "see the page of the detector" in page
    assert "EER by attack" not in page


def test_no_run_is_one_clear_line(tmp_path):
    with pytest.raises(DataError):
        site.write(tmp_path)


@pytest.mark.parametrize("command", ["leaderboard", "site", "figures", "cite"])
def test_a_mistyped_folder_is_named_and_nothing_is_made_there(tmp_path, command):
    with pytest.raises(DataError, match=r"mistyped is not a folder; name the one that runs were made in"):
        main([command, "--data", str(tmp_path / "mistyped")])
    assert list(tmp_path.iterdir()) == []


def test_addresses_are_never_shared():
    names = ["a/b", "a-b", "A-B", "a b", "", "ä", "x" * 300, "x" * 301]
    of = pages.Addresses("run", names).of
    assert len({address.lower() for address in of.values()}) == len(names)
    assert all(re.fullmatch(r"run/[A-Za-z0-9_-]{1,130}\.html", address) for address in of.values())


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser.browser(tmp_path_factory.mktemp("profile")) as window:
        yield window


COLUMN = """const k = [...document.querySelectorAll('#leaderboard thead th')].findIndex(h => h.textContent == arguments[0]);
  return [...document.querySelectorAll('#leaderboard tbody tr')].filter(r => !r.hidden).map(r => r.cells[k].textContent)"""


def test_the_page_of_a_detector_tells_of_its_inside(files):
    page = files["detector/gated.html"]
    (told,) = [t for t in Tables(page).found if any(cell.startswith("gate") for cell in t[0])]
    assert [row[2:] for row in told[1]] == [["eval", "speech", "1", "0.250", "6"]]  # one domain, one row
    assert "gate: weight &amp; &lt;b&gt;." in page
    assert "of its inside" not in files["detector/lfcc_gmm.html"]


def test_a_broad_drawing_may_take_the_whole_page():
    broad, narrow = (pages.figure(f'<svg viewBox="0 0 {w} 10"></svg>', "n", "t", "w", "") for w in (900, 460.8))
    assert broad.startswith("<figure class=broad>") and narrow.startswith("<figure>")


def test_a_phone_shows_the_eer_without_a_swipe(data, tmp_path):
    page = data / "reports/site/index.html"
    (tmp_path / "phone.html").write_text(f'<iframe src="{page.as_uri()}" width=390 height=900></iframe>')
    with browser.browser(tmp_path / "profile", ["--allow-file-access-from-files"]) as window:
        window.open(tmp_path / "phone.html")
        right = window.run(
            "return document.querySelector('iframe').contentDocument"
            ".querySelector('#leaderboard thead th:nth-child(4)').getBoundingClientRect().right"
        )
    assert 0 < right < 390


def test_a_browser_sorts_filters_and_follows_links_without_complaint(data, window):
    window.open(data / "reports/site/index.html")
    window.requests()
    window.click("#leaderboard th:nth-child(4) button")
    first = window.run(COLUMN, "EER %")
    window.click("#leaderboard th:nth-child(4) button")
    assert first == sorted(first, key=float)
    assert window.run(COLUMN, "EER %") == sorted(first, key=float, reverse=True)
    assert window.run("return document.querySelectorAll('[aria-sort]').length") == 1
    assert window.run("return document.querySelector('[aria-sort]').getAttribute('aria-sort')") == "descending"
    window.type("#leaderboard-words", "MEAN cross")
    assert window.run(COLUMN, "detector") == ["mean_pool"]
    assert window.run("return document.querySelector('[role=status]').textContent") == f"1 of {len(first)} rows"
    window.run("document.querySelector('#leaderboard-words').value = ''")
    window.run(
        "const s = document.querySelector('#leaderboard-filters select'); s.value = '=inner/decro_en';"
        "s.dispatchEvent(new Event('change'))"
    )
    assert window.run(COLUMN, "detector") == ["aasist"]
    window.click("#leaderboard tbody tr:not([hidden]) th + td a")
    assert window.run("return document.querySelector('h1').textContent") == "aasist"
    assert window.console() == []
    assert all(address.startswith(("file:", "data:")) for address in window.requests())


def test_names_from_outside_are_no_markup_wherever_they_stand(tmp_path):
    """A run that somebody sent: its protocol, title and detector are any text."""
    name = 'a\n## b ``` "c" <script>' + "x" * 300
    for kind, test in (("one", made_results.GOOD), ("two", made_results.WEAK)):
        made_results.add_run(
            tmp_path, "mean_pool", made_results.score_table(test), seed=0, suffix=kind, config={"lr": kind},
        )  # fmt: skip
    for path in tmp_path.glob("scores/*/run.json"):
        about = json.loads(path.read_text()) | {"protocol": name, "title": name, "detector": name}
        path.write_text(json.dumps(about))
    page = leaderboard.write(tmp_path).read_text()
    outside = re.sub(r"(?ms)^(````+)sql\n.*?^\1$", "", page)
    assert "<script>" not in outside and "\n## b" not in outside and "```" in outside
    site.write(tmp_path)
    for file in (tmp_path / "reports" / "site").rglob("*.html"):
        assert "<script>x" not in file.read_text(), file
    figures.write(tmp_path)
    drawn = {file.name for file in (tmp_path / "reports" / "figures").iterdir()}
    assert any(n.startswith("det-") for n in drawn) and all(re.fullmatch(r"[\w.-]{1,130}", n) for n in drawn)


def test_protocols_and_detectors_say_what_configurations_set_differently(tmp_path):
    for rate, test in ((0.1, made_results.GOOD), (0.2, made_results.WEAK)):
        made_results.add_run(
            tmp_path, "mean_pool", made_results.score_table(test), suffix=str(rate), config={"training": {"lr": rate}},
        )  # fmt: skip
    site.write(tmp_path)
    for folder in ("protocol", "detector"):
        (page,) = (tmp_path / "reports" / "site" / folder).glob("*.html")
        table = page.read_text().split("What # stands for</caption>")[1].split("</table>")[0]
        assert "training.lr = 0.1<" in table and "training.lr = 0.2<" in table


@pytest.mark.parametrize("cells, wanted", [
    (["10.00 to 12.00", "", "9.00 to 11.00"], ["9.00 to 11.00", "10.00 to 12.00", ""]),
    (["not run", "7.10", "12.30"], ["7.10", "12.30", "not run"]),
    (["A10", "A9", "A1"], ["A1", "A9", "A10"]),
])  # fmt: skip
def test_a_browser_sorts_by_the_numbers_in_words(window, tmp_path, cells, wanted):
    table = pages.table(pa.table({"row": ["a", "b", "c"], "cell": cells}), "SELECT", "caption")
    (tmp_path / "page.html").write_text(pages.page("title", [table], at="page.html"))
    window.open(tmp_path / "page.html")
    shown = "return [...document.querySelectorAll('tbody tr')].map(r => r.cells[1].textContent)"
    window.click("thead th:nth-child(2) button")
    assert window.run(shown) == wanted
    window.click("thead th:nth-child(2) button")
    there = [cell for cell in wanted if cell not in ("", "not run")]
    assert window.run(shown) == there[::-1] + wanted[len(there) :]


def test_the_keyboard_reaches_skip_link_and_headings(data, window):
    window.open(data / "reports/site/index.html")
    window.type("body", "\ue004")  # Tab
    assert window.run("return document.activeElement.className") == "skip"
    window.run("document.querySelector('#leaderboard th:nth-child(2) button').focus()")
    window.run("document.activeElement.click()")
    names = window.run(COLUMN, "detector")
    assert names == sorted(names)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize(
    "name", ["index.html", "figures.html", "protocol/cross_method-librisevoc.html", "detector/lfcc_gmm.html",
             "run/cross_method-librisevoc-lfcc_gmm-s0-abc.html"],
)  # fmt: skip
def test_axe_finds_nothing(data, window, name, dark):
    axe = pytest.importorskip("axe_core_python", reason="needs axe-core-python, in the dev group")
    window.dark(dark)
    window.open(data / "reports/site" / name)
    window.run((Path(axe.__file__).parent / "axe.min.js").read_text())
    window.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = window.wait(
        "axe.run().then(r => arguments[0](r.violations.map(v => [v.id, v.nodes.slice(0, 3).map(n => n.html)])))"
    )
    assert found == []
    assert window.console() == []
