"""A classifier on OpenVINO says what it says on torch, within what its precision allows."""

import shutil

import pytest

pytest.importorskip("openvino")

from llms import LocalClassifier
from llms.errors import OptionValueError, UnsupportedOptionError
from tests.contracts import ClassifierContract

TEXTS = ["refund my money", "card lost", "parcel late", "完全别的"]


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory):
    """A copy: exports lie beside a model, and other tests would run on them."""
    return shutil.copytree(trained.folder, tmp_path_factory.mktemp("exported") / "model")


class TestOnOpenVino(ClassifierContract):
    @pytest.fixture(scope="class")
    def classifier(self, folder):
        return LocalClassifier(folder, engine="openvino", precision="float32")


@pytest.mark.parametrize(("precision", "closeness"), [("float32", 1e-3), ("bfloat16", 0.03), ("int8", 0.2)])
def test_every_precision_stays_close_to_torch(folder, precision, closeness):
    exact = LocalClassifier(folder, engine="torch", precision="float32").batch(TEXTS)
    for want, got in zip(
        exact, LocalClassifier(folder, engine="openvino", precision=precision).batch(TEXTS), strict=True
    ):
        assert got.probabilities == pytest.approx(want.probabilities, abs=closeness)


def test_an_explanation_needs_gradients_and_takes_them_from_torch(folder):
    classifier = LocalClassifier(folder, engine="openvino", precision="int8")
    assert classifier.explain("my parcel is late").words


def test_int8_is_openvinos_alone(folder):
    with pytest.raises(OptionValueError, match="int8"):
        LocalClassifier(folder, engine="torch", precision="int8")


def test_a_model_trained_elsewhere_runs_on_torch_only(sequence_classifier_folder):
    with pytest.raises(UnsupportedOptionError, match="trained here"):
        LocalClassifier(sequence_classifier_folder, engine="openvino")
