"""The pictures of the README: the page of a built workspace in a browser, as small PNG files.

Run: tunechain quickstart workspace; tunechain quickstart chinese --language zh
     tunechain service learn apps/samples/logs/support.en.csv --yes -w workspace, and support.zh.csv into chinese
     python -m benchmarks.pictures workspace --chinese chinese [--out docs/pictures]

It needs Chromium on the PATH. Answers and alerts are those of the workspaces; the trends of topics without an alert are
left out. There is no Chinese stream with a surge, so the alert is shown twice, in both languages of the page.
"""

import argparse
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

MAX_BYTES = 120_000
_SCALE = 1.5  # sharp on screens of high resolution
_WIDTH, _HEIGHT = 860, 860
_START_S = 900  # a busy machine reads the stream slowly
_LOCALES = {"en": "en-GB", "zh": "zh-CN"}
QUESTIONS = {
    "en": ("Where is my order VT-204918?", "How long should I charge my new headphones before pairing them?"),
    "zh": ("我的订单 VT-204918 到哪里了？", "手机整晚插着充电伤不伤电池？"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path, help="an English workspace after its quickstart")
    parser.add_argument("--chinese", type=Path, help="a Chinese one, for the chat of README.zh-CN.md")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=_START_S * 1000)
    with _server(options.workspace) as address:
        take_chat(address, "en", options.out / "chat.png")
        take_alert(address, "en", options.out / "alert.png")
        take_alert(address, "zh", options.out / "alert.zh.png")
        take_review(address, "en", options.out / "learning.png")
    if options.chinese:
        with _server(options.chinese) as address:
            take_chat(address, "zh", options.out / "chat.zh.png")
            take_review(address, "zh", options.out / "learning.zh.png")


def take_chat(address: str, language: str, path: Path) -> None:
    """Ask the questions and take a picture of the conversation."""
    with _page(address, language) as page:
        for count, question in enumerate(QUESTIONS[language], start=1):
            page.wait_for_selector("#ask-send:enabled")
            page.fill("#ask-text", question)
            page.press("#ask-text", "Enter")
            page.wait_for_selector("#messages[aria-busy=false]")
            expect(page.locator("#messages .assistant")).to_have_count(count)
        page.wait_for_selector("#messages .source")
        page.evaluate("document.activeElement.blur()")
        _save(page, path)


def take_review(address: str, language: str, path: Path) -> None:
    """Take a picture of the review of groups, the first one opened with the answers of the staff."""
    with _page(address, language) as page:
        page.click("#views [value=learning]")
        page.locator("#learn-groups article").first.locator("summary").last.click()
        page.evaluate("document.activeElement.blur()")
        _save(page, path)


def take_alert(address: str, language: str, path: Path) -> None:
    """Take a picture of the alerts, the first of them opened with the posts behind it, and of their topics' trends."""
    with _page(address, language) as page:
        page.click("#tab-monitoring")
        page.wait_for_selector("#trend svg")
        expect(page.locator("#trend-note")).not_to_contain_text("…")  # the stream is still being read
        page.evaluate("""() => {
            const topics = [...document.querySelectorAll('#alerts h3')].map(title => title.textContent);
            for (const card of document.querySelectorAll('#trend > .card'))
                if (!topics.includes(card.querySelector('h3').textContent)) card.remove();
            [...document.querySelectorAll('#alerts details')].at(-1).open = true;
            document.activeElement.blur();
        }""")
        expect(page.locator("#alerts blockquote").first).to_be_visible()
        page.set_viewport_size({"width": _WIDTH, "height": 2400})
        top = page.locator("#alerts").bounding_box()
        chart = page.locator("#trend").bounding_box()
        if top is None or chart is None:
            sys.exit("there is no alert to show")
        first, last = top["y"] - 60, chart["y"] + chart["height"] + 16
        _save(page, path, clip={"x": 0, "y": first, "width": _WIDTH, "height": last - first})


@contextmanager
def _server(workspace: Path) -> Iterator[str]:
    """Serve the workspace on a free port until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "apps.cli", "serve", "--workspace", str(workspace), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  # ours
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()  # noqa: S310  # our own server
        except urllib.error.URLError:
            time.sleep(1.0)
        else:
            return
    sys.exit("the server did not start; see what this says: tunechain serve")


@contextmanager
def _page(address: str, language: str) -> Iterator[Page]:
    """Open the page in one of its languages, whatever that of the workspace is."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(
            viewport={"width": _WIDTH, "height": _HEIGHT},
            device_scale_factor=_SCALE,
            color_scheme="light",
            locale=_LOCALES[language],
            reduced_motion="reduce",
        )
        page.set_default_timeout(_START_S * 1000)
        page.goto(address)
        page.wait_for_selector("#ask-send:enabled")
        if page.get_attribute("html", "lang") != language:
            page.click("#language")
        yield page
        browser.close()


def _save(page: Page, path: Path, **options: Any) -> None:
    """Write a picture of what can be seen, with a palette: a third of the bytes, and nobody sees the difference.

    Raises:
        SystemExit: if it is larger than a README should make anybody load.
    """
    page.screenshot(path=path, **options)
    with Image.open(path) as picture:
        # the usual method gives each colour its share of the pixels, and would lose the few red bars of a chart
        small = picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path}: {size:,} bytes")
    if size > MAX_BYTES:
        sys.exit(f"{path} is larger than {MAX_BYTES:,} bytes; take fewer colours or a smaller part of the page")


if __name__ == "__main__":
    main()
