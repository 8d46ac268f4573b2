"""The report, opened from disk and used in Chromium."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="needs the extra viz")

from dataset_reader import Dataset
from drawn_egodex import MiniEgoDex
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from dataset_upload.formats import each_trajectory as each_trajectory_module
from dataset_upload.formats.each_trajectory import each_trajectory
from dataset_upload.formats.finished_dataset import FinishedDataset, open_dataset
from dataset_upload.mini_egodex.part import read_frame_number
from dataset_upload.video.projection import hand_pixels
from dataset_upload.visualization import report as report_module
from dataset_upload.visualization import report_columns, report_part
from dataset_upload.visualization.report import build_report, write_page
from dataset_upload.visualization.report_columns import Columns
from dataset_upload.visualization.report_part import DrawPart, Fact

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-prefers-reduced-motion",  # what scrolls smoothly cannot be clicked meanwhile
)
_SECONDS = 20

# How many pixels of the skeletons' canvas are not transparent.
_INK = """(() => {
    const {width, height} = skeletons;
    const copy = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
    copy.drawImage(skeletons, 0, 0);
    return copy.getImageData(0, 0, width, height).data.filter((value, i) => i % 4 === 3 && value).length;
})()"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Headless Chromium that keeps what pages write to the console."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("no chromium and chromedriver here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    chromium.set_window_size(1440, 900)
    yield chromium
    chromium.quit()


@pytest.fixture(scope="module", autouse=True)
def small_files() -> Iterator[None]:
    """Few rows a file, so that a small dataset has several of each kind."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (each_trajectory_module, report_module, report_part):
            patch.setattr(module, "ROWS_PER_PART", 4)
        patch.setattr(report_columns, "ROWS_PER_FILE", 5)
        patch.setattr(report_module, "_CLIP_FILE_BYTES", 1)  # so 1 clip a file
        yield


@pytest.fixture(scope="module")
def dataset(converted: Dataset) -> FinishedDataset:
    return open_dataset(str(converted.output_dir))


@pytest.fixture(scope="module")
def report(dataset: FinishedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_report(dataset, tmp_path_factory.mktemp("report")).page


@pytest.fixture
def facts(dataset: FinishedDataset, tmp_path: Path) -> list[Fact]:
    """What a page in `tmp_path` needs, where pictures and clips are; for tests that make other pages of it."""
    (tmp_path / "data").mkdir()
    drawn = each_trajectory(DrawPart(tmp_path / "data", 1), dataset)
    return [fact for fact in drawn if isinstance(fact, Fact)]


def page_of(facts: Iterable[Fact], dataset: FinishedDataset, folder: Path) -> Path:
    columns = Columns(folder / "data")
    for fact in facts:
        columns.add(fact)
    return write_page(dataset, folder, columns)


def content_of(script: Path) -> Any:
    """What a file beside the page hands over."""
    return json.loads(script.read_text().removeprefix("receive(").removesuffix(");\n"))


class Page:
    """The report in the browser."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser

    def one(self, selector: str) -> WebElement:
        element: WebElement = self.browser.find_element(By.CSS_SELECTOR, selector)
        return element

    def all(self, selector: str) -> list[WebElement]:
        elements: list[WebElement] = self.browser.find_elements(By.CSS_SELECTOR, selector)
        return elements

    def texts(self, selector: str) -> list[str]:
        """What is written in all elements that fit, whether or not they are on the screen."""
        texts: list[str] = self.browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)", selector
        )
        return texts

    def script(self, expression: str) -> Any:
        return self.browser.execute_script(f"return {expression}")

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.browser).send_keys(*keys).perform()

    def until(self, condition: Callable[[], object]) -> None:
        WebDriverWait(self.browser, _SECONDS, poll_frequency=0.05).until(lambda _: condition())

    def until_told(self, selector: str, text: str) -> None:
        self.until(lambda: text in self.one(selector).text)

    def errors(self) -> list[Mapping[str, Any]]:
        entries: list[Mapping[str, Any]] = self.browser.get_log("browser")
        return entries


@pytest.fixture
def page(chromium: Any, report: Path) -> Iterator[Page]:
    """The report, freshly opened. Whatever a test does with it, nothing may be written to the console."""
    chromium.get("about:blank")
    chromium.get_log("browser")
    chromium.get(report.as_uri())
    page = Page(chromium)
    page.until(lambda: page.script("rows.isWhole"))
    yield page
    assert page.errors() == []


def test_the_overview_counts_what_was_converted(page: Page, converted: Dataset) -> None:
    tiles = dict(zip(page.texts("#tiles dt"), page.texts("#tiles dd"), strict=True))
    assert tiles["trajectories"] == str(len(converted.rows))
    assert tiles["tasks"] == str(len({row["task_name"] for row in converted.rows}))
    assert tiles["skipped"] == "4"
    assert tiles["failed"] == "0"
    assert len(page.all(".histogram")) == 5


def test_each_trajectory_has_a_card_whose_thumbnail_is_loaded_when_seen(page: Page, converted: Dataset) -> None:
    assert page.texts("#cards .text") == [row["task"] for row in converted.rows]
    page.script("document.getElementById('trajectories').scrollIntoView()")
    page.until(lambda: page.script("document.querySelector('#cards img').naturalHeight") == 144)


def test_search_leaves_what_has_all_words(page: Page, converted: Dataset) -> None:
    page.one("#search").send_keys("LID cup")
    expected = [row["task"] for row in converted.rows if "lid" in row["task"].lower() and "cup" in row["task"].lower()]
    assert page.texts("#cards .text") == expected
    assert page.one("#found").text == f"{len(expected)} of {len(converted.rows)}"


def test_search_finds_a_source(page: Page, converted: Dataset) -> None:
    page.one("#search").send_keys(converted.rows[-1]["source"])
    assert page.texts("#cards .text") == [converted.rows[-1]["task"]]


def test_a_search_for_nothing_says_so(page: Page) -> None:
    page.one("#search").send_keys("xylophone")
    assert page.all("#cards > *") == []
    assert page.one("#nothing").text == "Nothing fits. Try fewer words."


def test_sorting_by_task_text_and_back_to_front(page: Page, converted: Dataset) -> None:
    Select(page.one("#sort")).select_by_visible_text("task text")
    tasks = sorted(row["task"] for row in converted.rows)
    assert page.texts("#cards .text") == tasks
    page.one("#direction").click()
    assert page.texts("#cards .text") == tasks[::-1]


def test_unknown_confidences_come_last_either_way(page: Page, mini: MiniEgoDex) -> None:
    unknown = mini.with_irregularity("missing_confidences").key
    Select(page.one("#sort")).select_by_visible_text("confidence")
    assert page.texts("#cards .meta")[-1].startswith(unknown)
    page.one("#direction").click()
    assert page.texts("#cards .meta")[-1].startswith(unknown)


def test_a_task_leads_to_its_trajectories(page: Page, converted: Dataset) -> None:
    names = [row["task_name"] for row in converted.rows]
    counts = {name.replace("_", " "): names.count(name) for name in names}
    shown = dict(zip(page.texts("#task-cards .text"), page.texts("#task-cards .meta"), strict=True))
    assert {name: int(text.split()[0]) for name, text in shown.items()} == counts
    page.script("document.querySelector('#task-cards .card').click()")
    first = page.texts("#task-cards .text")[0]
    assert len(page.all("#cards .card")) == counts[first]


def test_what_was_not_converted_is_listed_with_its_reason(page: Page, report: Path) -> None:
    cells = page.texts("#unconverted-rows td")
    expected = content_of(report.parent / "data" / "unconverted_00000.js")
    assert len(expected) == 4
    assert cells[::3] == [key for key, _, _, _ in expected]
    assert cells[1::3] == [f"{status}: {reason}" for _, status, reason, _ in expected]
    assert cells[2::3] == [message for _, _, _, message in expected]


def test_a_click_plays_the_clip_with_skeletons_beside_its_plots(page: Page, converted: Dataset) -> None:
    page.script("document.querySelectorAll('#cards .card')[2].click()")
    page.until(lambda: page.script("player.clip !== null"))
    row = converted.rows[2]
    assert page.one("#player-task").text == row["task"]
    assert len(page.all("#plots .plot svg")) == 3
    assert page.script("video.videoWidth") in (0, 256)
    page.until(lambda: page.script("video.currentTime") > 0)
    start = page.script("video.currentTime")
    page.until(lambda: page.script("video.currentTime") != start)
    page.until(lambda: page.script(f"{_INK} > 100"))


def test_hands_can_be_switched_off(page: Page) -> None:
    page.script("document.querySelector('#cards .card').click()")
    page.until(lambda: page.script(f"{_INK} > 100"))
    page.one("#show-hands").click()
    assert page.script(_INK) == 0


def test_the_skeleton_in_the_page_is_that_of_the_frame(page: Page, converted: Dataset) -> None:
    """What the page draws lies where the dataset's camera puts it."""
    trajectory = next(open_dataset(str(converted.output_dir)).trajectories([0]))
    page.script("document.querySelector('#cards .card').click()")
    page.until(lambda: page.script("player.skeletons !== null"))
    expected = hand_pixels(trajectory).transpose(1, 0, 2, 3).ravel()
    assert [value / 16 for value in page.script("[...player.skeletons]")] == pytest.approx(expected.tolist(), abs=0.05)
    assert page.script("player.clip.size") == [256, 256]


def test_a_seek_shows_the_frame_that_the_clock_tells(page: Page, converted: Dataset) -> None:
    """Mini episodes show each frame's number in the source."""
    row = converted.rows[1]
    page.script("document.querySelectorAll('#cards .card')[1].click()")
    page.until(lambda: page.script("video.readyState") == 4)
    page.one("#show-hands").click()
    for number in (7, 0, 19):
        page.script(f"player.seekFrame({number})")
        page.until(lambda: page.script("!video.seeking"))
        page.until_told("#clock", f"frame {number + 1} of ")
        with Image.open(io.BytesIO(page.one("#stage").screenshot_as_png)) as picture:
            assert read_frame_number(np.asarray(picture.convert("RGB"))) == row["frame_indices"][number]


def test_the_keyboard_is_enough(page: Page, converted: Dataset) -> None:
    page.press("/")
    assert page.script("document.activeElement.id") == "search"
    page.press("block", Keys.ENTER)
    found = [row["task"] for row in converted.rows if "block" in row["task"]]
    page.until(lambda: len(page.all("#cards .card")) == len(found))
    while page.script("document.activeElement.className") != "card":
        page.press(Keys.TAB)
    page.press(Keys.ENTER)
    page.until(lambda: page.one("#player").is_displayed())
    page.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.one("#player-task").text == found[1])
    page.press(Keys.ARROW_LEFT)
    page.until(lambda: page.one("#player-task").text == found[0])
    page.until(lambda: page.script("!video.paused && video.currentTime > 0"))
    page.press(Keys.SPACE)
    page.until(lambda: page.script("video.paused && !video.seeking"))
    before, last = int(page.script("player.seek.value")), int(page.script("player.seek.max"))
    key, after = (".", before + 1) if before < last else (",", before - 1)
    page.press(key)
    page.until(lambda: int(page.script("player.seek.value")) == after)
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.one("#player").is_displayed())
    assert page.script("location.hash") == ""


def test_a_trajectory_has_an_address(page: Page, report: Path, converted: Dataset) -> None:
    row = converted.rows[-1]
    page.browser.get("about:blank")
    page.browser.get(f"{report.as_uri()}#play={row['source'].replace('/', '%2F')}")
    page.until(lambda: page.one("#player-task").text == row["task"])
    assert page.one("#player-position").text == f"{len(converted.rows)} of {len(converted.rows)}"


def test_a_clip_plays_at_the_speed_of_what_it_shows(page: Page, converted: Dataset) -> None:
    times = converted.rows[0]["timestamps"]
    page.script("document.querySelector('#cards .card').click()")
    page.until(lambda: page.script("player.clip !== null"))
    real_rate = (len(times) - 1) / times[-1]
    assert page.script("video.playbackRate") == pytest.approx(real_rate / 30, rel=1e-3)


def test_light_and_dark_differ_and_can_be_switched(page: Page) -> None:
    paper = "getComputedStyle(document.documentElement).backgroundColor"
    before = page.script(paper)
    page.one("#theme").click()
    assert page.script(paper) != before
    page.one("#theme").click()
    assert page.script(paper) == before


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_nothing_is_wider_than_the_screen(page: Page, size: tuple[int, int]) -> None:
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        assert page.script("document.documentElement.scrollWidth <= innerWidth")
        page.script("document.querySelector('#cards .card').click()")
        page.until(lambda: page.one("#player").is_displayed())
        assert page.script("player.dialog.scrollWidth <= innerWidth")
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


HOSTILE = '</script><!--<script><img src=x onerror=alert(1)> & \u2028 \udcff \\ " {{data}} '


def test_texts_of_the_dataset_are_no_html(
    chromium: Any, facts: list[Fact], dataset: FinishedDataset, tmp_path: Path
) -> None:
    hostile = [
        fact._replace(task=HOSTILE, source=f"{HOSTILE}/{row}", folder=f"{HOSTILE}{row % 3}", remarks=(HOSTILE,))
        for row, fact in enumerate(facts)
    ]
    chromium.get("about:blank")
    chromium.get_log("browser")
    chromium.get(page_of(hostile, dataset, tmp_path).as_uri())
    page = Page(chromium)
    page.until(lambda: page.script("rows.isWhole"))
    shown = "[...document.querySelectorAll('#cards .text')].map((each) => each.textContent.toWellFormed())"
    assert set(page.script(shown)) == {HOSTILE.replace("\udcff", "\ufffd")}
    assert len(page.all("#cards img")) == len(facts)
    assert page.all("img[onerror]") == []
    page.one("#search").send_keys("onerror=alert(1)>")
    assert page.one("#found").text == str(len(facts))
    page.script("document.querySelectorAll('#cards .card')[2].click()")
    page.until(lambda: page.script("player.clip !== null"))
    assert page.script("document.getElementById('player-source').textContent.endsWith('/2')")
    assert page.errors() == []


def test_files_load_as_they_are_needed(page: Page, report: Path, converted: Dataset) -> None:
    """Three kinds of files, several of each; none is asked for before it is needed, none stays in the page."""
    names = sorted(path.name for path in (report.parent / "data").iterdir())
    count = len(converted.rows)
    kinds = {"clips": count, "columns": -(-count // 5), "pictures": -(-count // 4), "unconverted": 1}
    assert names == [f"{kind}_{number:05d}.js" for kind, files in kinds.items() for number in range(files)]
    assert page.script("clips.files.size") == 0
    page.script("[...document.querySelectorAll('#cards .card')].at(-1).click()")
    page.until(lambda: page.script("video.currentTime") > 0)
    assert page.script("clips.files.size") == 1
    for _ in range(4):
        page.press(Keys.ARROW_LEFT)
    page.until(lambda: page.script("video.currentTime") > 0)
    assert page.script("clips.files.size") == 3
    assert page.script("document.querySelectorAll('script[src]').length") == 0


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_a_hundred_thousand_trajectories_stay_usable(
    size: tuple[int, int],
    chromium: Any,
    facts: list[Fact],
    dataset: FinishedDataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than a browser lets a page be tall: the list is scrolled by itself."""
    monkeypatch.setattr(report_columns, "ROWS_PER_FILE", 30_000)
    count = 100_000
    many = (facts[row % len(facts)]._replace(source=f"task/{row}", top_speed=float(row % 777)) for row in range(count))
    address = page_of(many, dataset, tmp_path).as_uri()
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500}
    chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        chromium.get("about:blank")
        chromium.get(address)
        page = Page(chromium)
        page.until(lambda: page.script("rows.isWhole"))
        assert page.one("#found").text == "100,000"
        assert page.script("document.documentElement.scrollWidth <= innerWidth")
        assert 0 < len(page.all("#cards .card")) < 60

        page.script("scrollTo({top: document.body.scrollHeight, behavior: 'instant'})")
        page.until(lambda: page.texts("#cards bdi")[-1] == "task/99999")
        page.until(lambda: page.script("document.querySelector('#cards .card:last-child img').naturalHeight") == 144)
        last = "document.querySelector('#cards .card:last-child').getBoundingClientRect()"
        assert 0 < page.script(f"{last}.bottom") <= size[1]
        page.script("scrollBy({top: -200, behavior: 'instant'})")
        page.until(lambda: page.script(f"{last}.bottom") > size[1])
        page.until(lambda: page.script("list.top < list.height - innerHeight"))  # the page is told of scrolling later

        Select(page.one("#sort")).select_by_visible_text("top speed")
        page.script("document.getElementById('direction').click()")
        assert page.texts("#cards bdi")[0] == "task/776"
        page.script("(search.value = 'task/9999', list.restart())")
        found = ["task/9999", *(f"task/9999{digit}" for digit in range(10))]
        assert sorted(page.texts("#cards bdi")) == found
        assert page.one("#found").text == "11 of 100,000"
        page.script("document.querySelector('#cards .card').click()")
        page.until(lambda: page.script("video.currentTime") > 0)
    finally:
        chromium.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_missing_file_costs_only_what_was_in_it(
    chromium: Any, facts: list[Fact], dataset: FinishedDataset, tmp_path: Path
) -> None:
    page_file = page_of(facts, dataset, tmp_path)
    (tmp_path / "data" / "clips_00000.js").unlink()
    last_columns = sorted((tmp_path / "data").glob("columns_*"))[-1]
    last_columns.unlink()
    chromium.get("about:blank")
    chromium.get(page_file.as_uri())
    page = Page(chromium)
    page.until(lambda: f"{last_columns.name} is not there" in page.one("#found").text)
    assert len(page.all("#cards .card")) == 5 * (len(facts) // 5)
    page.script("document.querySelector('#cards .card').click()")
    page.until(lambda: page.one("#trouble").is_displayed())
    page.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.script("video.currentTime") > 0)
    assert not page.one("#trouble").is_displayed()


def test_a_dataset_without_trajectories_has_a_report(chromium: Any, dataset: FinishedDataset, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    chromium.get("about:blank")
    chromium.get_log("browser")
    chromium.get(page_of([], dataset, tmp_path).as_uri())
    page = Page(chromium)
    assert page.one("#nothing").text == "Nothing fits. Try fewer words."
    assert page.one("#found").text == "0"
    assert page.errors() == []


def test_trajectories_without_hands_have_plots_of_their_actions(
    chromium: Any, converted_arm: Path, tmp_path: Path
) -> None:
    address = build_report(open_dataset(str(converted_arm)), tmp_path).page.as_uri()
    chromium.get("about:blank")
    chromium.get_log("browser")
    chromium.get(address)
    page = Page(chromium)
    page.until(lambda: page.script("rows.isWhole"))
    assert page.texts(".histogram h3") == ["Source length", "Clip size"]
    assert page.texts(".ranking h3") == ["Slowest to convert"]
    assert not {"top speed", "hands in frame", "confidence"} & set(page.texts("#sort option"))
    page.script("document.querySelector('#cards .card').click()")
    page.until(lambda: page.script("video.currentTime") > 0)
    assert [title.strip() for title in page.texts("#plots h3")] == [*(f"joint_{i}" for i in range(1, 7)), "gripper"]
    assert page.texts("#facts dt") == ["Source", "Clip", "Converted in"]
    shown = page.script("document.querySelector('main').outerHTML + player.dialog.outerHTML")
    assert "NaN" not in shown and "null" not in page.one("#player").text
    assert not page.one("#show-hands").is_displayed()
    cursor = "document.querySelector('#plots .cursor').getAttribute('x1')"
    before = page.script(cursor)
    page.until(lambda: page.script(cursor) != before)
    assert page.errors() == []


def test_sizes_side_by_side_have_one_unit(page: Page) -> None:
    tiles = zip(page.texts("#tiles dt"), page.texts("#tiles dd"), strict=True)
    sizes = [size for name, size in tiles if name.startswith("of ")]
    assert len(sizes) == 3
    assert len({size.split("\u00a0")[1] for size in sizes}) == 1


def test_speeds_have_one_unit_in_plots_and_facts(page: Page) -> None:
    page.script("document.querySelector('#cards .card').click()")
    page.until(lambda: page.script("player.clip !== null"))
    assert page.texts("#plots h3")[0] == "Speed m/s"
    facts = dict(zip(page.texts("#facts dt"), page.texts("#facts dd"), strict=True))
    assert facts["Top speed"].count("\u00a0m/s") == 2


def test_the_shading_of_doubt_has_a_legend(page: Page) -> None:
    page.script("document.querySelector('#cards .card').click()")
    page.until(lambda: page.script("player.clip !== null"))
    assert page.texts(".legend > span")[0] == "Confidence: 1  0"
    assert len(page.all(".legend rect")) == 3
