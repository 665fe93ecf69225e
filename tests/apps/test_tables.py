"""One table under one set of rules: every reader makes the same of it, or refuses it in the same words."""

import pytest

from apps.label_files import LabelColumns, read_labelled, read_unlabelled
from apps.lookups import read_lookups
from apps.readers import read_catalogue, read_events, read_known_surges
from llms.errors import TuneChainError
from llms.finetuning.data import read_labelled_texts, read_multi_label_texts, read_pairs, read_table
from retrievers import Item, ItemCatalogue, read_documents

CATALOGUE = ItemCatalogue([Item(id="a", title="A")])


def _ask(path):
    (tool,) = read_lookups(path.parent)
    return [tool.invoke({"order": "VT-1"})]


# name -> the table, how it is read, what is read
READERS = {
    "labels": ("text,label\n退货,x\nb,y\n", lambda path: [row.text for row in read_labelled_texts(path).rows]),
    "several labels": (
        "text,labels\n退货,x\nb,y\n",
        lambda path: [row.text for row in read_multi_label_texts(path).rows],
    ),
    "pairs": ("query,document\n退货,x\nb,y\n", lambda path: [row.query for row in read_pairs(path).rows]),
    "events": (
        "user,item,event,time\n退货,a,view,2026-01-01T00:00:00Z\nb,a,buy,2026-01-01T00:00:01Z\n",
        lambda path: [event.user for event in read_events(path, CATALOGUE)[0]],
    ),
    "items": (
        "id,title,description,tags,price,created\na,退货,,,1,\nb,b,,,2,\n",
        lambda path: [item.title for item in read_catalogue(path)[0].values()],
    ),
    "surges": (
        "topic,start,end\n退货,2026-03-19T06:00:00Z,2026-03-20T06:00:00Z\nb,2026-03-19T06:00:00Z,2026-03-20T06:00:00Z\n",
        lambda path: [surge.topic for surge in read_known_surges(path)],
    ),
    "lookup": ("order,text\nVT-1,退货\nVT-2,b\n", lambda path: [*_ask(path), "b"]),
    "texts to label": ("text,label\n退货,x\nb,\n", lambda path: read_unlabelled(path, LabelColumns())[0]),
    "labels of a session": (
        "text,label\n退货,x\nb,y\n",
        lambda path: [r.text for r in read_labelled(path, LabelColumns())[0]],
    ),
    "articles": (
        "text,lang\n退货,x\nb,y\n",
        lambda path: [document.page_content for document in read_documents([path])],
    ),
}


def _each_line(change):
    return lambda text: "".join(f"{change(number, line)}\n" for number, line in enumerate(text.splitlines())).encode()


FORMS = {
    "commas": str.encode,
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs that are announced": lambda text: ("sep=\t\r\n" + text.replace(",", "\t").replace("\n", "\r\n")).encode(),
    "lines in UTF-16": lambda text: text.replace(",", "|").encode("utf-16"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "a mark, and spaces around names": lambda text: text.replace(",", " , ", text.partition("\n")[0].count(",")).encode(
        "utf-8-sig"
    ),
    "the index of pandas": _each_line(lambda number, line: f"{number - 1},{line}" if number else f",{line}"),
    "a comma at the end of lines": _each_line(lambda _, line: f"{line},"),
    "only carriage returns": lambda text: text.replace("\n", "\r").encode(),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_takes_every_form_of_a_table(tmp_path, reader, form):
    text, read = READERS[reader]
    path = tmp_path / "tables" / "rows.csv"
    path.parent.mkdir()
    path.write_bytes(FORMS[form](text))
    assert read(path) == ["退货", "b"]


REFUSED = {
    "a column twice": (
        _each_line(lambda number, line: f"{line},{'z' if number else line.split(',')[0]}"),
        "names the column '[a-z]+' twice, as column 1 and column",
    ),
    "UTF-16 without a mark": (lambda text: (text * 6).encode("utf-16-le"), "iconv -f UTF-16LE"),
    "GB18030": (
        lambda text: text.replace("\nb,", "\n退,").replace(",b\n", ",退\n").encode("gb18030"),
        "iconv -f GB18030",
    ),
    "a name for no column": (
        _each_line(lambda number, line: f"{line},{'note' if number else ''}"),
        "no name for column",
    ),
}


@pytest.mark.parametrize("form", REFUSED)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_the_same_tables_in_the_same_words(tmp_path, reader, form):
    text, read = READERS[reader]
    if reader == "items":
        text = text.replace(",b,", ",退,")
    path = tmp_path / "tables" / "rows.csv"
    path.parent.mkdir()
    write, reason = REFUSED[form]
    path.write_bytes(write(text))
    with pytest.raises(TuneChainError, match=reason):
        read(path)


def test_a_few_rows_of_another_encoding_are_named_with_the_command(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(("text,label\n" + "please send it,x\n" * 9 + "请问退货要多久,y\n").encode("gb18030"))
    (rejected,) = read_table(path, ["text", "label"]).rejected
    assert rejected.line == 11
    assert "bytes that are not UTF-8; it can be read as GB18030" in rejected.reason
    assert "iconv -f GB18030 -t UTF-8" in rejected.reason
