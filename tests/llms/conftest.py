"""A classifier trained once for all tests of this layer."""

import shutil

import pytest

from llms.device import has_integer_products
from llms.encoder import export
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.classifier.options import ClassifierOptions
from llms.finetuning.data.examples import LabelledText, LabelledTexts
from llms.finetuning.trainer import adapted_models

_TEXTS = {
    "card": [
        "my card is lost",
        "card stolen",
        "where is the card",
        "lost my card",
        "stolen card help",
        "card pin lost",
    ],
    "money": ["refund my money", "money back", "where is my money", "refund please", "give money back", "refund late"],
    "parcel": ["parcel late", "where is the parcel", "order not here", "cancel my order", "parcel lost", "late order"],
}


@pytest.fixture(scope="session", autouse=True)
def _integer_products():
    """Let random encoders be exported to int8 where the processor cuts sums off; what is tested is all the rest."""
    if not has_integer_products():
        export._MIN_MEAN_COSINE["int8"] = 0.97


@pytest.fixture(scope="session")
def labelled_texts():
    """Eighteen rows with three labels."""
    return LabelledTexts([LabelledText(text, label) for label, texts in _TEXTS.items() for text in texts])


@pytest.fixture(scope="session")
def training_options(encoder_folder):
    """Two quick epochs on the tiny encoder."""
    return ClassifierOptions(
        base=str(encoder_folder), epochs=2, batch_size=8, held_out_share=0.2, device="cpu", show_progress=False
    )


@pytest.fixture(scope="session")
def trained(labelled_texts, training_options, tmp_path_factory):
    """What training returned; do not change the folder."""
    return finetune_classifier(labelled_texts, tmp_path_factory.mktemp("trained") / "classifier", training_options)


@pytest.fixture
def trained_copy(trained, tmp_path):
    """A copy of the trained folder that a test may damage."""
    return shutil.copytree(trained.folder, tmp_path / "copy")


class _AppliedError(Exception):
    """Ends a training where its method is applied."""


@pytest.fixture
def applied_method(monkeypatch):
    """A function that starts a training and returns the method it applies; nothing is trained."""

    def find(train):
        with pytest.raises(_AppliedError) as raised:
            train()
        return str(raised.value)

    def apply(body, method, *, rank, num_steps):
        raise _AppliedError(method)

    monkeypatch.setattr(adapted_models, "apply_method", apply)
    return find
