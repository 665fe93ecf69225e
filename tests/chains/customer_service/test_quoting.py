"""Sentences, their places in the article, and the choice among them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from chains.customer_service import ServiceOptions
from chains.customer_service.quoting import SentenceVectors, best_sentences, split_passage
from llms.fakes import HashedEmbeddings
from retrievers import read_documents, split_documents
from tests.chains.customer_service.shops import ARTICLES, FixedRetriever, make_chain
from tests.lifted import LiftedEmbeddings

QUESTIONS = [
    "Which is the largest card the Halden One camera supports?",
    "how to format card slot 1",
    "Push the card until it clicks. And then?",
    "Keep the battery between 20 and 80 percent?",
    "签收后多少天内可以退货",
    "先申请再寄回吗",
]


def _texts(text, **metadata):
    return [sentence.text for sentence in split_passage(Document(text, metadata=metadata))]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("It is 15.5 cm wide. It weighs 2.5 kg.", ["It is 15.5 cm wide.", "It weighs 2.5 kg."]),
        ("Avoid heat, e.g. Sunlight. Done.", ["Avoid heat, e.g. Sunlight.", "Done."]),
        ("Cables, i.e. USB ones, vs. Plugs etc. are free.", ["Cables, i.e. USB ones, vs. Plugs etc. are free."]),
        ("Ask Dr. Voss. He knows.", ["Ask Dr. Voss.", "He knows."]),
        ("See no. 5 below. The answer is no. Try again.", ["See no. 5 below.", "The answer is no.", "Try again."]),
        ("Open at 8 a.m. on Monday.", ["Open at 8 a.m. on Monday."]),
        ("It is ready. eSIM works too. iPads as well.", ["It is ready.", "eSIM works too.", "iPads as well."]),
        ('He said "Go!" Then he left.', ['He said "Go!"', "Then he left."]),
        ('He said "go!" and left.', ['He said "go!" and left.']),
        ("**Note.** Keep it (dry.) Always...", ["**Note.**", "Keep it (dry.)", "Always..."]),
        ("Really?! Yes.", ["Really?!", "Yes."]),
        ("See voltaro.example/track. Thanks.", ["See voltaro.example/track.", "Thanks."]),
        ("签收后30天。可以退货！运费呢？免费；好", ["签收后30天。", "可以退货！", "运费呢？", "免费；", "好"]),
        ("他说“可以。”然后走了。", ["他说“可以。”", "然后走了。"]),
        ("重2.5千克。约15.5厘米", ["重2.5千克。", "约15.5厘米"]),
        ("真的吗？！是。", ["真的吗？！", "是。"]),
        ("1. Open the lid. Push.\n2. Close it.", ["1. Open the lid.", "Push.", "2. Close it."]),
        ("- First\n- 12. Second. Third", ["- First", "- 12. Second.", "Third"]),
        ("# What? Why\nText\n## More\n#1 choice", ["Text", "#1 choice"]),
        ("| A. B | C |\n|---|:-:|\n| D! E | F |", ["| A. B | C |", "| D! E | F |"]),
        ("```\nrun --fast\n```\n~~~\n", ["run --fast"]),
        ("line one\r\nline two\r\n", ["line one", "line two"]),
        ("。", ["。"]),
        ("...", ["..."]),
        ("", []),
        (" \n\t\n　", []),
    ],
)
def test_a_text_falls_into_these_sentences(text, sentences):
    assert _texts(text) == sentences


def test_the_title_before_the_body_is_not_quoted():
    assert _texts("Cables\n\nShort ones.", body_start=8) == ["Short ones."]


_PIECES = st.lists(st.sampled_from([*"aZ1.!?。！？；”\"')| \n\t\r　#-`", "e.g.", "15.5", "# ", "|--|", "```", " \x85"]))


@given(st.text() | _PIECES.map("".join), st.integers(0, 5))
def test_sentences_of_any_text_stand_where_they_say_in_order_and_apart(text, body_start):
    passage = Document(text, metadata={"body_start": body_start, "start": 100, "source": "a.md"})
    end = body_start
    for sentence in split_passage(passage):
        assert sentence.text == sentence.text.strip() != ""
        assert text[sentence.offset : sentence.offset + len(sentence.text)] == sentence.text
        assert sentence.offset >= end
        end = sentence.offset + len(sentence.text)
        citation = sentence.citation()
        assert (citation.start, citation.end - citation.start) == (
            100 + sentence.offset - body_start,
            len(citation.quote),
        )


@given(st.text(alphabet=st.characters(exclude_characters="#|`~\r", exclude_categories=["Cc", "Cs"])))
def test_no_word_is_lost(text):
    assert "".join("".join(_texts(text)).split()) == "".join(text.split())


@pytest.mark.parametrize("chunk_chars", [800, 60])
def test_every_sentence_of_every_article_is_found_at_its_place_in_the_file(articles, chunk_chars):
    chunks = split_documents(read_documents([articles]), chunk_chars=chunk_chars)
    citations = [sentence.citation() for chunk in chunks for sentence in split_passage(chunk)]
    assert {citation.source for citation in citations} == set(ARTICLES)
    for citation in citations:
        text = (articles / citation.source).read_text(encoding="utf-8")
        assert text[citation.start : citation.end] == citation.quote


@pytest.mark.parametrize("question", QUESTIONS)
def test_quotes_are_words_of_one_article_in_reading_order(articles, question):
    reply = make_chain(articles, options=ServiceOptions(min_relevance=0)).invoke(question)
    assert reply.route == "answer"
    assert len({citation.source for citation in reply.citations}) == 1
    assert 1 <= len(reply.citations) <= 3
    assert [citation.start for citation in reply.citations] == sorted(citation.start for citation in reply.citations)
    text = (articles / reply.citations[0].source).read_text(encoding="utf-8")
    assert all(text[citation.start : citation.end] == citation.quote for citation in reply.citations)
    place = 0
    for citation in reply.citations:  # the answer is made of its quotes and nothing else
        place = reply.text.index(citation.quote, place) + len(citation.quote)
    assert len(reply.text) - sum(len(citation.quote) for citation in reply.citations) <= len(reply.citations)


def test_quotes_of_chinese_follow_each_other_without_a_space(articles):
    page = Document("kettle 。kettle ！kettle ok. kettle ？", metadata={"source": "a.md"})
    chain = make_chain(
        articles, retriever=FixedRetriever(documents=[page]), options=ServiceOptions(max_sentences=4, min_relevance=0)
    )
    assert chain.invoke("kettle").text == "kettle 。kettle ！kettle ok. kettle ？"


def _best(question, *passages, **options):
    chosen = best_sentences(question, passages, vectors=SentenceVectors(HashedEmbeddings()), **options)
    return [sentence.text for sentence in chosen]


def test_the_sentence_that_shares_the_question_is_best():
    page = Document("Red shoes are here. Blue kettles boil water. Green hats are gone.")
    assert _best("blue kettles boil water", page, max_sentences=1) == ["Blue kettles boil water."]


def test_the_title_counts_for_every_sentence_of_its_article():
    about = Document("It lasts long.", metadata={"source": "a", "title": "kettle"})
    other = Document("It lasts long.", metadata={"source": "b", "title": "hat"})
    chosen = best_sentences("kettle", [other, about], vectors=SentenceVectors(HashedEmbeddings()))
    assert [sentence.source for sentence in chosen] == ["a"]


def test_sentences_without_a_source_are_of_one_article_only_if_of_one_passage():
    passages = [Document("blue kettle.", id="a"), Document("blue kettle.", id="b")]
    chosen = best_sentences("blue kettle", passages, vectors=SentenceVectors(HashedEmbeddings()))
    assert [sentence.source for sentence in chosen] == ["a"]


def test_sentences_far_from_the_best_are_left_out_and_no_more_are_taken_than_asked():
    page = Document("\n".join(["blue kettle one"] * 4 + ["nothing of it"]), metadata={"source": "a"})
    assert _best("blue kettle one", page) == ["blue kettle one"] * 3
    assert _best("blue kettle one", page, max_sentences=9) == ["blue kettle one"] * 4


def test_without_sentences_nothing_is_chosen():
    assert _best("question") == []
    assert _best("question", Document("# Heading")) == []
    assert _best("", Document("Text.")) == ["Text."]


def test_a_long_line_is_split_in_time_that_grows_with_its_length():
    assert len(_texts("Short one. " * 50_000)) == 50_000


LAMPS = "| Lamp | height in cm | weight in kg |\n| --- | --- | --- |\n"


def _lamp_rows():
    return [f"| lamp{place:02} | {20 + place} | {1 + place / 10} |" for place in range(60)]


@pytest.mark.parametrize("number", [0, 12, 41, 59])
def test_one_row_of_a_long_table_is_the_answer_with_the_names_of_its_columns(tmp_path, number):
    text = "# Sizes of our lamps\n\n" + LAMPS + "\n".join(_lamp_rows())
    (tmp_path / "lamps.md").write_text(text, encoding="utf-8")
    chain = make_chain(tmp_path, options=ServiceOptions(max_sentences=1, min_relevance=0))
    reply = chain.invoke(f"weight in kg of lamp{number:02}")
    assert reply.text == f"Lamp: lamp{number:02}; height in cm: {20 + number}; weight in kg: {1 + number / 10}."
    (citation,) = reply.citations
    assert text[citation.start : citation.end] == citation.quote == _lamp_rows()[number]


@pytest.mark.parametrize(
    ("text", "body_start", "shown"),
    [
        (LAMPS + "| a | 1 | 2 |", 0, ["Lamp: a; height in cm: 1; weight in kg: 2."]),
        (LAMPS + "| a | | 2 | more |", len(LAMPS), ["Lamp: a; weight in kg: 2; more."]),
        ("Title\n\n" + LAMPS + "| a \\| b | 1 |\n\nText.", 7 + len(LAMPS), ["Lamp: a | b; height in cm: 1.", "Text."]),
        ("|台灯|重量|\n|-|-|\n|甲|2|", 0, ["台灯：甲；重量：2。"]),
        (LAMPS + "\n| other | table |", 0, ["| other | table |"]),
    ],
)
def test_a_row_names_its_columns(text, body_start, shown):
    passage = Document(text, metadata={"body_start": body_start})
    assert [sentence.shown for sentence in split_passage(passage) if not sentence.is_header] == shown


def test_the_header_of_a_table_is_no_answer():
    page = Document(LAMPS + "| Larch | 1 | 2 |\n| Balsa | 3 | 4 |")
    assert _best("Lamp height in cm weight in kg Balsa", page, max_sentences=1) == ["| Balsa | 3 | 4 |"]
    assert _best("Lamp", Document(LAMPS)) == [LAMPS.split("\n")[0]]


def test_a_number_that_names_a_row_is_no_part_of_another_number():
    page = Document(LAMPS + "| type 13 | 40 | 2.10 |\n| type 40 | 13.20 | 13.50 |")
    assert _best("height of lamp type 13", page, max_sentences=1) == ["| type 13 | 40 | 2.10 |"]


def test_the_sentences_do_not_depend_on_where_an_encoders_cosines_begin():
    text = "Wash the blue kettle in cold water. The kettle is blue. We open at nine. Our chief likes poems and tea."
    passages = [Document(text, metadata={"source": "a.md", "title": "Kettles", "relevance": 0.6})]
    plain, lifted = (
        best_sentences("wash the kettle", passages, vectors=SentenceVectors(LiftedEmbeddings(lift=lift)))
        for lift in (0.0, 0.9)
    )
    assert [sentence.text for sentence in lifted] == [sentence.text for sentence in plain]
    assert len(plain) < 4
