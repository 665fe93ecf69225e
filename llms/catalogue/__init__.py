"""Published models by name: the catalogue, fetching them, and turning their files into model folders.

Read in this order: `entries` (what is in `models.yaml`), `adding` (from a reference to a folder among the models of
this machine), `packages` (data files from the package index), `gguf_file` and `e5_file` (files to model folders),
`trimming` (encoders with fewer words).
"""

from typing import TYPE_CHECKING

from llms.lazy_names import lazy_names

if TYPE_CHECKING:
    from llms.catalogue.adding import AddedModel, add_model, check_added, find_missing, list_added, remove_model
    from llms.catalogue.entries import CatalogueEntry, read_catalogue, suggest_encoder
    from llms.catalogue.trimming import trim_model

__all__ = [
    "AddedModel",
    "CatalogueEntry",
    "add_model",
    "check_added",
    "find_missing",
    "list_added",
    "read_catalogue",
    "remove_model",
    "suggest_encoder",
    "trim_model",
]

__getattr__ = lazy_names(
    __name__,
    {
        "adding": ["AddedModel", "add_model", "check_added", "find_missing", "list_added", "remove_model"],
        "entries": ["CatalogueEntry", "read_catalogue", "suggest_encoder"],
        "trimming": ["trim_model"],
    },
)
