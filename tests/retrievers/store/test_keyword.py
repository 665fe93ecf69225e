"""Documents by their words, in step with the store they lie in."""

import contextlib
import logging
import threading
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llms.fakes import HashedEmbeddings
from retrievers import FaissStore
from retrievers.store.keyword_index import DocumentFrequencies, keyword_terms, search_words, word_shares

WORDS = ["red", "blue", "shoe", "sky", "退货", "包裹"]


@contextlib.contextmanager
def _words_of(texts):
    """The words of a store whose rows count from 1."""
    store = FaissStore(embedding=HashedEmbeddings(dimension=2))
    store.add_texts(texts, ids=[str(row) for row in range(1, len(texts) + 1)])
    with store._documents.database.reading() as connection:
        yield connection
    store.close()


def _search(texts, query, k=10, rows=None):
    with _words_of(texts) as connection:
        return search_words(connection, query, k, rows, frequencies=DocumentFrequencies())


def _found(texts, query, k=10):
    return [row for row, _ in _search(texts, query, k)]


def _shares(texts, query, others):
    with _words_of(texts) as connection:
        return word_shares(connection, query, others, frequencies=DocumentFrequencies())


def _ids(store, query):
    return {document.id for document, _ in store.keyword_search(query, 10)}


def test_words_are_found_by_their_stem_in_any_case():
    assert _found(["Returned parcels", "blue sky"], "RETURNING a parcel") == [1]


def test_chinese_is_found_by_its_words():
    assert _found(["我们接受七天内退货", "包裹在路上"], "退货要多久") == [1]
    assert _found(["我们接受七天内退货", "包裹在路上"], "包裹到了吗") == [2]


def test_chinese_that_is_cut_differently_in_question_and_text_is_found_by_pairs_of_characters():
    text, question = "乒乓球拍卖完了", "球拍"
    assert not set(keyword_terms(text)) & set(keyword_terms(question))
    assert _found([text, "天空很蓝"], question) == [1]


def test_chinese_beside_latin_letters_and_digits_is_cut_too():
    assert set(keyword_terms("用iPhone15手机7天退货")) >= {"iphone15", "手机", "7", "天", "退货"}
    assert _found(["买了iPhone手机", "天空"], "手机") == [1]


def test_a_single_chinese_character_is_a_word():
    assert list(keyword_terms("7天")) == ["7", "天"]


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("⽤户可以在⼀年内办理⼿机退货。", "手机"),
        ("手机退货", "⼿机"),
        ("这把⻓椅是马的", "长椅"),
        ("订单号ＶＴ－２０４９１８的凭证", "VT-204918"),
        (unicodedata.normalize("NFD", "Die Rückgabegebühr"), "RÜCKGABEGEBÜHR"),
        ("The oﬃce ﬂoor plan", "floor of the office"),
        ("The war\u00adranty covers it", "warranty"),
        ("The dis\u200bcount code", "ｄｉｓｃｏｕｎｔ"),
        ("ﾊﾞｯﾃﾘｰの交換", "バッテリー"),
        ("﨑山様のご注文", "崎山"),
        ("保\u2060修期两年", "保修期"),
        ("room ٢٠٤", "204"),
        ("CO₂ is measured", "co2"),
        ("it costs 79¹ euros", "79"),
    ],
)
def test_a_word_is_found_in_whatever_characters_it_is_written(text, question):
    assert _found([text, "blue sky", "天空很蓝"], question) == [1]
    assert _shares([text, "天空很蓝"], question, [text])[0] > 0


def test_the_number_of_a_note_makes_no_other_number():
    assert _found(["it costs 79¹ euros"], "791") == []


def test_rarer_words_count_more():
    texts = ["the red shoe", "the red hat", "the red bag", "the blue shoe"]
    assert _found(texts, "blue red")[0] == 4


def test_no_shared_word_finds_nothing():
    assert _found(["red shoe", "blue sky"], "green") == []
    assert _found(["red shoe"], "") == _found(["red shoe"], "?! ...") == []


def test_no_texts_and_texts_without_words_find_nothing():
    assert _found([], "shoe") == _found(["", "..."], "shoe") == []
    assert _found(["", "a shoe", "..."], "shoe") == [2]


def test_at_most_k_are_found_best_first():
    found = _search(["shoe", "shoe shoe hat", "hat", "shoe shoe shoe"], "shoe", 2)
    assert len(found) == 2
    assert found[0][1] >= found[1][1] > 0


def test_only_the_rows_asked_for_are_found_with_the_scores_they_have_anyway():
    texts = ["red shoe", "red hat", "red shoe red shoe", "sky"]
    everywhere = dict(_search(texts, "red shoe"))
    assert dict(_search(texts, "red shoe", rows=[1, 2, 4])) == {row: everywhere[row] for row in (1, 2)}
    assert _search(texts, "red shoe", 1, rows=[2]) == [(2, everywhere[2])]
    assert _search(texts, "red shoe", rows=[]) == []


def test_the_search_language_of_the_index_means_nothing():
    for query in ('shoe" OR "sky', "shoe*", "NOT shoe", "words:shoe", "shoe NEAR sky", "^shoe"):
        assert 1 in _found(["shoe", "hat"], query)


@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join), max_size=6),
    st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join),
)
def test_exactly_the_texts_that_share_a_word_are_found_unless_only_a_common_one(texts, query):
    words = set(query.split())
    with_words = {row for row, text in enumerate(texts, start=1) if words & set(text.split())}
    num_with = {word: sum(word in text.split() for text in texts) for word in words}
    rare = {word for word, count in num_with.items() if 0 < count <= 0.3 * len(texts)} or words
    with_rare = {row for row, text in enumerate(texts, start=1) if rare & set(text.split())}
    assert with_rare <= with_words
    assert set(_found(texts, query)) == with_rare


def test_rare_words_of_the_question_count_more_and_all_of_them_once_count_one():
    texts = ["red shoe", "red hat", "red shoe hat sky"]
    shares = _shares(texts, "red sky", texts)
    assert shares[2] == pytest.approx(1.0)
    assert 0 < shares[0] == shares[1] < 0.5
    assert _shares(texts, "", texts[:1]) == [0.0]
    assert _shares(texts, "never", texts[:2]) == [0.0, 0.0]


def test_a_share_is_the_one_worked_out_by_hand():
    # one of two words, in one of two documents each: half; it stands twice: 2 * 2.2 / (2 + 1.2) times as much
    assert _shares(["red shoe", "blue sky"], "shoe sky", ["shoe", "shoe shoe"]) == pytest.approx([0.5, 0.5 * 4.4 / 3.2])


@given(st.lists(st.sampled_from(WORDS), max_size=5), st.lists(st.sampled_from(WORDS), max_size=8))
def test_further_words_never_lower_a_share_and_it_has_a_ceiling(question, text):
    shares = _shares(["red shoe", "blue sky", "退货"], " ".join(question), [" ".join(text[:-1]), " ".join(text)])
    assert 0 <= shares[0] <= shares[1] <= 2.2


# --- in step with the store


def test_the_words_follow_every_change_of_the_store(tmp_path, embedding):
    with FaissStore(tmp_path / "store", embedding=embedding) as store:
        store.add_texts(["red shoe", "七天内可以退货"], ids=["shoe", "zh"])
        assert _ids(store, "shoe") == {"shoe"}
        store.add_texts(["blue hat"], ids=["shoe"])
        assert _ids(store, "shoe") == set()
        assert _ids(store, "hat") == {"shoe"}
        store.delete(["zh"])
        assert _ids(store, "退货") == set()
    with FaissStore(tmp_path / "store", embedding=embedding) as store:
        assert (_ids(store, "hat"), _ids(store, "shoe"), _ids(store, "退货")) == ({"shoe"}, set(), set())
        store.add_texts(["退货政策"], ids=["zh"])
        assert _ids(store, "退货") == {"zh"}
        store.delete()
        assert _ids(store, "hat 退货") == set()


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "delete"]),
        st.sampled_from("abc"),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
    ),
    max_size=8,
)


@given(_STEPS)
def test_after_any_changes_words_find_what_they_would_in_a_new_store(steps):
    changed, texts = FaissStore(embedding=HashedEmbeddings(dimension=16)), {}
    for kind, id_, text in steps:
        if kind == "add":
            changed.add_texts([text], ids=[id_])
            texts.pop(id_, None)
            texts[id_] = text
        else:
            changed.delete([id_])
            texts.pop(id_, None)
    new = FaissStore(embedding=HashedEmbeddings(dimension=16))
    new.add_texts(list(texts.values()), ids=list(texts))
    for word in WORDS:
        found = [
            [(document.id, score) for document, score in store.keyword_search(word, 5)] for store in (changed, new)
        ]
        assert found[0] == found[1]


def test_an_index_is_built_without_a_word_in_the_log(caplog):
    _found(["red shoe", "退货"], "退货")
    assert [record for record in caplog.records if record.levelno < logging.WARNING] == []


def test_threads_do_not_mix_their_stems():
    texts = {"running shoes": ["run", "shoe"], "returned parcels": ["return", "parcel"], "退货政策": ["退货", "政策"]}
    wrong = []

    def cut(text):
        wrong.extend(text for _ in range(50) if list(keyword_terms(text)) != texts[text])

    threads = [threading.Thread(target=cut, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_ids_by_words_are_those_of_the_search_by_words_and_its_common_words_can_be_left_out():
    store = FaissStore(embedding=HashedEmbeddings(dimension=2))
    store.add_texts([f"shoe {word}" for word in ("red", "blue", "green", "grey")], ids=list("abcd"))
    found = [document.id for document, _ in store.keyword_search("blue shoe", 4)]
    assert store.keyword_ids("blue shoe", 4) == found == ["b"]
    everything = store.keyword_ids("blue shoe", 4, max_word_share=1.0)
    assert everything[0] == "b"
    assert set(everything) == set("abcd")
    assert set(store.keyword_ids("shoe", 4, max_word_share=0.5)) == set("abcd")


def test_document_frequencies_follow_the_store():
    store = FaissStore(embedding=HashedEmbeddings(dimension=2))
    store.add_texts(["red shoe", "blue sky"], ids=["a", "b"])
    rare, common = store.word_shares("red sky", ["red"]), store.word_shares("red sky", ["sky"])
    assert rare == common
    store.add_texts(["red hat", "red sun"], ids=["c", "d"])
    assert store.word_shares("red sky", ["red"]) < store.word_shares("red sky", ["sky"])
    store.delete(["a", "c", "d"])
    assert store.word_shares("red sky", ["red"]) > store.word_shares("red sky", ["sky"])
