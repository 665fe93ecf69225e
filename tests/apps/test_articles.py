"""The passage around a citation, also where the article has become one that cannot be read."""

import os
from pathlib import Path

import docx
import pytest

from apps.articles import Articles
from chains.customer_service import Citation
from retrievers import ParserLimits, ParserProcess
from tests.retrievers.files import saved_bytes


@pytest.mark.parametrize("name", ["a.docx", "a.html", "a.md"])
def test_a_quote_is_shown_with_what_stands_around_it(tmp_path, name):
    document = docx.Document()
    document.add_paragraph("Keep it dry. Never freeze it.")
    raw = saved_bytes(document) if name == "a.docx" else b"Keep it dry. Never freeze it."
    (tmp_path / name).write_bytes(raw)
    passage = Articles(tmp_path).passage(Citation(source=name, start=13, end=29, quote="Never freeze it."))
    assert (passage.before, passage.quote, passage.is_current) == ("Keep it dry. ", "Never freeze it.", True)


@pytest.mark.parametrize("what", ["compute", "die", "keep 900000000"])
def test_an_article_that_would_hang_the_server_shows_no_quotes(tmp_path, what):
    (tmp_path / "a.html").write_text(what, encoding="utf-8")
    limits = ParserLimits(cpu_s=1, memory_bytes=100_000_000)
    articles = Articles(tmp_path, parser=ParserProcess(limits=limits, parser="tests.retrievers.parsers:misbehave"))
    citation = Citation(source="a.html", start=0, end=len(what), quote=what)
    assert not articles.passage(citation).is_current
    (tmp_path / "b.html").write_text("Never freeze it.", encoding="utf-8")
    assert articles.passage(Citation(source="b.html", start=0, end=16, quote="Never freeze it.")).is_current


def test_closing_the_articles_ends_the_process_that_reads_them(tmp_path):
    parser = ParserProcess(parser="tests.retrievers.parsers:misbehave")
    (document,) = parser.parse(b"pid", Path("a.html"), source="a.html")
    Articles(tmp_path, parser=parser).close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(document.page_content), 0)
