"""Training rows: files, splits, duplicates and checks, whatever the task."""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.finetuning.data.chat_logs import is_log, plain_conversation, plain_message
    from llms.finetuning.data.checks import check_labelled_texts
    from llms.finetuning.data.conversations import Conversation, Conversations, read_conversations
    from llms.finetuning.data.examples import (
        ClassifierRow,
        LabelledText,
        LabelledTexts,
        MultiLabelText,
        MultiLabelTexts,
        labels_of,
    )
    from llms.finetuning.data.hard_negatives import pick_negatives
    from llms.finetuning.data.labelled_files import (
        check_training_rows,
        read_labelled_texts,
        read_multi_label_texts,
        spell_labels_like,
    )
    from llms.finetuning.data.labels import MergedLabel, cell_text, is_missing_word
    from llms.finetuning.data.pair_relations import KnownPositives, merge_pairs, same_text, split_pairs, unique_texts
    from llms.finetuning.data.pairs import TextPair, TextPairs, pairs_from_labels, read_pairs
    from llms.finetuning.data.report import DataReport
    from llms.finetuning.data.splits import draw, split_rows
    from llms.finetuning.data.tables import RejectedRow, Row, check_values, read_table, refuse_bad_file

__all__ = [
    "ClassifierRow",
    "Conversation",
    "Conversations",
    "DataReport",
    "KnownPositives",
    "LabelledText",
    "LabelledTexts",
    "MergedLabel",
    "MultiLabelText",
    "MultiLabelTexts",
    "RejectedRow",
    "Row",
    "TextPair",
    "TextPairs",
    "cell_text",
    "check_labelled_texts",
    "check_training_rows",
    "check_values",
    "draw",
    "is_log",
    "is_missing_word",
    "labels_of",
    "merge_pairs",
    "pairs_from_labels",
    "pick_negatives",
    "plain_conversation",
    "plain_message",
    "read_conversations",
    "read_labelled_texts",
    "read_multi_label_texts",
    "read_pairs",
    "read_table",
    "refuse_bad_file",
    "same_text",
    "spell_labels_like",
    "split_pairs",
    "split_rows",
    "unique_texts",
]

__getattr__ = lazy_names(
    __name__,
    {
        "chat_logs": ["is_log", "plain_conversation", "plain_message"],
        "checks": ["check_labelled_texts"],
        "conversations": ["Conversation", "Conversations", "read_conversations"],
        "examples": [
            "ClassifierRow",
            "LabelledText",
            "LabelledTexts",
            "MultiLabelText",
            "MultiLabelTexts",
            "labels_of",
        ],
        "hard_negatives": ["pick_negatives"],
        "labelled_files": [
            "check_training_rows",
            "read_labelled_texts",
            "read_multi_label_texts",
            "spell_labels_like",
        ],
        "labels": ["MergedLabel", "cell_text", "is_missing_word"],
        "pair_relations": ["KnownPositives", "merge_pairs", "same_text", "split_pairs", "unique_texts"],
        "pairs": ["TextPair", "TextPairs", "pairs_from_labels", "read_pairs"],
        "report": ["DataReport"],
        "splits": ["draw", "split_rows"],
        "tables": ["RejectedRow", "Row", "check_values", "read_table", "refuse_bad_file"],
    },
)
