"""Exports to OpenVINO: a verified folder beside the model, made once; tracing and quantizing of encoder networks."""

import contextlib
import importlib.util
import json
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llms.device import INSTALL_OPENVINO
from llms.errors import EngineError
from llms.loading import file_sha256, folder_fingerprint, quiet_loading
from llms.model_folder import EXPORT_FOLDER

if TYPE_CHECKING:
    import openvino as ov

ExportPrecision = Literal["float32", "bfloat16", "int8", "int4"]

MANIFEST = "manifest.json"
GRAPH, TOKENIZER = "encoder.xml", "tokenizer.json"
_PACKAGES = ("openvino", "openvino_telemetry", "nncf")
_VERSIONS_OF = ("openvino", "nncf", "torch", "transformers", "sentence-transformers", "tokenizers")
# how much of the activations' spread is moved into the weights (SmoothQuant's alpha); on MiniLM, 0.7 leaves a mean
# cosine of 0.996, the library's own 0.95 one of 0.9945
_SMOOTHING = (0.7, 0.95)
_EXPORTING = threading.Lock()  # one trace at a time: it holds the weights twice


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceableModel:
    """A network with all that its graph needs.

    Attributes:
        module: a torch module from tensors to one tensor: a tracer takes no objects, and no dictionary that grows on
            the way.
        inputs: the module's arguments for some texts, as arrays by name.
        examples: texts of several lengths to trace with, so that the mask counts.
        calibration: texts to calibrate integer products with.
        tokenizer: of the `tokenizers` library; written beside the graph.
        settings: what its reader needs besides, as JSON.
        verify: compares the export in a folder with this model; returns the figures, and what is wrong, if anything.
    """

    module: Any
    inputs: Callable[[Sequence[str]], Mapping[str, Any]]
    examples: Sequence[str]
    calibration: Sequence[str]
    tokenizer: Any
    settings: Mapping[str, Any]
    verify: Callable[[Path], tuple[dict[str, Any], str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphExport:
    """The export of one model folder in one precision; `find` looks for it and `make` makes it.

    It lies beside the model in `openvino/<kind>-<precision>`, or under `~/.cache/tunechain` if the model's folder
    cannot be written. It is made anew when weights, tokenizer, configuration or the libraries change, or when a file
    of it is not the one that was written.

    Attributes:
        kind: such as "encoder"; also what the model is called in messages.
        recipe: raised when the export's form changes, so that older ones are made anew.
    """

    folder: Path
    kind: str
    precision: ExportPrecision
    recipe: str

    @property
    def target(self) -> Path:
        """Where the export lies."""
        return export_folder(self.folder) / f"{self.kind}-{self.precision}"

    def find(self) -> Path | None:
        """Return the complete and current export, or None; nothing is made."""
        return self.target if _is_current(self.target, self._identity()) else None

    def make(self, load: Callable[[], TraceableModel]) -> Path:
        """Return the export, made of what `load` gives where there is none yet.

        Raises:
            EngineError: if a package is missing, if the model has parts that cannot be carried over, or if its outputs
                come out too far from torch's; the message says why.
        """
        wanted = self._identity()
        return export_once(
            self.target,
            lambda work: self._write(load(), work, wanted),
            is_current=lambda export: _is_current(export, wanted),
            packages=_PACKAGES,
        )

    def refusal(self, reason: str) -> EngineError:
        """Return the error that says why this model cannot run on OpenVINO."""
        msg = f"this {self.kind} cannot run on OpenVINO as asked: {reason}; take another precision, or engine='torch'"
        return EngineError(msg)

    def _identity(self) -> dict[str, str]:
        """Return all that the export depends on."""
        libraries = {name: version(name) for name in _VERSIONS_OF}
        fingerprint = folder_fingerprint(self.folder)
        return {"fingerprint": fingerprint, "precision": self.precision, "recipe": self.recipe, **libraries}

    def _write(self, model: TraceableModel, work: Path, identity: Mapping[str, str]) -> None:
        import openvino as ov

        graph = self._trace(model)
        model.tokenizer.save(str(work / TOKENIZER))
        verified: dict[str, Any] = {}
        problem: str | None = None
        for candidate in self._candidates(graph, model):
            ov.save_model(candidate, work / GRAPH, compress_to_fp16=self.precision != "float32")
            verified, problem = model.verify(work)
            if problem is None:
                break
        if problem:
            raise self.refusal(problem)
        files = {path.name: file_sha256(path) for path in sorted(work.iterdir())}
        write_manifest(work, {"identity": identity, "verified": verified, "settings": model.settings, "files": files})

    def _trace(self, model: TraceableModel) -> "ov.Model":
        import openvino as ov
        import torch

        inputs = {name: torch.from_numpy(array) for name, array in model.inputs(model.examples).items()}
        try:
            with torch.inference_mode(), quiet_loading(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the tracer's, about shapes: the proof below is what counts
                return ov.convert_model(model.module.eval(), example_input=inputs)
        except Exception as error:  # each architecture fails in its own way
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
            msg = f"its layers cannot be traced ({reason})"
            raise self.refusal(msg) from error

    def _candidates(self, graph: "ov.Model", model: TraceableModel) -> Iterator["ov.Model"]:
        """Yield the graphs to try, until one is close enough to torch."""
        if self.precision != "int8":
            yield graph
            return
        samples = [model.inputs([text]) for text in model.calibration]
        for smoothing in _SMOOTHING:
            yield _quantize(graph.clone(), samples, smoothing=smoothing)


def export_once(
    target: Path, write: Callable[[Path], None], *, is_current: Callable[[Path], bool], packages: Sequence[str]
) -> Path:
    """Return `target` once it holds a complete and current export; `write` makes one in an empty folder.

    Raises:
        EngineError: if a package is missing, or whatever `write` raises.
    """
    _require_packages(packages)
    decline_telemetry()
    with _EXPORTING:
        if is_current(target):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        # other processes may export at the same time: each works in a folder of its own
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            write(work)
            put_in_place(work, target, is_current=is_current)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return target


def export_folder(folder: Path) -> Path:
    """Return where the exports of a model lie: beside it, or under `~/.cache/tunechain` if it cannot be written."""
    beside = folder / EXPORT_FOLDER
    if os.access(beside if beside.exists() else folder, os.W_OK):
        return beside
    return Path.home() / ".cache" / "tunechain" / EXPORT_FOLDER / folder_fingerprint(folder)


def read_manifest(export: Path) -> dict[str, Any]:
    """Return what is written down about an export, or nothing if it is not complete."""
    try:
        content = json.loads((export / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_manifest(export: Path, content: Mapping[str, Any]) -> None:
    """Write down what an export is; this comes last: if the manifest exists, the export is complete."""
    (export / MANIFEST).write_text(json.dumps(content, indent=1), encoding="utf-8")


def put_in_place(work: Path, target: Path, *, is_current: Callable[[Path], bool]) -> None:
    """Rename `work` to `target`; an export that another process put there meanwhile stays if it is right.

    Raises:
        EngineError: if something else keeps taking the target's name.
    """
    for _ in range(10):
        if is_current(target):
            return
        if target.exists():
            outdated = Path(tempfile.mkdtemp(prefix=".outdated-", dir=target.parent))
            with contextlib.suppress(OSError):  # another process took it away first
                target.rename(outdated / "export")
            shutil.rmtree(outdated, ignore_errors=True)
        with contextlib.suppress(OSError):  # another process put its own there first
            work.rename(target)
    if not is_current(target):
        msg = f"the export could not be moved to {target}; is another process writing there?"
        raise EngineError(msg)


def _is_current(export: Path, wanted: Mapping[str, str]) -> bool:
    """Return whether a complete export of this identity lies there, its files as they were written."""
    manifest = read_manifest(export)
    if manifest.get("identity") != wanted:
        return False
    files: dict[str, str] = manifest.get("files") or {GRAPH: ""}
    return all((export / name).is_file() and file_sha256(export / name) == sha for name, sha in files.items())


def _quantize(graph: "ov.Model", samples: Sequence[Mapping[str, Any]], *, smoothing: float) -> "ov.Model":
    """Return the graph with integer products; scales per output channel for weights, calibrated for activations."""
    import nncf

    alphas = nncf.AdvancedSmoothQuantParameters(matmul=smoothing)
    with quiet_loading("nncf"), contextlib.redirect_stdout(None):  # its progress bar has no switch
        return nncf.quantize(
            graph,
            nncf.Dataset(samples),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(samples),
            advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=alphas),
        )


def _require_packages(names: Sequence[str]) -> None:
    for name in names:
        if importlib.util.find_spec(name) is None:
            msg = f"the OpenVINO engine needs the package {name}; run: {INSTALL_OPENVINO}"
            raise EngineError(msg)


def decline_telemetry() -> None:
    """Answer "no" for the libraries that would report each conversion over the network unless told otherwise."""
    from openvino_telemetry.utils.opt_in_checker import ConsentCheckResult, OptInChecker

    OptInChecker.check = lambda *_, **__: ConsentCheckResult.DECLINED
