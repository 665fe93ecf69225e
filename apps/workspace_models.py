"""The models and vector stores of a workspace, opened; what was not built is named with the command that builds it."""

import functools
import shlex
from pathlib import Path

from langchain_core.language_models import BaseChatModel
from langchain_core.stores import BaseStore

from apps.errors import NotBuiltError
from apps.settings import STARTER_NAME, ModelSettings, Settings
from llms import LocalChatModel, LocalClassifier, LocalEmbeddings, SqliteByteStore
from retrievers import FaissStore
from retrievers.errors import StoreMismatchError

STARTER_FOLDER = Path(__file__).parent / "samples" / "starter_model"
_VECTOR_CACHE_BYTES = 2**30
_ADAPTER = "workspace"


def open_item_embeddings(settings: Settings) -> LocalEmbeddings:
    """Return the encoder for the texts of items, which encodes only those that it has not encoded before."""
    return open_embeddings(settings, cache=_open_vector_cache(settings))


def _open_vector_cache(settings: Settings) -> SqliteByteStore:
    return SqliteByteStore(settings.vector_cache, max_bytes=_VECTOR_CACHE_BYTES)


def open_embeddings(settings: Settings, *, cache: BaseStore[str, bytes] | None = None) -> LocalEmbeddings:
    """Return the encoder of a workspace; with a cache, it encodes only what it has not encoded before."""
    models = settings.models
    return LocalEmbeddings(
        models.encoder,
        engine=models.encoder_engine,
        precision=models.encoder_precision,
        device=models.device,
        allow_download=models.allow_download,
        cache=cache,
    )


def open_classifier(settings: Settings, name: str) -> LocalClassifier:
    """Return the classifier trained under `name`, or say how to train it."""
    folder = settings.models_folder / name
    if not folder.exists():
        raise NotBuiltError(say_not_built(folder, settings))
    return LocalClassifier(folder, device=settings.models.device)


def open_chat_model(settings: Settings, *, tenant: Path | None = None) -> BaseChatModel | None:
    """Return the chat model of a workspace, or None where none is set; all parts of one program share it.

    Tenants with the same model share its weights, but no prompt: how fast it answers one tells nothing of the others.

    Args:
        tenant: the main workspace of the tenant; default: this one.
    """
    if not settings.models.chat:
        return None
    adapter = str(settings.workspace / settings.models.chat_adapter) if settings.models.chat_adapter else ""
    return _open_chat_model_once(settings.models, str(tenant or settings.workspace), adapter)


@functools.lru_cache(maxsize=64)
def _open_chat_model_once(models: ModelSettings, cache_salt: str, adapter: str) -> BaseChatModel:
    """Return a chat model; "starter" is the one in this package."""
    thinking = {} if models.chat_thinking == "auto" else {"enable_thinking": models.chat_thinking == "on"}
    is_starter = models.chat == STARTER_NAME
    # no engine is faster for so small a model, and OpenVINO would export it into the package's folder
    engine = "torch" if is_starter and models.chat_engine == "auto" else models.chat_engine
    return LocalChatModel(
        model=str(STARTER_FOLDER) if is_starter else models.chat,
        engine=engine,
        precision=models.chat_precision,
        cache_salt=cache_salt,
        device=models.device,
        own_process=models.chat_process == "own",
        max_process_memory_mb=models.chat_memory_mb or None,
        max_kv_cache_mb=models.chat_cache_mb,
        max_tokens=models.chat_max_tokens,
        temperature=models.chat_temperature,
        template_options=thinking,
        adapters={_ADAPTER: adapter} if adapter else {},
        adapter=_ADAPTER if adapter else None,
        allow_download=models.allow_download,
    )


def open_store(settings: Settings, name: str, *, create: bool = False) -> FaissStore:
    """Return the store called `name`; all parts of one program that only read it share it.

    With `create` it is made if it is not there, and keeps the vectors of its texts for the next time.

    Raises:
        NotBuiltError: if it does not exist and `create` is false.
        StoreMismatchError: if it was built with another encoder.
    """
    folder = store_folder(settings, name)
    if not create and not folder.exists():
        raise NotBuiltError(say_not_built(folder, settings))
    try:
        return _open_store_once(folder, settings, keeps_vectors=create)
    except StoreMismatchError as error:
        encoder = shlex.quote(settings.models.encoder)
        msg = f"{error}; for that, run: tunechain models use {encoder} -w {shlex.quote(str(settings.workspace))}"
        raise StoreMismatchError(msg) from error


def store_folder(settings: Settings, name: str) -> Path:
    """Return where the store called `name` lies: the one built with this encoder, if there are several."""
    folder = settings.index_folder / name
    if not any(settings.index_folder.glob(f"{name}-*")):
        return folder
    own = store_folder_of(settings, name, encoder=open_embeddings(settings))
    return own if own.exists() else folder


def close_store(settings: Settings, name: str) -> None:
    """Release the files of a store that this program opened; whoever asks for it again opens it anew."""
    open_store(settings, name).close()
    _open_store_once.cache_clear()


def store_folder_of(settings: Settings, name: str, *, encoder: LocalEmbeddings) -> Path:
    """Return where a store lies that was built beside another one, with another encoder."""
    return settings.index_folder / f"{name}-{encoder.fingerprint}"


@functools.lru_cache(maxsize=8)
def _open_store_once(folder: Path, settings: Settings, *, keeps_vectors: bool) -> FaissStore:
    # for documents only: the vectors of people's questions are not for keeping
    cache = _open_vector_cache(settings) if keeps_vectors else None
    return FaissStore(folder, embedding=open_embeddings(settings, cache=cache))


def say_not_built(path: Path, settings: Settings) -> str:
    """Return what to run where something was not built yet."""
    return f"there is no {path} yet; build it with: tunechain quickstart {settings.workspace}"
