"""Choice of back end and precision for a tagger's folder, and its opening."""

from pathlib import Path
from typing import TYPE_CHECKING

from llms.encoder.backend import OPENING, BackendChoice, choose_backend, refuse_adapter
from llms.manifest import TaggerManifest

if TYPE_CHECKING:
    from llms.tagger.token_tagger import TokenTagger


def open_tagger(
    folder: Path, manifest: TaggerManifest | None, *, engine: str, device: str, precision: str
) -> "TokenTagger":
    """Return the tagger of a folder; the same files are loaded once and then shared.

    Which back end "auto" takes, see `choose_backend`.

    Args:
        manifest: of a folder that `finetune_tagger` wrote; None for any other.

    Raises:
        EngineError: if OpenVINO is not installed, or cannot run this model closely enough to torch.
        ModelFolderError: if the folder or its base cannot be loaded.
        UnsupportedOptionError: if OpenVINO is asked for and the folder holds an adapter.
    """
    if manifest is not None and manifest.adapter:
        refuse_adapter(folder, engine=engine, precision=precision)
        engine = "torch"
    from llms.tagger.export import find_tagger_export

    chosen = choose_backend(
        engine=engine,
        precision=precision,
        device=device,
        find_export=lambda wanted: find_tagger_export(folder, precision=wanted),
    )
    with OPENING:
        return _open(folder, manifest, chosen)


def _open(folder: Path, manifest: TaggerManifest | None, chosen: BackendChoice) -> "TokenTagger":
    if chosen.engine == "openvino":
        from llms.tagger.export import export_tagger
        from llms.tagger.openvino import load_openvino_tagger

        return load_openvino_tagger(export_tagger(folder, manifest, precision=chosen.precision))
    from llms.tagger.torch_tagger import load_torch_tagger

    return load_torch_tagger(folder, manifest, device=chosen.device, precision=chosen.torch_precision)
