"""Import of langchain-community's FAISS folders: choice of the encoder, and the import itself."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from apps.errors import WorkspaceError
from apps.settings import load_settings
from apps.workspace_models import open_embeddings
from llms import LocalEmbeddings
from retrievers import FaissStore, ImportReport, read_langchain_faiss


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What an old store is called and what becomes of it; see `retrievers.import_langchain_faiss`."""

    index_name: str = "index"
    metric: Literal["cosine", "inner_product", "l2"] = "cosine"
    namespace: str | None = None
    reembed: bool = False
    check_vectors: bool = True


def choose_embeddings(workspace: Path | None, encoder: str | None) -> tuple[LocalEmbeddings, str]:
    """Return the encoder that is meant, and why: the one named, else the workspace's, else the default one.

    Raises:
        WorkspaceError: if a workspace is named that is none.
        ModelNotFoundError: if the encoder is not on this machine.
    """
    if encoder:
        return LocalEmbeddings(encoder), "as --encoder says"
    try:
        settings = load_settings(workspace)
    except WorkspaceError as error:
        if workspace is not None:
            raise
        return LocalEmbeddings(), f"the default: {error}; or an encoder with --encoder"
    return open_embeddings(settings), f"of the workspace {settings.workspace}"


def import_old_store(
    old: Path,
    out: Path,
    *,
    embedding: LocalEmbeddings,
    options: ImportOptions,
    on_progress: Callable[[int, int], object],
) -> ImportReport:
    """Store in `out` what a folder of langchain-community's FAISS holds; `out` is not touched if it cannot be read."""
    old_store = read_langchain_faiss(
        old,
        embedding=embedding,
        index_name=options.index_name,
        reembed=options.reembed,
        check_vectors=options.check_vectors,
    )
    with FaissStore(out, embedding=embedding, namespace=options.namespace, metric=options.metric) as store:
        return old_store.write_to(store, on_progress)
