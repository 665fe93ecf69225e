"""Documents by their words: BM25 in the store's own database, with Chinese cut into words."""

import functools
import logging
import math
import re
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

__all__ = [
    "KEYWORD_SCHEMA",
    "add_words",
    "drop_words",
    "remove_words",
    "search_words",
    "split_words",
    "word_shares",
]

# The texts stand in the table of documents; here only which words stand where. The second table counts them.
KEYWORD_SCHEMA = """
CREATE VIRTUAL TABLE keywords USING fts5 (words, content = '', tokenize = 'ascii');
CREATE VIRTUAL TABLE keyword_counts USING fts5vocab (keywords, row);
"""
_WORD = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+")
_HAN = re.compile(r"[\u3400-\u9fff]")
_STEMMER_LOCK = threading.Lock()  # a stemmer keeps the word it works on in itself
# A word in more documents than this hardly moves the order, but reading its postings takes most of the time.
_COMMON_SHARE = 0.3


def add_words(connection: sqlite3.Connection, row: int, text: str) -> None:
    """Make a document findable by its words."""
    connection.execute("INSERT INTO keywords (rowid, words) VALUES (?, ?)", (row, " ".join(split_words(text))))


def remove_words(connection: sqlite3.Connection, row: int, text: str) -> None:
    """Take a document's words out; such a table forgets a text only when it is told the text."""
    sql = "INSERT INTO keywords (keywords, rowid, words) VALUES ('delete', ?, ?)"
    connection.execute(sql, (row, " ".join(split_words(text))))


def drop_words(connection: sqlite3.Connection) -> None:
    """Take all words out."""
    connection.execute("INSERT INTO keywords (keywords) VALUES ('delete-all')")


def search_words(connection: sqlite3.Connection, query: str, k: int) -> list[tuple[int, float]]:
    """Return row numbers and BM25 scores of at most `k` documents that share a word with the query, best first.

    References:
        Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009; with k1 = 1.2 and
        b = 0.75, as SQLite's FTS5 computes it.
    """
    counts = _document_counts(connection, split_words(query))
    if not counts:
        return []
    ceiling = _COMMON_SHARE * _num_documents(connection)
    words = [word for word, count in counts.items() if count <= ceiling] or list(counts)
    match = " OR ".join(f'"{word}"' for word in words)  # of letters and digits only
    sql = "SELECT rowid, rank FROM keywords WHERE keywords MATCH ? ORDER BY rank LIMIT ?"
    return [(row, -rank) for row, rank in connection.execute(sql, (match, k))]


def word_shares(connection: sqlite3.Connection, query: str, texts: Sequence[str]) -> list[float]:
    """Return for each text the share of the query's words that stand in it, in [0, 1], rare words counting more.

    Unlike a BM25 score it does not grow with the query, so that a threshold on it has a meaning.
    """
    words = set(split_words(query))
    counts, total_documents = _document_counts(connection, words), _num_documents(connection)
    weights = {word: math.log(1 + total_documents / (1 + counts.get(word, 0))) for word in words}
    total = sum(weights.values())
    if not total:
        return [0.0] * len(texts)
    return [sum(weights[word] for word in words & _word_set(text)) / total for text in texts]


def _document_counts(connection: sqlite3.Connection, words: Iterable[str]) -> dict[str, int]:
    """Return in how many documents each word stands, without words that stand in none."""
    sql = "SELECT doc FROM keyword_counts WHERE term = ?"
    found = {word: connection.execute(sql, (word,)).fetchone() for word in dict.fromkeys(words)}
    return {word: record[0] for word, record in found.items() if record}


def _num_documents(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT value FROM manifest WHERE name = 'num_documents'").fetchone()[0])


def split_words(text: str) -> Iterator[str]:
    """Yield the words of a text in lower case, Chinese ones as cut by jieba, English ones by their stem.

    Example:
        >>> list(split_words("Returning shoes: 7天退货政策"))
        ['return', 'shoe', '7', '天', '退货', '政策']
    """
    for run in _WORD.findall(text.lower()):
        if _HAN.match(run):
            yield from (word for word in _chinese_cutter().cut_for_search(run) if word.strip())
        else:
            yield _stem(run)


@functools.lru_cache(maxsize=4_096)
def _word_set(text: str) -> frozenset[str]:
    return frozenset(split_words(text))


@functools.lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    with _STEMMER_LOCK:
        stem: str = _stemmer().stemWord(word)
    return stem


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@functools.cache
def _chinese_cutter() -> Any:
    import jieba

    jieba.setLogLevel(logging.WARNING)
    cutter = jieba.Tokenizer()
    # jieba keeps its dictionary as a file that can run code when it is read; never take one that others may write
    with tempfile.TemporaryDirectory() as private:
        cutter.tmp_dir = private
        cutter.initialize()
    return cutter
