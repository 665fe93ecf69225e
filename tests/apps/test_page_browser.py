"""The page in a browser: plays of customers and staff, attacks that do nothing, and pictures to look at.

The pictures are in `build/screenshots`. The server is a process of its own, so no socket is opened here.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.apps.service_learning.logs import learn
from tests.conftest import REPOSITORY

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SCREENSHOTS = REPOSITORY / "build" / "screenshots"
DESKTOP, PHONE = {"width": 1200, "height": 850}, {"width": 390, "height": 844}
ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<a href="javascript:alert(1)">click</a> javascript:alert(1)',
    "\u202egnp.exe\u2066 <svg onload=alert(1)>",
    "{{constructor.constructor('alert(1)')()}} </script><script>alert(1)</script>",
]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH; on Debian: apt install chromium"),
]


@pytest.fixture(scope="module")
def browser():
    sync_api.expect.set_options(timeout=60_000)  # of itself it waits five seconds, which a busy machine may take
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def start_server(tmp_path_factory):
    """Start a server of its own and return its address and keys."""
    running = []

    def start(language="en", *holders, folder=None):
        folder = folder or tmp_path_factory.mktemp("workspace")
        command = [sys.executable, "-m", "tests.apps.browser_server", str(folder), language, *holders]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY)
        running.append(process)
        told = json.loads(process.stdout.readline())
        return {**told, "folder": folder, "stop": lambda: end(process)}

    yield start
    for process in running:
        end(process)


def end(process):
    if process.stdin.closed:
        return
    process.stdin.close()
    process.wait(60)
    process.stdout.close()


@pytest.fixture(scope="module")
def english(start_server):
    return start_server()["address"]


@pytest.fixture(scope="module")
def chinese(start_server):
    return start_server("zh")["address"]


class Visitor:
    """A browser without memories, at the page; whatever goes wrong in it is noted in `faults`."""

    def __init__(self, browser, address, *, size=DESKTOP, is_dark=False, locale="en-GB"):
        scheme = "dark" if is_dark else "light"
        self.context = browser.new_context(viewport=size, color_scheme=scheme, locale=locale, reduced_motion="reduce")
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.address = address
        self.faults = []
        self.page.on("dialog", self._dismiss)
        self.page.on("pageerror", lambda error: self.faults.append(f"error {error}"))
        self.page.on("console", lambda message: message.type == "error" and self._note_console(message.text))
        self.page.on("request", self._look_at_request)
        self.page.goto(address)

    def _dismiss(self, dialog):
        self.faults.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _note_console(self, text):
        if "404" not in text and "401" not in text:  # of a conversation that has not begun, and of a missing key
            self.faults.append(text)

    def _look_at_request(self, request):
        path = request.url.removeprefix(self.address)
        if not re.match(r"/(v1/|static/[\w.]+$|readyz$|$)", path):
            self.faults.append(f"request {request.url}")

    def say(self, text):
        """Send a message and wait until the reply is there."""
        self.page.wait_for_selector("#ask-send:enabled")
        self.page.fill("#ask-text", text)
        self.page.press("#ask-text", "Enter")
        self.page.wait_for_selector("#messages[aria-busy=false]")

    def expect(self, selector, text):
        sync_api.expect(self.page.locator(selector).last).to_contain_text(text)

    def texts(self, place="#messages"):
        return self.page.locator(f"{place} .turn .text").all_inner_texts()

    def picture(self, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def open_desk(self, text):
        """Open the conversation in which `text` waits for a person."""
        self.page.click("#views [value=staff]")
        self.page.locator("#inbox .entry", has_text=text).last.click()
        self.page.wait_for_selector("#answer-form:visible")


@pytest.fixture
def visit(browser):
    visitors = []

    def visit(address, **options):
        visitors.append(Visitor(browser, address, **options))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.context.close()
    assert [visitor.faults for visitor in visitors] == [[]] * len(visitors)


# --- plays


def test_a_conversation_from_first_question_to_colleague_survives_a_reload(visit, english):
    customer = visit(english)
    customer.expect("#messages", "How can we help?")
    customer.picture("desktop-welcome")
    customer.say("Where is my parcel?")
    customer.expect("#messages .assistant", "What is the number of the order?")
    customer.say("123456")
    customer.expect("#messages .assistant", "Order 123456 is on its way.")
    customer.say("How full should the battery be?")
    customer.expect("#messages .assistant", "Keep the battery between 20 and 80 percent.")
    customer.page.click("#messages .source")
    customer.expect("#passage mark", "Keep the battery between 20 and 80 percent.")
    customer.expect("#passage-text", "Heat ages a battery")
    customer.picture("desktop-citation")
    customer.page.keyboard.press("Escape")
    sync_api.expect(customer.page.locator("#passage")).to_be_hidden()
    customer.say("Do you like the play of that night?")
    customer.expect("#messages .assistant", "passing it to a colleague")
    customer.expect("#awaits", "A colleague will answer here.")
    customer.say("It was a Tuesday.")
    customer.picture("desktop-chat")
    before = customer.texts()
    assert len(before) == 9

    customer.page.reload()
    sync_api.expect(customer.page.locator("#messages .turn")).to_have_count(9)
    assert customer.texts() == before
    sync_api.expect(customer.page.locator("#awaits")).to_be_visible()

    staff = visit(english)
    staff.open_desk("the play of that night")
    staff.expect("#desk-summary", "Message: Do you like the play of that night?")
    for word in ("approved answer", "from the knowledge base", "97 %", "Time per step"):
        staff.expect("#desk-turns", word)
    staff.page.fill("#answer-text", "I do, very much.")
    staff.picture("desktop-staff")
    staff.page.click("#answer-form [type=submit]")
    sync_api.expect(staff.page.locator("#answer-form")).to_be_hidden()

    customer.expect("#messages .staff", "I do, very much.")
    sync_api.expect(customer.page.locator("#awaits")).to_be_hidden()
    customer.say("my refund?")
    customer.expect("#messages .assistant", "Refunds take five days.")
    assert len(customer.texts()) == 12


def test_a_quick_answer_chooses_one_of_two_intents(visit, english):
    customer = visit(english)
    customer.say("card trouble")
    customer.picture("desktop-choices")
    customer.page.get_by_role("button", name="refund").click()
    customer.expect("#messages .assistant", "Refunds take five days.")
    assert customer.page.locator(".choices").count() == 0


def test_a_thumb_down_asks_what_would_have_been_right(visit, english):
    customer = visit(english)
    customer.say("my refund?")
    customer.page.get_by_role("button", name="Bad answer").click()
    customer.page.get_by_label("What would have been right?").fill("Ten days.")
    customer.picture("desktop-feedback")
    with customer.page.expect_response("**/feedback") as answered:
        customer.page.get_by_role("button", name="Send correction").click()
    assert answered.value.status == 204
    assert json.loads(answered.value.request.post_data) == {"thumb": "down", "correction": "Ten days."}
    sync_api.expect(customer.page.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")


def test_a_message_whose_reply_was_cut_off_is_finished_after_a_reload(visit, english):
    customer = visit(english)
    customer.say("my refund?")
    customer.page.route("**/messages/stream", lambda route: route.abort())
    customer.page.fill("#ask-text", "Where is my parcel?")
    customer.page.press("#ask-text", "Enter")
    customer.expect("#messages .notice", "The server cannot be reached.")
    customer.page.unroute("**/messages/stream")
    customer.page.reload()
    customer.expect("#messages .assistant", "What is the number of the order?")
    assert customer.texts()[2:] == ["Where is my parcel?", "What is the number of the order?"]
    customer.faults = [fault for fault in customer.faults if "ERR_FAILED" not in fault]


def test_a_message_that_could_not_be_sent_can_be_sent_again_or_passed_over(visit, english):
    customer = visit(english)
    customer.say("my refund?")
    for way in ("again", "over"):
        customer.page.route("**/messages/stream", lambda route: route.abort())
        customer.page.fill("#ask-text", f"card trouble, {way}")
        customer.page.press("#ask-text", "Enter")
        customer.expect("#messages .notice", "The server cannot be reached.")
        assert customer.texts()[-1] == f"card trouble, {way}"
        customer.page.unroute("**/messages/stream")
        if way == "again":
            customer.page.get_by_role("button", name="Try again").click()
            customer.expect("#messages .assistant", "1. a lost card, or 2. refund?")
            customer.page.wait_for_selector("#ask-send:enabled")
    customer.say("What are your hours?")
    answered = ["my refund?", "Refunds take five days.", "card trouble, again"]
    assert customer.texts()[:3] == answered
    assert customer.texts()[4:] == ["What are your hours?", "We are there from 9 to 5."]
    customer.faults = [fault for fault in customer.faults if "ERR_FAILED" not in fault]


def test_the_desk_lets_go_of_a_conversation_that_its_customer_deletes(visit, english):
    customer, staff = visit(english), visit(english)
    customer.say("Do you like the sea in winter?")
    staff.open_desk("the sea in winter")
    customer.page.remove_listener("dialog", customer._dismiss)
    customer.page.on("dialog", lambda dialog: dialog.accept())
    customer.page.get_by_role("button", name="Delete conversation").click()
    sync_api.expect(staff.page.locator("#answer-form")).to_be_hidden()
    staff.expect("#desk-state", "Choose a conversation")
    assert staff.texts("#desk-turns") == []


def test_a_new_conversation_begins_empty_and_a_deleted_one_is_gone(visit, english):
    customer = visit(english)
    customer.say("my refund?")
    customer.page.remove_listener("dialog", customer._dismiss)
    customer.page.on("dialog", lambda dialog: dialog.accept())
    with customer.page.expect_response(re.compile(r"/v1/conversations/[\w-]+$")) as deleted:
        customer.page.get_by_role("button", name="Delete conversation").click()
    assert deleted.value.status == 204
    customer.expect("#messages", "How can we help?")
    customer.say("card trouble")
    customer.page.get_by_role("button", name="New conversation").click()
    customer.expect("#messages", "How can we help?")
    customer.page.reload()
    customer.expect("#messages", "How can we help?")


def test_the_page_is_used_by_keyboard_alone(visit, english):
    customer = visit(english)
    customer.expect("#messages", "How can we help?")
    page = customer.page
    page.focus("#tab-service")
    page.keyboard.press("ArrowRight")
    sync_api.expect(page.locator("#panel-monitoring")).to_be_visible()
    page.keyboard.press("Home")
    page.focus("#ask-text")
    page.keyboard.type("How full should")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("the battery be?")
    page.keyboard.press("Enter")
    customer.expect("#messages .assistant", "Keep the battery")
    assert page.evaluate("document.activeElement.id") == "ask-text"
    page.locator("#messages .source").focus()
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("#passage")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.className") == "source"  # focus comes back to where it was


def test_every_button_and_field_has_a_name(visit, english):
    customer = visit(english)
    customer.say("How full should the battery be?")
    nameless = customer.page.evaluate(
        "[...document.querySelectorAll('button, input, textarea, select')].filter(e =>"
        " !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert nameless == []


def test_the_other_parts_of_the_page_work(visit, english):
    visitor = visit(english)
    visitor.page.click("#tab-monitoring")
    visitor.page.fill("#read-text", "The app is down")
    visitor.page.click("#read-form button")
    visitor.expect("#reading", "negative")
    visitor.page.wait_for_selector("#trend svg")
    visitor.picture("desktop-monitoring")
    visitor.page.click("#tab-recommendation")
    visitor.page.fill("#user", "u1")
    visitor.page.click("#recommend-form button")
    visitor.page.wait_for_selector("#items .card")
    visitor.picture("desktop-recommendation")


# --- learning from logs


@pytest.fixture
def learnt(start_server, tmp_path):
    """A server whose workspace has read a log."""
    learn(tmp_path).close()
    return start_server(folder=tmp_path)


def open_learning(visitor):
    visitor.page.click("#views [value=learning]")
    sync_api.expect(visitor.page.locator("#learn-groups article")).to_have_count(3)


def test_groups_are_reviewed_written_and_taken_back(visit, learnt):
    staff = visit(learnt["address"])
    open_learning(staff)
    page, records = staff.page, learnt["folder"] / "customer_service"
    staff.expect("#learn-overview", "60 conversations read")
    staff.picture("desktop-learning")
    page.get_by_label("Name").first.fill("first one")
    page.get_by_label("Name").first.press("Tab")
    staff.expect("#learn-said", "Renamed: first one")
    page.locator(".template textarea").first.fill("It is all free.")
    page.locator(".template textarea").first.press("Tab")
    staff.expect("#learn-said", "Answer of first one changed")
    page.locator("article .accept").first.click()
    staff.expect("#learn-said", "Accepted: first one")
    sync_api.expect(page.locator("#learn-groups article")).to_have_count(2)
    for box in page.locator("article .choose").all():
        box.check()
    page.click("#learn-merge")
    staff.expect("#learn-said", "Merged into")
    sync_api.expect(page.locator("#learn-groups article")).to_have_count(1)
    page.get_by_role("button", name="Drop", exact=True).click()
    sync_api.expect(page.locator("#learn-groups article")).to_have_count(0)
    assert not (records / "intents.csv").exists()
    page.click("#learn-publish")
    staff.expect("#learn-said", "1 groups written into intents.csv")
    assert "It is all free." in (records / "templates.yaml").read_text("utf-8")
    page.click("#learn-status [value=published]")
    staff.expect("#learn-groups article", "Written as a new intent.")
    page.click("#learn-undo")
    staff.expect("#learn-said", "Taken back: writing into the records")
    assert not (records / "intents.csv").exists()
    page.click("#learn-status [value=open]")
    for step in ("dropping", "merging", "accepting"):
        page.click("#learn-undo")
        staff.expect("#learn-said", step)
    sync_api.expect(page.locator("#learn-groups article")).to_have_count(3)
    assert page.get_by_label("Name").first.input_value() == "first one"


def test_groups_are_reviewed_by_keyboard_alone(visit, learnt):
    staff = visit(learnt["address"])
    open_learning(staff)
    page = staff.page
    page.locator("#learn-groups article").first.focus()
    page.keyboard.press("x")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    page.keyboard.press("m")
    staff.expect("#learn-said", "Merged into")
    sync_api.expect(page.locator("#learn-groups article")).to_have_count(2)
    page.locator("#learn-groups article").first.focus()
    page.keyboard.press("s")
    staff.expect("#learn-said", "Split:")
    page.keyboard.press("d")
    staff.expect("#learn-said", "Dropped:")
    sync_api.expect(page.locator("#learn-groups article")).to_have_count(2)
    page.keyboard.press("u")
    staff.expect("#learn-said", "Taken back: dropping")


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_the_review_fits_a_phone_stands_out_and_speaks_chinese(visit, learnt, is_dark):
    staff = visit(learnt["address"], size=PHONE, is_dark=is_dark)
    open_learning(staff)
    staff.page.click("#language")
    staff.expect("#learn-overview", "已读取 60 段对话")
    assert staff.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert staff.page.evaluate((Path(__file__).parent / "contrast.js").read_text("utf-8")) == []
    staff.picture(f"phone-learning-{'dark' if is_dark else 'light'}")


def test_a_customer_is_not_shown_the_review(visit, start_server, tmp_path):
    learn(tmp_path).close()
    server = start_server("en", "anna:customer", folder=tmp_path)
    customer = visit(server["address"])
    customer.page.fill("#key-text", server["keys"]["anna:customer"])
    customer.page.press("#key-text", "Enter")
    customer.expect("#messages", "How can we help?")
    sync_api.expect(customer.page.locator("#views")).to_be_hidden()


# --- monitoring


def open_monitoring(visitor):
    visitor.page.wait_for_selector("#status.ready")
    visitor.page.click("#tab-monitoring")
    visitor.page.wait_for_selector("#alerts article", timeout=120_000)


def test_a_surge_is_opened_and_confirmed_and_stays_so_after_a_restart(visit, start_server):
    server = start_server()
    staff = visit(server["address"])
    open_monitoring(staff)
    page = staff.page
    staff.expect("#alerts article", "app")
    page.locator("#alerts summary").first.click()
    staff.expect("#alerts blockquote", "The app is down")
    page.wait_for_selector("#alerts svg.chart rect.surge")
    staff.picture("desktop-alert")
    page.get_by_role("button", name="Confirm", exact=True).click()
    staff.expect("#alerts .verdict", "confirmed by local")
    staff.expect("#precision", "100 % of the 1 alerts judged")
    page.reload()
    page.wait_for_selector("#status.ready")
    page.click("#tab-monitoring")
    staff.expect("#alerts", "No alerts here.")
    page.click("#judged [value=confirmed]")
    staff.expect("#alerts .verdict", "confirmed by local")

    page.close()
    server["stop"]()
    again = start_server(folder=server["folder"])
    staff = visit(again["address"])
    staff.page.wait_for_selector("#status.ready")
    staff.page.click("#tab-monitoring")
    staff.page.click("#judged [value=all]")
    staff.expect("#alerts .verdict", "confirmed by local")
    staff.page.get_by_role("button", name="Reject", exact=True).click()
    staff.expect("#alerts .verdict", "rejected by local")
    assert staff.page.evaluate("document.activeElement.value") == "rejected"  # focus stays with what was pressed


def test_posts_are_read_page_by_page_filtered_and_exported(visit, english, tmp_path):
    staff = visit(english)
    open_monitoring(staff)
    page = staff.page
    sync_api.expect(page.locator("#feed .post")).to_have_count(50)
    first = page.locator("#feed .post").first.inner_text()
    page.click("#feed-next")
    sync_api.expect(page.locator("#feed .post").first).not_to_have_text(first)
    page.click("#feed-back")
    sync_api.expect(page.locator("#feed .post").first).to_contain_text("negative")
    page.fill("#feed-since", "2026-03-02T00:00")
    page.fill("#feed-until", "2026-03-03T00:00")
    page.select_option("#feed-source", "forum")
    page.click("#feed-form [type=submit]")
    staff.expect("#feed .post .meta", "Mar 2, 2026")
    sync_api.expect(page.locator("#feed-back")).to_be_hidden()
    staff.picture("desktop-feed")
    with page.expect_download() as download:
        page.click("#feed-export")
    lines = Path(download.value.path()).read_text("utf-8-sig").splitlines()
    assert lines[0].startswith("time,source,id,topic")
    assert 20 < len(lines) < 100
    page.fill("#trend-words", "nothing of this name")
    page.press("#trend-words", "Enter")
    sync_api.expect(page.locator("#trend svg")).to_have_count(0)


@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_monitoring_fits_a_phone_and_stands_out(visit, english, is_dark):
    staff = visit(english, size=PHONE, is_dark=is_dark)
    open_monitoring(staff)
    staff.page.locator("#alerts summary").first.click()
    staff.page.wait_for_selector("#alerts svg.chart")
    assert staff.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert staff.page.evaluate((Path(__file__).parent / "contrast.js").read_text("utf-8")) == []
    staff.picture(f"phone-alert-{'dark' if is_dark else 'light'}")


def test_monitoring_speaks_chinese(visit, chinese):
    staff = visit(chinese)
    staff.page.wait_for_selector("#status.ready")
    staff.page.click("#tab-monitoring")
    staff.page.wait_for_selector("#alerts article", timeout=120_000)
    staff.page.locator("#alerts summary").first.click()
    staff.page.wait_for_selector("#alerts svg.chart")
    staff.page.get_by_role("button", name="驳回", exact=True).click()
    staff.expect("#alerts .verdict", "由 local 驳回")
    staff.picture("chinese-alert")


# --- the shop


def open_shop(visitor, user="u1"):
    visitor.page.wait_for_selector("#status.ready")
    visitor.page.click("#tab-recommendation")
    visitor.page.fill("#user", user)
    ask_for_list(visitor, lambda: visitor.page.click("#recommend-form button"))


def ask_for_list(visitor, act):
    """Do what asks for a list, and return the list once it is drawn."""
    with visitor.page.expect_response("**/v1/recommend") as reply:
        act()
    listed = reply.value.json()
    visitor.page.wait_for_function(
        "wanted => JSON.stringify([...document.querySelectorAll('#items .card')].map(c => c.dataset.item)) === wanted",
        arg=json.dumps([item["id"] for item in listed["items"]], separators=(",", ":")),
    )
    return listed


def shown_items(visitor):
    return visitor.page.locator("#items .card").evaluate_all("cards => cards.map(card => card.dataset.item)")


def wait_for_other_items(visitor, before):
    visitor.page.wait_for_function(
        "before => JSON.stringify([...document.querySelectorAll('#items .card')].map(c => c.dataset.item)) !== before",
        arg=json.dumps(before, separators=(",", ":")),
    )


def test_people_of_different_taste_see_different_shops(visit, english):
    visitor = visit(english)
    lists: list[set[str]] = []
    for user in ("u0", "u1", "u2"):  # of one group each
        visitor.page.locator("#diversity").evaluate("slider => { slider.value = 0; }")
        open_shop(visitor, user)
        lists.append(set(shown_items(visitor)[:6]))
    overlaps = [len(lists[first] & lists[second]) for first in range(3) for second in range(first)]
    assert sum(overlaps) / len(overlaps) <= 3


def test_what_is_not_wanted_never_returns_and_a_click_changes_the_shop(visit, english):
    visitor = visit(english)
    open_shop(visitor, "shopper1")
    before = shown_items(visitor)
    visitor.page.locator("#items .card .actions button").first.click()
    wait_for_other_items(visitor, before)
    assert before[0] not in shown_items(visitor)
    before = shown_items(visitor)
    visitor.page.locator("#items .card .title").first.click()
    visitor.page.wait_for_selector("#item-similar .card")
    visitor.picture("desktop-similar")
    visitor.page.keyboard.press("Escape")
    wait_for_other_items(visitor, before)
    visitor.page.reload()
    visitor.page.wait_for_selector("#people button", state="attached")
    visitor.page.click("#tab-recommendation")
    visitor.page.locator("#people button", has_text="shopper1").click()
    visitor.page.wait_for_selector("#items .card")
    assert before[0] not in shown_items(visitor)


def test_the_slider_changes_how_different_the_shown_items_are(visit, english):
    visitor = visit(english)
    open_shop(visitor, "u4")
    distances = []
    for share in ("0", "100"):
        listed = ask_for_list(visitor, lambda share=share: visitor.page.locator("#diversity").fill(share))
        visitor.expect("#diversity-value", f"{listed['distance']:.2f}")
        distances.append(float(visitor.page.inner_text("#diversity-value").split()[-1]))
    assert distances[0] < distances[1]


def test_a_search_of_the_shop_holds_its_price(visit, english):
    visitor = visit(english)
    open_shop(visitor, "u1")
    visitor.page.fill("#query", "garden thing under 25")
    visitor.page.press("#query", "Enter")
    visitor.expect("#items", "up to 25")
    prices = [float(text) for text in visitor.page.locator("#items .price").all_inner_texts()]
    assert prices
    assert max(prices) <= 25
    visitor.picture("desktop-search")
    visitor.page.click("#clear-query")
    sync_api.expect(visitor.page.locator("#items")).not_to_contain_text("up to 25")


def test_the_shop_is_used_by_keyboard_alone(visit, english):
    visitor = visit(english)
    page = visitor.page
    page.wait_for_selector("#status.ready")
    page.click("#tab-recommendation")
    page.focus("#user")
    page.keyboard.type("keyboarder")
    page.keyboard.press("Enter")
    page.wait_for_selector("#items .card")
    before = shown_items(visitor)
    page.locator("#items .card .title").first.focus()
    page.keyboard.press("Tab")
    assert "Not interested" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("Enter")
    wait_for_other_items(visitor, before)
    page.wait_for_function("document.activeElement.className === 'title'")


def test_markup_in_an_item_is_shown_as_it_is_written(visit, english):
    visitor = visit(english)
    open_shop(visitor, "u1")
    visitor.page.fill("#query", "hostile")
    visitor.page.press("#query", "Enter")
    for attack in ATTACKS[:2]:
        sync_api.expect(visitor.page.locator("#items .card .title", has_text=attack)).to_be_visible()
    assert visitor.page.locator("#items img, #items script, #items a").count() == 0


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_chinese_shop_fits_and_speaks_chinese(visit, chinese, size):
    visitor = visit(chinese, size=size, locale="zh-CN")
    open_shop(visitor, "u1")
    visitor.expect("#items .card", "不感兴趣")
    assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert all(text.endswith("。") for text in visitor.page.locator("#items .reason").all_inner_texts())
    visitor.picture(f"{'desktop' if size is DESKTOP else 'phone'}-shop-zh")


def test_a_customer_sees_the_own_shop_alone_and_what_was_hidden_stays_away(visit, start_server):
    server = start_server("en", "anna:customer")
    anna = visit(server["address"])
    anna.page.fill("#key-text", server["keys"]["anna:customer"])
    anna.page.press("#key-text", "Enter")
    anna.page.wait_for_selector("#items .card", state="attached")
    anna.page.click("#tab-recommendation")
    sync_api.expect(anna.page.locator("#person-field")).to_be_hidden()
    before = shown_items(anna)
    anna.page.locator("#items .card .actions button").first.click()
    wait_for_other_items(anna, before)
    anna.page.reload()
    anna.page.wait_for_selector("#items .card", state="attached")
    assert before[0] not in shown_items(anna)


# --- keys


def test_a_key_opens_the_page_for_what_its_role_may_do(visit, start_server):
    server = start_server("en", "anna:customer", "carl:staff")
    anna = visit(server["address"])
    anna.page.wait_for_selector("#key-dialog[open]")
    anna.picture("desktop-key")
    anna.page.fill("#key-text", "wrong")
    anna.page.press("#key-text", "Enter")
    sync_api.expect(anna.page.locator("#key-wrong")).to_be_visible()
    anna.page.fill("#key-text", server["keys"]["anna:customer"])
    anna.page.press("#key-text", "Enter")
    anna.say("Do you like plays?")
    sync_api.expect(anna.page.locator("#tab-monitoring")).to_be_hidden()
    sync_api.expect(anna.page.locator("#views")).to_be_hidden()
    carl = visit(server["address"])
    carl.page.fill("#key-text", server["keys"]["carl:staff"])
    carl.page.press("#key-text", "Enter")
    carl.open_desk("Do you like plays?")
    carl.expect("#desk-title", "anna")
    carl.page.fill("#answer-text", "Yes, anna.")
    carl.page.click("#answer-form [type=submit]")
    anna.expect("#messages .staff", "Yes, anna.")
    anna.page.reload()
    anna.expect("#messages .staff", "Yes, anna.")  # the key stays in its tab


# --- attacks


def test_no_text_of_anyone_becomes_anything_but_text(visit, english):
    customer = visit(english)
    scripts = "document.querySelectorAll('script').length"
    customer.expect("#messages", "How can we help?")
    before = customer.page.evaluate(scripts)
    for attack in ATTACKS:
        customer.say(attack)
    staff = visit(english)
    staff.open_desk("alert(1)")
    for attack in ATTACKS:
        staff.page.fill("#answer-text", attack)
        staff.page.uncheck("#answer-close")
        with staff.page.expect_response("**/answers*"):
            staff.page.click("#answer-form [type=submit]")
    sync_api.expect(customer.page.locator("#messages .staff")).to_have_count(len(ATTACKS))
    customer.page.reload()
    customer.page.wait_for_selector("#messages .staff")
    for visitor, place in ((customer, "#messages"), (staff, "#desk-turns")):
        page = visitor.page
        assert page.evaluate(scripts) == before
        assert page.locator(f"{place} :is(img, script, a, iframe, [onerror], [onload])").count() == 0
        texts = "\n".join(visitor.texts(place))
        assert "<script>alert(1)</script>" in texts
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", page.inner_text("body"))
    customer.picture("desktop-attacks")


def test_markup_in_an_article_is_shown_as_it_is_written(visit, start_server, tmp_path_factory):
    address = start_server()["address"]
    folder = max(tmp_path_factory.getbasetemp().glob("workspace*"), key=lambda path: path.stat().st_mtime_ns)
    article = folder / "customer_service" / "knowledge" / "battery.md"
    article.write_text("# <img src=x onerror=alert(1)>\n\n<script>alert(2)</script> " + article.read_text())
    customer = visit(address)
    customer.say("How full should the battery be?")
    customer.page.click("#messages .source")
    customer.expect("#passage-title", "<img src=x onerror=alert(1)>")
    customer.expect("#passage-text", "<script>alert(2)</script>")
    assert customer.page.locator("#passage :is(img, script)").count() == 0


# --- looks


def fill_chat(visitor, *messages):
    visitor.page.wait_for_selector("#messages .welcome")
    for message in messages:
        visitor.say(message)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("is_dark", [False, True], ids=["light", "dark"])
def test_nothing_is_wider_than_the_screen(visit, english, size, is_dark, request):
    visitor = visit(english, size=size, is_dark=is_dark)
    fill_chat(visitor, "Where is my parcel?", "123456", "How full should the battery be?", "card " + "w" * 200)
    visitor.picture(f"{request.node.callspec.id}-chat")
    fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    assert visitor.page.evaluate(fits)
    visitor.say("Do you like the moon tonight? " + "x" * 100)
    visitor.open_desk("the moon tonight")
    assert visitor.page.evaluate(fits)
    visitor.picture(f"{request.node.callspec.id}-staff")
    visitor.page.click("#tab-monitoring")
    visitor.page.wait_for_selector("#trend svg")
    assert visitor.page.evaluate(fits)


def test_the_page_speaks_the_language_of_the_workspace_until_somebody_switches(visit, chinese):
    visitor = visit(chinese)
    visitor.expect("#messages", "有什么可以帮您？")
    fill_chat(visitor, "我的包裹在哪里？", "123456", "退货 几天内", "你喜欢诗歌吗")
    visitor.picture("chinese-chat")
    assert visitor.page.get_attribute("html", "lang") == "zh"
    visitor.open_desk("你喜欢诗歌吗")
    visitor.picture("chinese-staff")
    visitor.page.click("#language")
    visitor.expect("#desk-turns", "Time per step")
    visitor.page.reload()
    visitor.expect("#ask-send", "Send")


@pytest.mark.parametrize("is_dark", [False, True])
def test_text_stands_out_from_what_is_behind_it(visit, english, is_dark):
    """WCAG AA: a contrast of 4.5 for text, measured on colours as the browser computes them."""
    visitor = visit(english, is_dark=is_dark)
    fill_chat(visitor, "my refund?", "Do you like plays?")
    visitor.open_desk("Do you like plays?")
    poor = visitor.page.evaluate((Path(__file__).parent / "contrast.js").read_text("utf-8"))
    assert poor == []
