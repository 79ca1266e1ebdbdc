"""The report in a real browser: everything is there, nothing is fetched, nothing is executed."""

import base64
import json
import os
import re
import shutil

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hearing_asr.transcripts import METADATA_KEY

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
REQUIRED = os.environ.get("HEARING_ASR_BROWSER") == "required"
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER) and not REQUIRED, reason="chromium or chromedriver is not installed"
)
MARKUP = "<script>window.harmed = 1</script><img src=x onerror='window.harmed = 1'> & <b>bold</b>"


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    assert BROWSER, "chromium is not installed"
    assert DRIVER, "chromedriver is not installed"
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-dev-shm-usage",
        "window-size=1300,1000",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


def open_page(browser, path):
    """Open a file, wait for its images and sounds; return what was fetched and what was said."""
    browser.get_log("performance")
    browser.get(path.as_uri())
    browser.set_script_timeout(60)
    browser.execute_async_script(
        "const done = arguments[0], all = [...document.querySelectorAll('audio')];"
        "const ready = () => all.every(a => a.readyState > 0) ? done() : setTimeout(ready, 50);"
        "ready()"
    )
    fetched = []
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            fetched.append(message["params"]["request"]["url"])
    said = [entry["message"] for entry in browser.get_log("browser")]
    return [url for url in fetched if not url.startswith(("data:", path.as_uri()))], said


@pytest.fixture(scope="module")
def page(demo, browser):
    path = demo / "results/demo/report.html"
    fetched, said = open_page(browser, path)
    assert not fetched
    assert not said
    return browser


def texts(page, selector):
    return page.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())",
        selector,
    )


def test_every_figure_and_sound_is_in_the_page(page):
    sizes = page.execute_script("return [...document.images].map(i => i.naturalWidth)")
    assert len(sizes) >= 14
    assert min(sizes) > 500
    seconds = page.execute_script(
        "return [...document.querySelectorAll('audio')].map(a => [a.duration, a.error])"
    )
    assert len(seconds) == 3 * 4  # clips, each unmasked and under three variants
    assert all(1 < duration < 4 and error is None for duration, error in seconds)


def test_the_numbers_are_those_of_the_tables(demo, page):
    table = pd.read_csv(demo / "results/demo/metrics/intervals.csv")
    shown = texts(page, ".matrix .wer")
    assert sorted(shown) == sorted(f"{100 * wer:.1f}" for wer in table["wer"])
    effects = pd.read_csv(demo / "results/demo/metrics/effects.csv")
    summary = " ".join(texts(page, "#summary p"))
    for row in effects.itertuples():
        assert f"{row.variant} raises its WER by {100 * row.loss:.1f} points" in summary
        assert f"{abs(100 * row.recovery):.1f} points" in summary
    assert "12 speakers" in " ".join(texts(page, "#doubts li"))
    markdown = (demo / "results/demo/metrics/main_table.md").read_text()
    assert markdown.count("|") == (2 + len(table) // 3) * 5
    assert (demo / "results/demo/metrics/main_table.tex").read_text().startswith(r"\begin{table}")


def test_links_lead_somewhere_and_files_are_whole(demo, page):
    missing = page.execute_script(
        "return [...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))"
        ".filter(h => !document.querySelector(h))"
    )
    assert not missing
    files = page.execute_script(
        "return [...document.querySelectorAll('a[download]')].map(a => [a.download, a.href])"
    )
    known = {path.name: path for path in (demo / "results/demo").rglob("*.csv")}
    assert len({name for name, _ in files}) > 20
    for name, address in files:
        content = base64.b64decode(address.split(",")[1])
        if name in known and name not in ("training.csv", "corpus.csv"):
            assert content == known[name].read_bytes(), name


def test_a_table_is_saved_by_a_click(page, tmp_path):
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path), "eventsEnabled": True}
    page.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    page.execute_script("document.querySelector('a[download=\"effects.csv\"]').click()")
    page.execute_async_script("setTimeout(arguments[0], 1500)")
    assert len(pd.read_csv(tmp_path / "effects.csv")) == 2


def test_the_page_is_no_wider_than_the_window(page):
    assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_every_section_has_something_to_say(page):
    sections = page.execute_script(
        "return [...document.querySelectorAll('section')].map(s => [s.id, s.innerText.length])"
    )
    assert [name for name, _ in sections] == (
        "results effects comparisons losses misheard groups failures confidence examples training "
        "corpus methods resources files"
    ).split()
    assert all(length > 150 for _, length in sections)
    everything = page.execute_script("return document.body.innerText")
    assert not re.search(r"\bnan\b|None|Undefined|\{\{", everything)


def test_nothing_of_this_machine_is_in_the_page(demo):
    content = (demo / "results/demo/report.html").read_text()
    assert str(demo.folder) not in content
    corpus = pd.read_csv(demo / "results/demo/corpus/clips.tsv", sep="\t")
    assert len(corpus) > 100
    speakers = set(pd.read_parquet(first_prediction(demo))["client_id"])
    assert speakers
    assert not any(speaker in content for speaker in speakers)


def first_prediction(demo):
    return demo / "results/demo/predictions/zero_shot/normal.parquet"


def test_markup_in_the_corpus_is_shown_and_not_executed(demo, browser, tmp_path):
    """Every text of clips, words and groups is replaced by one that would do harm."""
    copy = tmp_path / "copy"
    shutil.copytree(demo.folder, copy, symlinks=True, ignore=shutil.ignore_patterns(".snakemake"))
    results = copy / "results/demo"
    for path in results.glob("predictions/*/*.parquet"):
        table = pq.read_table(path)
        clips = table.to_pandas()
        for name in ("reference", "hypothesis", "reference_normalized", "hypothesis_normalized"):
            clips[name] = [f"{text} {MARKUP}" for text in clips[name]]
        written = pa.Table.from_pandas(clips, preserve_index=False)
        metadata = {METADATA_KEY: table.schema.metadata[METADATA_KEY]}
        pq.write_table(written.replace_schema_metadata(metadata), path)
    for name, column in (
        ("words", "reference"),
        ("groups", "group"),
        ("failures", "other_language"),
    ):
        table = pd.read_csv(results / f"metrics/{name}.csv", keep_default_na=False)
        table[column] = MARKUP
        table.assign(**{c: 3 for c in ("other_language_clips",) if c in table}).to_csv(
            results / f"metrics/{name}.csv", index=False
        )
    clips = pd.read_csv(results / "corpus/corpus.csv")
    clips.assign(quantity=MARKUP).to_csv(results / "corpus/corpus.csv", index=False)
    demo.snakemake(
        *("results/demo/report.html", "--cores", "1", "--directory", str(copy)),
        *("--allowed-rules", "write_report", "--forcerun", "write_report"),
    )
    _, said = open_page(browser, results / "report.html")
    assert not said  # the page's own policy would report an attempt
    assert browser.execute_script("return window.harmed") is None
    assert not browser.execute_script("return document.querySelectorAll('script, b b').length")
    shown = browser.execute_script("return document.body.innerText")
    assert shown.count("<script>window.harmed = 1</script>") > 20
    assert "& <b>bold</b>" in shown
