"""What attack and overload must never do, in the short form of `benchmarks.server_figures`; times are its matter."""

import shutil

import pytest

from tests import tiny_models
from tests.apps.workspaces import build_workspace
from tests.serving.customers import count_faults
from tests.serving.documents import run_documents
from tests.serving.model_kills import run_model_kills
from tests.serving.overload import run_overload
from tests.serving.served import add_chat
from tests.serving.sigterm import run_sigterms
from tests.serving.soak import run_soak
from tests.serving.sockets import run_slow_sockets
from tests.serving.tenants import build_tenants, run_tenants


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return tiny_models.build_chat_model(tmp_path_factory.mktemp("models") / "chat", context_tokens=2048)


@pytest.fixture
def shop(tmp_path, tmp_path_factory, encoder_folder, chat):
    """A trained workspace with a chat model, to be served."""
    return add_chat(shutil.copytree(build_workspace(tmp_path_factory, encoder_folder), tmp_path / "shop"), chat)


def _turn(id_, text, speaker="customer"):
    return {"id": id_, "speaker": speaker, "text": text}


@pytest.mark.parametrize(
    ("turns", "fault"),
    [
        ([], "lost"),
        ([_turn("m1", "a")], "lost"),
        ([_turn("m1", "a"), _turn("m1.reply", "No.", "assistant")], "changed"),
        ([_turn("m1", "a"), _turn("m1.reply", "Yes.", "assistant"), _turn("m2", "a")], "doubled"),
        ([_turn("m1", "a"), *[_turn("m1.reply", "Yes.", "assistant")] * 2], "doubled"),
    ],
)
def test_what_is_not_stored_as_it_was_acknowledged_is_counted(turns, fault):
    counts = count_faults({"m1": "Yes."}, turns)
    assert {name for name in counts if name != "acknowledged"} == {fault}


def test_clients_that_leave_and_dawdle_cost_no_acknowledged_message(shop):
    assert not run_soak(shop, minutes=0.06, num_clients=8).broken_rules()


def test_hostile_documents_are_read_or_refused_and_the_good_ones_beside_them_indexed(tmp_path):
    assert not run_documents(tmp_path / "run", count=20).broken_rules()


@pytest.mark.slow
def test_overload_is_refused_without_an_error(shop):
    assert not run_overload(shop, seconds=3).broken_rules()


@pytest.mark.slow
def test_no_request_whether_it_fits_the_description_or_not_is_an_error_of_the_server(shop):
    pytest.importorskip("schemathesis", reason="of the extra test")
    from tests.serving.fuzz import run_fuzz

    assert not run_fuzz(shop, num_cases=300).broken_rules()


@pytest.mark.slow
def test_a_signal_to_end_loses_no_accepted_request(shop):
    assert not run_sigterms(shop, count=2).broken_rules()


@pytest.mark.slow
def test_slow_sockets_are_closed_and_others_answered(shop):
    assert not run_slow_sockets(shop, count=200).broken_rules()


@pytest.mark.slow
def test_a_killed_model_leaves_nobody_waiting(shop):
    assert not run_model_kills(shop, count=3).broken_rules()


@pytest.mark.slow
def test_tenants_see_nothing_of_each_other(tmp_path, encoder_folder, chat):
    main = build_tenants(tmp_path / "tenants", chat, encoder_folder)
    assert not run_tenants(main, num_queries=300, num_pairs=5, engines=["torch"]).broken_rules()
