"""Functions of plain text that every layer uses: checks, folding, words, sentences; bytes, CSV, JSON of files."""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.texts.checks import MAX_TEXT_CHARS, check_text
    from llms.texts.csv_table import CsvRow, CsvTable, guarded_row
    from llms.texts.decoding import decode_rows, decode_text, has_raw_bytes, likely_encoding
    from llms.texts.folding import fold_text, text_key
    from llms.texts.ids import Id, fold_id
    from llms.texts.records import JsonRecord, json_records, parse_record
    from llms.texts.scripts import CHINESE_SHARE, HAN, KANA, is_chinese, is_han
    from llms.texts.sentences import TextSpan, split_at, split_sentences
    from llms.texts.shares import show_share
    from llms.texts.strict_json import parse_json
    from llms.texts.visible import visible_text
    from llms.texts.words import token_spans

__all__ = [
    "CHINESE_SHARE",
    "HAN",
    "KANA",
    "MAX_TEXT_CHARS",
    "CsvRow",
    "CsvTable",
    "Id",
    "JsonRecord",
    "TextSpan",
    "check_text",
    "decode_rows",
    "decode_text",
    "fold_id",
    "fold_text",
    "guarded_row",
    "has_raw_bytes",
    "is_chinese",
    "is_han",
    "json_records",
    "likely_encoding",
    "parse_json",
    "parse_record",
    "show_share",
    "split_at",
    "split_sentences",
    "text_key",
    "token_spans",
    "visible_text",
]

__getattr__ = lazy_names(
    __name__,
    {
        "checks": ["MAX_TEXT_CHARS", "check_text"],
        "csv_table": ["CsvRow", "CsvTable", "guarded_row"],
        "decoding": ["decode_rows", "decode_text", "has_raw_bytes", "likely_encoding"],
        "folding": ["fold_text", "text_key"],
        "ids": ["Id", "fold_id"],
        "records": ["JsonRecord", "json_records", "parse_record"],
        "scripts": ["CHINESE_SHARE", "HAN", "KANA", "is_chinese", "is_han"],
        "sentences": ["TextSpan", "split_at", "split_sentences"],
        "shares": ["show_share"],
        "strict_json": ["parse_json"],
        "visible": ["visible_text"],
        "words": ["token_spans"],
    },
)
