"""Finding: documents, items and neighbours, by meaning and by words.

Here belongs everything that searches: files to documents, chunks, stores, retrievers, item lists and who
touched what. Nothing here knows what an answer is for. Importing this package loads no model library. Public besides
the names below: `errors` and `metrics`.
"""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from retrievers.chunking import split_documents
    from retrievers.collaborative import FactorRecommender, ItemItemRecommender, PopularityRecommender
    from retrievers.document_index import FaissDocumentIndex
    from retrievers.documents import (
        FoundFiles,
        PassedOverFile,
        SourceFile,
        find_files,
        is_plain_text,
        list_files,
        parse_file,
        read_bytes,
        read_documents,
    )
    from retrievers.event_times import CLOCK_TOLERANCE, EventTime, PastTime, utc_now
    from retrievers.faiss_store import FaissStore
    from retrievers.fusion import fuse_rankings
    from retrievers.hybrid import HybridRetriever
    from retrievers.importing.langchain_faiss import ImportReport, import_langchain_faiss, read_langchain_faiss
    from retrievers.interactions import (
        INTEREST_KINDS,
        UNWANTED_KINDS,
        DatedEvent,
        Event,
        EventColumns,
        EventKind,
        EventWeights,
        Interactions,
        different_events,
        identify_event,
        sum_strengths,
    )
    from retrievers.items import Item, ItemCatalogue
    from retrievers.nearest import nearest_rows
    from retrievers.neighbours import NeighbourRecommender
    from retrievers.parser_process import ParserLimits, ParserProcess
    from retrievers.readers.html_text import read_html
    from retrievers.store.keyword_index import keyword_terms
    from retrievers.threshold import FittedThreshold, LabelledQuestion, fit_min_relevance

__all__ = [
    "CLOCK_TOLERANCE",
    "INTEREST_KINDS",
    "UNWANTED_KINDS",
    "DatedEvent",
    "Event",
    "EventColumns",
    "EventKind",
    "EventTime",
    "EventWeights",
    "FactorRecommender",
    "FaissDocumentIndex",
    "FaissStore",
    "FittedThreshold",
    "FoundFiles",
    "HybridRetriever",
    "ImportReport",
    "Interactions",
    "Item",
    "ItemCatalogue",
    "ItemItemRecommender",
    "LabelledQuestion",
    "NeighbourRecommender",
    "ParserLimits",
    "ParserProcess",
    "PassedOverFile",
    "PastTime",
    "PopularityRecommender",
    "SourceFile",
    "different_events",
    "find_files",
    "fit_min_relevance",
    "fuse_rankings",
    "identify_event",
    "import_langchain_faiss",
    "is_plain_text",
    "keyword_terms",
    "list_files",
    "nearest_rows",
    "parse_file",
    "read_bytes",
    "read_documents",
    "read_html",
    "read_langchain_faiss",
    "split_documents",
    "sum_strengths",
    "utc_now",
]

__getattr__ = lazy_names(
    __name__,
    {
        "chunking": ["split_documents"],
        "collaborative": ["FactorRecommender", "ItemItemRecommender", "PopularityRecommender"],
        "document_index": ["FaissDocumentIndex"],
        "documents": [
            "FoundFiles",
            "PassedOverFile",
            "SourceFile",
            "find_files",
            "is_plain_text",
            "list_files",
            "parse_file",
            "read_bytes",
            "read_documents",
        ],
        "event_times": ["CLOCK_TOLERANCE", "EventTime", "PastTime", "utc_now"],
        "faiss_store": ["FaissStore"],
        "fusion": ["fuse_rankings"],
        "hybrid": ["HybridRetriever"],
        "importing.langchain_faiss": ["ImportReport", "import_langchain_faiss", "read_langchain_faiss"],
        "interactions": [
            "INTEREST_KINDS",
            "UNWANTED_KINDS",
            "different_events",
            "DatedEvent",
            "Event",
            "EventColumns",
            "EventKind",
            "EventWeights",
            "Interactions",
            "identify_event",
            "sum_strengths",
        ],
        "items": ["Item", "ItemCatalogue"],
        "nearest": ["nearest_rows"],
        "neighbours": ["NeighbourRecommender"],
        "parser_process": ["ParserLimits", "ParserProcess"],
        "readers.html_text": ["read_html"],
        "store.keyword_index": ["keyword_terms"],
        "threshold": ["FittedThreshold", "LabelledQuestion", "fit_min_relevance"],
    },
)
