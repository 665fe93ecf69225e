"""Keys: shown once, stored as hashes, compared as a whole, and never forgotten."""

import json
import os
import sqlite3
import stat
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from apps.cli import app
from apps.errors import KeyFileError, SettingsError, UnknownKeyError
from apps.keys import KeyStore, check_address, check_owner
from apps.server.rate_limit import RateLimiter
from apps.settings import SETTINGS_NAME, load_settings


@pytest.fixture
def keys(tmp_path):
    return KeyStore(tmp_path / "keys.sqlite")


def test_a_key_opens_for_its_owner_until_it_is_revoked(keys):
    key, secret = keys.add("anna", role="customer")
    assert keys.find(secret) == key
    assert (key.owner, key.role) == ("anna", "customer")
    revoked = keys.revoke(key.id)
    assert keys.find(secret) is None
    assert keys.revoke(key.id) == revoked
    assert keys.list_all() == [revoked]


def test_the_file_holds_no_key_and_is_for_its_user_only(keys, tmp_path):
    _, secret = keys.add("anna", role="staff")
    keys.close()
    assert secret.split("_")[2].encode() not in (tmp_path / "keys.sqlite").read_bytes()
    assert stat.S_IMODE(os.stat(tmp_path / "keys.sqlite").st_mode) == 0o600  # noqa: PTH116


def test_no_two_keys_are_alike(keys):
    secrets = {keys.add("anna", role="staff")[1] for _ in range(20)}
    assert len(secrets) == len({secret.split("_")[2] for secret in secrets}) == 20


def test_a_changed_key_opens_nothing(keys):
    _, secret = keys.add("anna", role="staff")
    _, other = keys.add("berta", role="staff")
    mixed = "_".join([*secret.split("_")[:2], other.split("_")[2]])
    wrong = [mixed, secret[:-1], secret + "0", secret.upper(), f" {secret}", secret.replace("tc_", ""), "", "tc__"]
    assert [keys.find(text) for text in wrong] == [None] * len(wrong)


@given(st.text())
def test_no_text_but_a_key_opens(text):
    assert KeyStore(_TABLE.path).find(text) is None


class _TABLE:
    """A file with one key for all examples."""

    path = None


@pytest.fixture(scope="module", autouse=True)
def _one_key(tmp_path_factory):
    _TABLE.path = tmp_path_factory.mktemp("keys") / "keys.sqlite"
    KeyStore(_TABLE.path).add("anna", role="staff")


def test_looking_for_keys_makes_no_file(keys, tmp_path):
    assert not keys.are_required
    assert keys.list_all() == []
    with pytest.raises(UnknownKeyError, match="keys list"):
        keys.revoke("0123456789ab")
    assert list(tmp_path.iterdir()) == []


def test_a_workspace_whose_keys_are_all_revoked_still_needs_one(keys):
    keys.revoke(keys.add("anna", role="staff")[0].id)
    assert keys.are_required


def test_another_process_sees_a_change_at_once(keys, tmp_path):
    other = KeyStore(tmp_path / "keys.sqlite")
    assert not other.are_required
    key, secret = keys.add("anna", role="staff")
    assert other.find(secret) == key
    keys.revoke(key.id)
    assert other.find(secret) is None


def test_a_damaged_file_opens_nothing(tmp_path):
    (tmp_path / "keys.sqlite").write_bytes(b"no database" * 1000)
    keys = KeyStore(tmp_path / "keys.sqlite")
    with pytest.raises(KeyFileError, match=r"keys\.sqlite cannot be used.*restore"):
        _ = keys.are_required


def test_a_file_of_another_kind_opens_nothing(tmp_path):
    with sqlite3.connect(tmp_path / "keys.sqlite") as database:
        database.execute("CREATE TABLE keys (colour TEXT)")
    with pytest.raises(KeyFileError):
        KeyStore(tmp_path / "keys.sqlite").add("anna", role="staff")


@pytest.mark.parametrize("owner", ["", "/", "a/", "/a", "a/b/c", "a b", "a" * 65, "../a", "a\n", "a;b"])
def test_what_is_no_name_owns_nothing(keys, owner):
    with pytest.raises(SettingsError, match="NAME or TENANT/NAME"):
        keys.add(owner, role="staff")


def test_an_owner_of_a_tenant_that_does_not_exist_is_refused():
    check_owner("anna", tenants=frozenset())
    with pytest.raises(SettingsError, match=r"no tenant 'acmee' \(there are: acme\)"):
        check_owner("acmee/anna", tenants=frozenset({"acme"}))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.com", ""])  # noqa: S104
def test_other_machines_are_not_served_without_keys(keys, host):
    with pytest.raises(SettingsError, match="tunechain keys add"):
        check_address(host, keys)
    keys.add("anna", role="staff")
    check_address(host, keys)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_is_served_without_keys(keys, host):
    check_address(host, keys)


@given(
    st.floats(0.1, 600),
    st.integers(1, 20),
    st.lists(st.floats(0, 30), min_size=1, max_size=60),
)
def test_no_more_passes_than_the_burst_and_what_came_back_since(per_minute, burst, pauses):
    now = 0.0
    limiter = RateLimiter(per_minute=per_minute, burst=burst, clock=lambda: now)
    passed = 0
    for pause in pauses:
        now += pause
        wait_s = limiter.take("anna")
        passed += wait_s == 0
        assert passed <= burst + now * per_minute / 60 + 1e-6
        if wait_s:
            earlier, now = now, now + wait_s
            assert limiter.take("anna") == 0  # who waits as told is let in
            passed += 1
            assert now > earlier


def test_one_key_cannot_use_up_the_rate_of_another():
    limiter = RateLimiter(per_minute=1, burst=1, clock=lambda: 0.0)
    assert [limiter.take(name) > 0 for name in ("anna", "anna", "berta")] == [False, True, False]


def test_of_too_many_names_the_one_that_asked_longest_ago_begins_anew():
    limiter = RateLimiter(per_minute=1, burst=1, max_names=2, clock=lambda: 0.0)
    names = ("anna", "berta", "anna", "carl", "anna", "berta")
    assert [limiter.take(name) > 0 for name in names] == [False, False, True, False, True, False]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that runs `tunechain keys` in a workspace with one tenant."""
    monkeypatch.delenv("TUNECHAIN_WORKSPACE", raising=False)
    (tmp_path / SETTINGS_NAME).write_text('[tenants]\nacme = "acme"\n')

    def run_keys(*args):
        return CliRunner().invoke(app, ["keys", *args, "-w", str(tmp_path)])

    return run_keys


def test_the_commands_make_list_and_revoke(run, tmp_path):
    made = run("add", "acme/anna", "--role", "customer")
    secret = made.stdout.strip()
    key = KeyStore.of(load_settings(tmp_path)).find(secret)
    assert (key.owner, key.role) == ("acme/anna", "customer")
    listed = run("list")
    assert key.id in listed.stdout
    assert f"made {key.created.astimezone(UTC):%Y-%m-%d %H:%M} UTC" in listed.stdout
    assert secret not in listed.stdout
    assert "revoked" in run("revoke", key.id).stdout
    assert "revoked" in run("list").stdout
    assert KeyStore.of(load_settings(tmp_path)).find(secret) is None


def test_json_holds_the_key_only_when_it_is_made(run):
    made = json.loads(run("add", "berta", "--role", "staff", "--json").stdout)
    assert made["key"].startswith(f"tc_{made['id']}_")
    [listed] = [json.loads(line) for line in run("list", "--json").stdout.splitlines()]
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert json.loads(run("revoke", made["id"], "--json").stdout)["revoked"]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("add", "other/anna", "--role", "staff"), "no tenant 'other'"),
        (("add", "a b", "--role", "staff"), "NAME or TENANT/NAME"),
        (("revoke", "nothing"), "no key 'nothing'"),
    ],
)
def test_a_mistake_is_named(run, args, error):
    result = run(*args)
    assert result.exit_code == 1
    assert error in str(result.exception)


def test_serving_other_machines_without_keys_is_refused_before_anything_starts(run, tmp_path):
    result = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0", "-w", str(tmp_path)])  # noqa: S104
    assert isinstance(result.exception, SettingsError)
    assert "tunechain keys add" in str(result.exception)


def test_a_forgotten_owner_stands_in_no_byte_and_keys_are_asked_for_still(tmp_path):
    keys = KeyStore(tmp_path / "keys.sqlite")
    _, secret = keys.add("canary-4711", role="customer")
    other, other_secret = keys.add("bo", role="staff")
    assert keys.forget("canary-4711") == 1
    assert keys.forget("canary-4711") == 0
    keys.close()
    assert b"canary-4711" not in (tmp_path / "keys.sqlite").read_bytes()
    assert keys.find(secret) is None
    assert keys.find(other_secret) == other
    assert [key.owner for key in keys.list_all()] == ["(deleted)", "bo"]
    assert keys.are_required
