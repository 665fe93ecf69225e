"""Weights of a decoder's graph as they are stored: matrices of 8 or 4 bits, or 16-bit floats, made piece by piece."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import openvino as ov

    from llms.openvino_export import ExportPrecision

MatrixForm = Literal["kept", "bfloat16", "int8", "int4"]

_GROUP = 32  # weights of a row that share a scale at 4 bits; with 64, SmolLM2-135M loses twice as much
_PIECE_WEIGHTS = 2**22  # brought to float32 at a time
_SMALL = 1024  # weights; constants up to this size are sizes, positions and the like
_CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8)  # shares of a group's range that are tried at 4 bits; the least error counts


@dataclass(frozen=True, slots=True)
class Codes:
    """Rows of integers: weight = (code - zero) * scale.

    Attributes:
        codes: (rows, groups, weights of a group) uint8.
        zeros: (rows, groups, 1) uint8.
        scales: (rows, groups, 1) float16.
    """

    codes: np.ndarray
    zeros: np.ndarray
    scales: np.ndarray

    @property
    def weights(self) -> np.ndarray:
        """The weights that the codes stand for: (rows, columns) float32."""
        codes, zeros = self.codes.astype(np.float32), self.zeros.astype(np.float32)
        return ((codes - zeros) * self.scales.astype(np.float32)).reshape(len(codes), -1)


def matrix_form(
    precision: "ExportPrecision", rows: int, columns: int, *, vocabulary: int, takes_groups: bool = True
) -> MatrixForm:
    """Return in which form a matrix of (rows, columns) is stored.

    At 4 bits, the matrices with a row for each token keep 8, for they lose most, and so do those that cannot be cut
    into groups.

    Args:
        vocabulary: how many tokens there are.
        takes_groups: False for tables whose rows are looked up, and for matrices stored with their columns first.
    """
    if precision == "float32" or rows * columns <= _SMALL:
        return "kept"
    if precision != "int4":
        return precision
    return "int4" if takes_groups and rows != vocabulary and columns % _GROUP == 0 else "int8"


def stored_weights(weights: np.ndarray, form: MatrixForm) -> np.ndarray:
    """Return float32 weights (rows, columns) as they come out of their stored form."""
    if form == "kept":
        return weights
    return from_bfloat16(to_bfloat16(weights)) if form == "bfloat16" else quantise(weights, form).weights


def quantise(weights: np.ndarray, form: MatrixForm) -> Codes:
    """Return float32 weights (rows, columns) as integers of 8 bits per row, or of 4 bits per group of a row."""
    if form == "int8":
        return _codes(weights[:, None, :], levels=255, clip=1.0)
    grouped = weights.reshape(len(weights), -1, _GROUP)
    best = _codes(grouped, levels=15, clip=_CLIPS[0])
    least = _squared_errors(grouped, best)
    for clip in _CLIPS[1:]:
        tried = _codes(grouped, levels=15, clip=clip)
        errors = _squared_errors(grouped, tried)
        is_better = (errors < least)[..., None]
        best = Codes(
            np.where(is_better, tried.codes, best.codes),
            np.where(is_better, tried.zeros, best.zeros),
            np.where(is_better, tried.scales, best.scales),
        )
        least = np.minimum(errors, least)
    return best


def _codes(grouped: np.ndarray, *, levels: int, clip: float) -> Codes:
    low = np.minimum(grouped.min(-1, keepdims=True), 0) * clip
    high = np.maximum(grouped.max(-1, keepdims=True), 0) * clip
    scales = ((high - low) / levels).astype(np.float16)
    scales[scales == 0] = 1  # of a group of zeros
    steps = scales.astype(np.float32)
    zeros = np.clip(np.rint(-low / steps), 0, levels)
    codes = np.clip(np.rint(grouped / steps) + zeros, 0, levels)
    return Codes(codes.astype(np.uint8), zeros.astype(np.uint8), scales)


def _squared_errors(grouped: np.ndarray, codes: Codes) -> np.ndarray:
    """Return the squared error of each group: (rows, groups)."""
    errors = grouped - codes.weights.reshape(grouped.shape)
    squared: np.ndarray = np.einsum("rgw,rgw->rg", errors, errors)
    return squared


def to_bfloat16(weights: np.ndarray) -> np.ndarray:
    """Return float32 weights as the 16 bits of bfloat16, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(weights, dtype=np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bfloat16(bits: np.ndarray) -> np.ndarray:
    """Return the 16 bits of bfloat16 as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


# in a graph


def store_weights(
    graph: "ov.Model", precision: "ExportPrecision", *, vocabulary: int, takes_groups: bool = True
) -> None:
    """Put the weights of a decoder's graph into their stored form, one matrix after the other.

    Args:
        vocabulary: how many rows the matrices have that hold a row for each token.
        takes_groups: False for a model that stores matrices with their columns first.
    """
    for constant in [node for node in graph.get_ops() if _is_weight(node)]:
        source = _decompressed(constant)
        readers = list(source.get_target_inputs())
        replacement = _replacement(constant, readers, precision, vocabulary, takes_groups=takes_groups)
        if replacement is None:
            continue
        for reader in readers:
            reader.replace_source_output(replacement.output(0))
    graph.validate_nodes_and_infer_types()


def _is_weight(node: "ov.Node") -> bool:
    if node.get_type_name() != "Constant" or not node.get_element_type().is_real():
        return False
    shape = node.get_output_shape(0)
    return len(shape) > 1 and int(np.prod(shape)) > _SMALL


def _decompressed(constant: "ov.Node") -> "ov.Output":
    """Return what the constant is read from: itself, or its conversion to float32."""
    readers = list(constant.output(0).get_target_inputs())
    if len(readers) == 1 and readers[0].get_node().get_type_name() == "Convert":
        return readers[0].get_node().output(0)
    return constant.output(0)


def _replacement(
    constant: "ov.Node", readers: "list[ov.Input]", precision: "ExportPrecision", vocabulary: int, *, takes_groups: bool
) -> "ov.Node | None":
    shape = list(constant.get_output_shape(0))
    uses = {_use(reader) for reader in readers}
    form: MatrixForm
    if len(shape) != 2 or "other" in uses or uses == {"table", "columns first"}:
        form = "kept" if precision == "float32" else "bfloat16"  # experts in one block, say
    else:
        rows, columns = shape[::-1] if uses == {"columns first"} else shape
        takes_groups = takes_groups and uses == {"rows first"}
        form = matrix_form(precision, rows, columns, vocabulary=vocabulary, takes_groups=takes_groups)
    kind = constant.get_element_type().to_string()
    if form == "kept":  # the CPU would bring float16 to float32 several times over
        return _float32(constant) if kind == "f16" else None
    if form == "bfloat16":
        return _bfloat16(constant) if kind != "bf16" else None
    return _integers(constant, form, has_columns_first=uses == {"columns first"})


def _use(reader: "ov.Input") -> Literal["table", "rows first", "columns first", "other"]:
    node = reader.get_node()
    if node.get_type_name() == "Gather" and reader.get_index() == 0:
        return "table"
    if node.get_type_name() == "MatMul" and reader.get_index() == 1:
        return "rows first" if node.get_attributes()["transpose_b"] else "columns first"
    return "other"


def _pieces(constant: "ov.Node") -> Iterator[np.ndarray]:
    """Yield the rows of a constant of any rank as float32, a few at a time: (rows, all other axes)."""
    data = constant.data
    rows = data.reshape(data.shape[0], -1)
    is_bfloat16 = constant.get_element_type().to_string() == "bf16"
    size = max(1, _PIECE_WEIGHTS // rows.shape[1])
    for begin in range(0, len(rows), size):
        piece = rows[begin : begin + size]
        yield from_bfloat16(piece.view(np.uint16)) if is_bfloat16 else piece.astype(np.float32)


def _float32(constant: "ov.Node") -> "ov.Node":
    from openvino import opset13 as ops

    return ops.constant(np.concatenate(list(_pieces(constant))).reshape(constant.get_output_shape(0)))


def _bfloat16(constant: "ov.Node") -> "ov.Node":
    import openvino as ov
    from openvino import opset13 as ops

    bits = np.concatenate([to_bfloat16(piece) for piece in _pieces(constant)])
    return ops.convert(_constant(bits, list(constant.get_output_shape(0)), ov.Type.bf16), "f32")


def _integers(constant: "ov.Node", form: MatrixForm, *, has_columns_first: bool) -> "ov.Node":
    from openvino import opset13 as ops

    if has_columns_first:
        whole = np.concatenate(list(_pieces(constant)))
        parts = [quantise(np.ascontiguousarray(whole.T), form)]
    else:
        parts = [quantise(piece, form) for piece in _pieces(constant)]
    fields: Any = zip(*((part.codes, part.zeros, part.scales) for part in parts), strict=True)
    codes, zeros, scales = (np.concatenate(field) for field in fields)
    if form == "int8":  # one group: (rows, columns)
        codes, zeros, scales = codes[:, 0], zeros[:, 0], scales[:, 0]
    if has_columns_first:
        codes, zeros, scales = (np.ascontiguousarray(field.T) for field in (codes, zeros, scales))
    shifted = ops.subtract(_converted(codes, form), _converted(zeros, form))
    weights = ops.multiply(shifted, ops.constant(scales))
    if form == "int4":
        weights = ops.reshape(
            weights, ops.constant(np.array(constant.get_output_shape(0), dtype=np.int64)), special_zero=False
        )
    return ops.convert(weights, "f32")


def _converted(codes: np.ndarray, form: MatrixForm) -> "ov.Node":
    """Return integers as float16 numbers, in the pattern that the CPU keeps as integers in memory."""
    import openvino as ov
    from openvino import opset13 as ops

    if form == "int8":
        return ops.convert(ops.constant(codes), "f16")
    padded = np.append(codes.ravel(), np.zeros(codes.size % 2, dtype=np.uint8)).reshape(-1, 2)
    packed = padded[:, 0] | (padded[:, 1] << 4)
    return ops.convert(_constant(packed, list(codes.shape), ov.Type.u4), "f16")


def _constant(array: np.ndarray, shape: list[int], kind: "ov.Type") -> "ov.Node":
    """Return a constant of a type that NumPy does not have, with a copy of the bytes."""
    import openvino as ov

    tensor = ov.Tensor(kind, ov.Shape(shape))
    np.copyto(np.asarray(tensor.data).view(np.uint8).reshape(-1), array.view(np.uint8).reshape(-1))
    return ov.op.Constant(tensor)
