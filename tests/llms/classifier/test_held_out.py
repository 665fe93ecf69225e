"""Replies to held-out rows: kept beside the model, without the texts, for what is fitted on top of it."""

from dataclasses import replace

import pytest

from llms import LocalClassifier
from llms.classifier import load_held_out, text_digest
from llms.classifier.held_out import HELD_OUT_NAME, HeldOutReplies
from llms.errors import ModelFolderError
from llms.finetuning.classifier.finetune import finetune_classifier
from llms.finetuning.data.examples import MultiLabelText, MultiLabelTexts


def test_every_held_out_row_has_a_reply_and_no_text(trained, labelled_texts):
    digests = {text_digest(row.text): row for row in labelled_texts.rows}
    replies = load_held_out(trained.folder).rows
    assert 3 <= len(replies) < len(labelled_texts.rows)
    for reply in replies:
        assert digests[reply.text_sha256].label == reply.label
    written = (trained.folder / HELD_OUT_NAME).read_text("utf-8")
    assert not any(row.text in written for row in labelled_texts.rows)


def test_figures_of_the_held_out_rows_follow_from_their_replies(trained):
    replies = load_held_out(trained.folder).rows
    right = sum(next(iter(reply.likeliest)) == reply.label for reply in replies) / len(replies)
    assert right == pytest.approx(trained.metrics["held_out_accuracy"])


def test_with_a_frozen_encoder_every_row_has_a_reply(labelled_texts, training_options, tmp_path):
    trained = finetune_classifier(labelled_texts, tmp_path / "head", replace(training_options, method="head"))
    known = {reply.text_sha256 for reply in load_held_out(trained.folder).rows}
    assert {text_digest(row.text) for row in labelled_texts.rows} <= known


def test_a_reply_reads_as_a_classification(trained):
    reply = load_held_out(trained.folder).rows[0].as_classification()
    first, second, *_ = reply.probabilities.values()
    assert reply.probability == first
    assert reply.margin == pytest.approx(first - second)
    assert 0 <= reply.in_scope <= 1


def test_rows_with_several_labels_keep_no_replies(labelled_texts, training_options, tmp_path):
    rows = MultiLabelTexts([MultiLabelText(row.text, (row.label,)) for row in labelled_texts.rows])
    trained = finetune_classifier(rows, tmp_path / "several", replace(training_options, method="head"))
    assert load_held_out(trained.folder) == HeldOutReplies()


def test_a_folder_of_an_earlier_version_has_none_and_goes_on_working(trained_copy):
    (trained_copy / HELD_OUT_NAME).unlink()
    assert load_held_out(trained_copy).rows == ()


def test_a_damaged_file_is_named(trained_copy):
    (trained_copy / HELD_OUT_NAME).write_text("[]", encoding="utf-8")
    with pytest.raises(ModelFolderError, match="holds no replies to held-out rows"):
        load_held_out(trained_copy)
    with pytest.raises(ModelFolderError):
        LocalClassifier(trained_copy)
