"""The page brings everything itself, runs no inline code, and its files come from a fixed list."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest

import apps
from apps.workspace import Language

WEB = Path(apps.__file__).parent / "web"
SCRIPTS = sorted(WEB.glob("*.js"))
WORDS = (WEB / "words.js").read_text("utf-8")


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text inside scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.inline = ""
        self._inside = None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = None

    def handle_data(self, data):
        if self._inside in {"script", "style"}:
            self.inline += data.strip()


@pytest.mark.parametrize("address", ["/", "/docs"])
def test_a_page_has_no_inline_code_and_no_remote_resource(client, address):
    reply = client.get(address)
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    elements = Elements(reply.text)
    assert elements.inline == ""
    for tag, attributes in elements.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        for name in ("src", "href", "action"):
            assert attributes.get(name, "/").startswith(("/", "#")), attributes
            assert not attributes.get(name, "/").startswith("//")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((path.name, "text/javascript") for path in SCRIPTS),
        ("words.en.json", "application/json"),
        ("words.zh.json", "application/json"),
        ("style.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
    ],
)
def test_the_files_of_the_page_are_sent_with_their_type(client, name, kind):
    reply = client.get(f"/static/{name}")
    assert reply.headers["content-type"].startswith(kind)
    assert reply.content == (WEB / name).read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "../report.py",
        "..%2freport.py",
        "%2e%2e/settings.py",
        "..%5creport.py",
        "report.html",
        "index.html",
        "",
        "app.js/",
        "app.js%00",
        "%2fetc%2fpasswd",
        "./app.jsx",
    ],
)
def test_no_other_file_is_sent(client, name):
    assert client.get(f"/static/{name}", follow_redirects=False).status_code in {404, 307}
    assert "import" not in client.get(f"/static/{name}").text or name == "app.js/"


def test_every_reference_of_the_page_can_be_fetched(client):
    for _, attributes in Elements(client.get("/").text).found:
        for name in ("src", "href"):
            if name in attributes:
                assert client.get(attributes[name]).status_code == 200


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_texts_become_text_nodes_only(path):
    source = path.read_text("utf-8")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|https?://(?!www\.w3)", source
    )


def test_every_module_that_is_imported_is_sent(client):
    imported = {name for path in SCRIPTS for name in re.findall(r'from "([^"]+)"|^import "([^"]+)"', path.read_text())}
    for address in {"".join(pair) for pair in imported}:
        assert client.get(address).status_code == 200
    assert len(imported) > 5


def words_of(language):
    return json.loads((WEB / f"words.{language}.json").read_text("utf-8"))


def test_every_language_has_every_word_of_the_page():
    languages = {path.name.split(".")[1] for path in WEB.glob("words.*.json")}
    assert languages == set(get_args(Language)) == set(re.findall(r'"(\w+)"', re.findall(r"LANGUAGES = .*", WORDS)[0]))
    english = words_of("en")["page"]
    assert len(english) > 50
    for language in languages:
        assert list(words_of(language)["page"]) == list(english)
        for key, text in words_of(language)["page"].items():
            assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", english[key])), key


def test_every_word_of_the_page_is_in_the_table():
    used = re.findall(r'data-(?:text|placeholder|label)="(\w+)"', (WEB / "index.html").read_text("utf-8"))
    for path in SCRIPTS:
        used += re.findall(r'\bsay\("(\w+)"', path.read_text("utf-8"))
    assert set(used) <= set(words_of("en")["page"])


def test_tabs_and_panels_belong_together(client):
    found = Elements(client.get("/").text).found
    by_id = {attributes["id"]: attributes for _, attributes in found if "id" in attributes}
    tabs = [attributes for attributes in by_id.values() if attributes.get("role") == "tab"]
    assert len(tabs) == 3
    assert [tab.get("tabindex") for tab in tabs] == [None, "-1", "-1"]
    for tab in tabs:
        assert by_id[tab["aria-controls"]]["aria-labelledby"] == tab["id"]


def test_the_description_lists_every_route(client):
    page = client.get("/docs").text
    for path in client.get("/openapi.json").json()["paths"]:
        assert path in page
    assert "&lt;" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)


def test_the_description_is_made_once(app, client, monkeypatch):
    first = client.get("/docs").text

    def make_again():
        raise AssertionError

    monkeypatch.setattr(app, "openapi", make_again)
    assert client.get("/docs").text == first
