"""Keyword index: BM25 on SQLite FTS5 in the store's own database, with Chinese cut into words."""

import collections
import functools
import importlib.metadata
import json
import math
import re
import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from llms.texts import HAN, fold_text
from llms.texts.chinese_words import chinese_cutter
from retrievers.store.manifest import read_manifest

# The texts stand in the table of documents; here only which words stand where, and two views of that.
KEYWORD_SCHEMA = (
    "CREATE VIRTUAL TABLE keywords USING fts5 (words, content = '', tokenize = 'ascii')",
    "CREATE VIRTUAL TABLE keyword_counts USING fts5vocab (keywords, row)",
    "CREATE VIRTUAL TABLE keyword_places USING fts5vocab (keywords, instance)",
)
_PLACES = "SELECT term, sum(doc), count(*) FROM keyword_places GROUP BY term"  # reads everything
_COUNT = "SELECT cnt FROM keyword_counts WHERE term = ?"  # looks it up, as a search does
_LENGTHS = "SELECT id, ifnull(CAST(sz AS BLOB), x'') FROM keywords_docsize"
_TOTALS = "SELECT ifnull(CAST(block AS BLOB), x'') FROM keywords_data WHERE id = 1"
_LENGTH_WEIGHT = 2**32 + 15  # a prime above every checksum of a word
_RULES = 5  # of _terms, raised with every change of it
_KATAKANA = "ァ-ヺー-ヿ"  # words of their own in Japanese, which puts no space after them
_WORD = re.compile(rf"[{HAN}]+|[{_KATAKANA}]+|[^\W_{HAN}{_KATAKANA}]+")
_HAN = re.compile(f"[{HAN}]")
_HAN_RUN = re.compile(f"[{HAN}]+")
_STEMMER_LOCK = threading.Lock()  # a stemmer keeps the word it works on in itself
# A word in more documents than this hardly moves the order, but reading its postings takes most of the time.
COMMON_SHARE = 0.3
_MAX_KNOWN_WORDS = 100_000
_TERM_SATURATION = 1.2  # k1 of BM25


def add_words(connection: sqlite3.Connection, row: int, text: str) -> int:
    """Make a document findable by its words, and return what it adds to `sum_words`."""
    words = list(_terms(text))
    connection.execute("INSERT INTO keywords (rowid, words) VALUES (?, ?)", (row, " ".join(words)))
    return _share_of_sum(row, words)


def remove_words(connection: sqlite3.Connection, row: int, text: str) -> int:
    """Take a document's words out, and return what it had added to `sum_words`."""
    words = list(_terms(text))
    # such a table forgets a text only when it is told the text
    sql = "INSERT INTO keywords (keywords, rowid, words) VALUES ('delete', ?, ?)"
    connection.execute(sql, (row, " ".join(words)))
    return _share_of_sum(row, words)


def drop_words(connection: sqlite3.Connection) -> None:
    """Take all words out, also where the table is damaged."""
    for table in ("keyword_places", "keyword_counts", "keywords"):
        connection.execute(f"DROP TABLE {table}")
    for statement in KEYWORD_SCHEMA:
        connection.execute(statement)


def sum_words(connection: sqlite3.Connection) -> int:
    """Return a number that changes whenever a word, its document, or a document's length does; -1 if damage shows."""
    try:
        places = connection.execute(_PLACES).fetchall()
        are_found = all(connection.execute(_COUNT, (word,)).fetchone() == (count,) for word, _, count in places)
        lengths = [(row, _read_numbers(sizes)[0]) for row, sizes in connection.execute(_LENGTHS)]
        totals = connection.execute(_TOTALS).fetchone()
    except (sqlite3.DatabaseError, IndexError, TypeError):
        return -1
    # FTS5 weighs by the number of documents and of words, which it keeps apart from the words
    num_words = sum(length for _, length in lengths)
    if not are_found or (lengths and _read_numbers(totals[0])[:2] != [len(lengths), num_words]):
        return -1
    by_place: int = sum(_word_checksum(word) * rows for word, rows, _ in places)
    by_length: int = sum(row * length for row, length in lengths)
    return by_place + _LENGTH_WEIGHT * by_length


def words_rules() -> str:
    """Return a name that changes whenever a text is cut differently: then the words are made anew."""
    return f"{_RULES} jieba {importlib.metadata.version('jieba')} {importlib.metadata.version('snowballstemmer')}"


class DocumentFrequencies:
    """In how many documents words stand, remembered until the store changes: counting takes as long as searching."""

    def __init__(self) -> None:
        self._known: tuple[int, dict[str, int]] = (-1, {})  # commits of the store, word -> number of documents

    def of(self, connection: sqlite3.Connection, words: Iterable[str]) -> tuple[dict[str, int], int]:
        """Return in how many documents each word stands, without words that stand in none; and how many there are."""
        manifest = read_manifest(connection)
        known = self._known
        if known[0] != manifest["num_commits"] or len(known[1]) > _MAX_KNOWN_WORDS:
            # another thread may still read an earlier state of the store: it goes on with a dict of its own
            known = self._known = (manifest["num_commits"], {})
        counts, asked = known[1], list(dict.fromkeys(words))
        if new := [word for word in asked if word not in counts]:
            counts.update(dict.fromkeys(new, 0) | _document_counts(connection, new))
        return {word: counts[word] for word in asked if counts[word]}, manifest["num_documents"]


def search_words(
    connection: sqlite3.Connection,
    query: str,
    k: int,
    rows: Sequence[int] | None = None,
    *,
    frequencies: DocumentFrequencies,
    max_word_share: float = COMMON_SHARE,
) -> list[tuple[int, float]]:
    """Return row numbers and BM25 scores of at most `k` documents that share a word with the query, best first.

    Args:
        rows: which may be found; None allows all. The scores do not depend on it.
        max_word_share: words that stand in more of the documents are left out, unless the query has no others.

    References:
        Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; with k1 = 1.2 and
        b = 0.75, as SQLite's FTS5 computes it.
    """
    counts, num_documents = frequencies.of(connection, _terms(query))
    if not counts:
        return []
    ceiling = max_word_share * num_documents
    words = [word for word, count in counts.items() if count <= ceiling] or list(counts)
    match = " OR ".join(f'"{word}"' for word in words)  # of letters and digits only
    # the plus keeps SQLite from looking every row up by itself, each with a search of its own
    among = "" if rows is None else " AND +rowid IN (SELECT value FROM json_each(?))"
    sql = f"SELECT rowid, rank FROM keywords WHERE keywords MATCH ?{among} ORDER BY rank LIMIT ?"  # noqa: S608
    values = (match, k) if rows is None else (match, json.dumps([int(row) for row in rows]), k)
    return [(row, -rank) for row, rank in connection.execute(sql, values)]


def word_shares(
    connection: sqlite3.Connection, query: str, texts: Sequence[str], *, frequencies: DocumentFrequencies
) -> list[float]:
    """Return how much of the query stands in each text: 0 for none of its words, 1 for every word once.

    Rare words count more, and a word that stands often up to 2.2 times, so that a text may reach 2.2. Unlike a BM25
    score it does not grow with the query, so that a threshold on it has a meaning.

    References:
        The term weights of BM25 (see `search_words`) without the length of texts, over their sum for a text that has
        every word once; rarity as in Apache Lucene's BM25Similarity, log(1 + (N - n + 0.5) / (n + 0.5)), which stays
        positive.
    """
    words = set(keyword_terms(query))
    counts, total_documents = frequencies.of(connection, words)
    weights = {word: _rarity(counts.get(word, 0), total_documents) for word in words}
    total = sum(weights.values())
    if not total:
        return [0.0] * len(texts)
    chinese = {word: weight for word, weight in weights.items() if _HAN.match(word)}
    others = {word: weight for word, weight in weights.items() if word not in chinese}
    return [_weighted_sum(chinese, others, text) / total for text in texts]


def _rarity(count: int, total_documents: int) -> float:
    return math.log(1 + (max(total_documents, count) - count + 0.5) / (count + 0.5))


def _weighted_sum(chinese: Mapping[str, float], others: Mapping[str, float], text: str) -> float:
    folded, stems = _folded_with_stems(text)
    counts = [(weight, stems.get(word, 0)) for word, weight in others.items()]
    # cutting Chinese texts takes longer than all the rest of a search, and might cut the question's words apart
    counts += [(weight, folded.count(word)) for word, weight in chinese.items()]
    return sum(
        weight * count * (_TERM_SATURATION + 1) / (count + _TERM_SATURATION) for weight, count in counts if count
    )


def _document_counts(connection: sqlite3.Connection, words: Sequence[str]) -> dict[str, int]:
    # one value of one row: at each step of SQLite another thread may take the interpreter
    sql = (
        "SELECT json_group_object(term, doc) FROM json_each(?) AS asked CROSS JOIN keyword_counts ON term = asked.value"
    )
    (found,) = connection.execute(sql, (json.dumps(words),)).fetchone()
    counts: dict[str, int] = json.loads(found)
    return counts


def _share_of_sum(row: int, words: Sequence[str]) -> int:
    return row * (sum(map(_word_checksum, words)) + _LENGTH_WEIGHT * len(words))


def _read_numbers(record: bytes) -> list[int]:
    """Return the numbers in a record of FTS5: seven bits a byte, highest first, the last byte of each below 128."""
    numbers, value = [], 0
    for byte in record:
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            numbers.append(value)
            value = 0
    return numbers


@functools.lru_cache(maxsize=100_000)
def _word_checksum(word: str) -> int:
    return zlib.crc32(word.encode())


def keyword_terms(text: str) -> Iterator[str]:
    """Yield the words of a text as `fold_text` writes them, Chinese ones as cut by jieba, English ones by their stem.

    Example:
        >>> list(keyword_terms("Returning shoes: 7天退货政策"))
        ['return', 'shoe', '7', '天', '退货', '政策']
    """
    yield from _words_of(fold_text(text))


def _words_of(folded: str) -> Iterator[str]:
    if folded.isascii():  # nothing to cut
        yield from map(_stem, _WORD.findall(folded))
        return
    for run in _WORD.findall(folded):
        if _HAN.match(run):
            yield from (word for word in chinese_cutter().cut_for_search(run) if word.strip())
        else:
            yield _stem(run)


def _terms(text: str) -> Iterator[str]:
    """Yield what a text is found by: its words, and every pair of neighbouring Chinese characters.

    Question and text are often cut differently; the pairs are the same in both. A word of two characters comes twice.

    References:
        Nie, Gao, Zhang and Zhou, "On the use of words and n-grams for Chinese information retrieval", IRAL 2000.
    """
    folded = fold_text(text)
    yield from _words_of(folded)
    if folded.isascii():
        return
    for run in _HAN_RUN.findall(folded):
        yield from (run[place : place + 2] for place in range(len(run) - 1))


@functools.lru_cache(maxsize=10_000)  # about 7 KB each
def _folded_with_stems(text: str) -> tuple[str, Mapping[str, int]]:
    """Return the folded text, and how often each word that is not Chinese stands in it."""
    folded = fold_text(text)
    return folded, collections.Counter(_stem(run) for run in _WORD.findall(folded) if not _HAN.match(run))


@functools.lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    with _STEMMER_LOCK:
        stem: str = _stemmer().stemWord(word)
    return stem


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")
