"""Exports of transformers decoder folders to OpenVINO GenAI: found where they are current, else made and kept.

An export is accepted only when its tokens equal torch's; `making` writes and proves it.
"""

import contextlib
import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llms.engines.openvino_backend.export_process import make_apart
from llms.engines.openvino_backend.making import make_export
from llms.loading import folder_fingerprint, folder_stamp
from llms.openvino_export import ExportPrecision, export_folder, export_once, read_manifest

_PACKAGES = ("openvino", "openvino_genai", "openvino_tokenizers")
_RECIPE = "2"  # raised when this module writes something else, so that older exports are made anew
_STAMP = "stamp.json"  # sizes and times of the model's files when their sums were last compared
_OWN_PROCESS_BYTES = 100 * 2**20  # of weights; a smaller model leaves nothing worth the seconds that a process takes


def export_openvino(folder: Path, *, precision: ExportPrecision = "bfloat16") -> Path:
    """Return a folder that OpenVINO GenAI can run, made from a transformers folder once and then kept.

    It lies beside the model in `openvino/<precision>`, or under `~/.cache/tunechain` if the model's folder cannot be
    written. It is made anew when weights, tokenizer, configuration or the libraries change. Making it takes about as
    much memory as it has bytes; the export of a large model has a process of its own.

    Args:
        folder: a checked model folder with a decoder and its tokenizer.
        precision: "float32" keeps the weights as they are, "bfloat16" gives them 16 bits, "int8" 8 and "int4" 4.

    Raises:
        EngineError: if a package is missing, or if this model cannot run there with the tokens that torch gives;
            the message says why.
    """
    if found := find_openvino(folder, precision):
        return found
    settings = _settings(precision)
    return export_once(
        export_folder(folder) / precision,
        lambda work: _write_export(
            folder, work, precision=precision, identity={"fingerprint": folder_fingerprint(folder), **settings}
        ),
        is_current=lambda export: _is_current(export, folder, settings),
        packages=_PACKAGES,
    )


def find_openvino(folder: Path, precision: ExportPrecision) -> Path | None:
    """Return the complete and current export of a model folder, or None; nothing is made."""
    export = export_folder(folder) / precision
    if not read_manifest(export):
        return None
    with contextlib.suppress(PackageNotFoundError):
        return export if _is_current(export, folder, _settings(precision)) else None
    return None


def _settings(precision: ExportPrecision) -> dict[str, str]:
    """Return what an export depends on besides the model."""
    libraries = {name: version(name.replace("_", "-")) for name in (*_PACKAGES, "transformers", "torch")}
    return {"dtype": precision, "recipe": _RECIPE, **libraries}


def _is_current(export: Path, folder: Path, settings: Mapping[str, str]) -> bool:
    """Return whether a complete export of these files lies there; they are read only if their sizes or times moved."""
    identity = dict(read_manifest(export).get("identity") or {})
    fingerprint = identity.pop("fingerprint", None)
    if fingerprint is None or identity != settings:
        return False
    stamp = json.dumps(folder_stamp(folder))
    kept = export / _STAMP
    if kept.is_file() and kept.read_text("utf-8") == stamp:
        return True
    if folder_fingerprint(folder) != fingerprint:
        return False
    with contextlib.suppress(OSError):  # a folder that cannot be written is compared each time
        kept.write_text(stamp, "utf-8")
    return True


def _write_export(folder: Path, work: Path, *, precision: ExportPrecision, identity: Mapping[str, str]) -> None:
    """Make the export, in a process of its own if much memory would be left in pieces here."""
    if sum(path.stat().st_size for path in folder.glob("*.safetensors")) < _OWN_PROCESS_BYTES:
        make_export(folder, work, precision=precision, identity=identity)
    else:
        make_apart(folder, work, precision=precision, identity=identity)
