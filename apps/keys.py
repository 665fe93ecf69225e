"""API keys of the server: owners, roles, and the file that holds them."""

import contextlib
import hashlib
import hmac
import ipaddress
import re
import secrets
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from apps.errors import KeyFileError, SettingsError, UnknownKeyError
from apps.private_files import make_private
from apps.settings import Settings

Role = Literal["customer", "staff"]

_OWNER = re.compile(r"\w[\w.@-]{0,63}(/\w[\w.@-]{0,63})?")
_KEY = re.compile(r"tc_([0-9a-f]{12})_[0-9a-f]{64}")
_FORGOTTEN = "(deleted)"  # no name: an owner has no parentheses
_NO_DIGEST = "0" * 64  # of no key
_TABLE = (
    "CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, owner TEXT NOT NULL, role TEXT NOT NULL, "
    "digest TEXT NOT NULL, created TEXT NOT NULL, revoked TEXT) STRICT"
)


class Key(BaseModel):
    """What is known of a key; the key itself is known to its holder alone."""

    model_config = ConfigDict(frozen=True)

    id: str
    owner: str
    role: Role
    created: datetime
    revoked: datetime | None = None


class KeyStore:
    """The keys of a workspace, in one SQLite file that is made with the first key.

    What is stored is a key's SHA-256: a key holds 256 random bits, so neither salt nor a slow hash would make guessing
    any harder. Keys are never deleted, so a workspace that once had keys never answers without one again. Every
    change holds at once for a server that runs.

    Example:
        >>> import tempfile
        >>> keys = KeyStore(Path(tempfile.mkdtemp()) / "keys.sqlite")
        >>> key, secret = keys.add("anna", role="customer")
        >>> keys.find(secret) == key, keys.find(secret[:-1] + "x")
        (True, None)
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    @classmethod
    def of(cls, settings: Settings) -> "KeyStore":
        """Return the keys of a workspace."""
        return cls(settings.workspace / "keys.sqlite")

    @property
    def are_required(self) -> bool:
        """Whether there ever was a key, so that requests need one."""
        if self._connection is None and not self._path.exists():
            return False
        with self._open() as database:
            return bool(database.execute("SELECT EXISTS (SELECT 1 FROM keys)").fetchone()[0])

    def add(self, owner: str, *, role: Role) -> tuple[Key, str]:
        """Return a new key and its secret text, which cannot be shown again.

        Raises:
            SettingsError: if `owner` is no name.
            KeyFileError: if the file cannot be written.
        """
        check_owner(owner)
        key = Key(id=secrets.token_hex(6), owner=owner, role=role, created=datetime.now(UTC))
        secret = f"tc_{key.id}_{secrets.token_hex(32)}"
        row = (key.id, owner, role, _digest(secret), key.created.isoformat())
        with self._open() as database, database:
            database.execute("INSERT INTO keys (id, owner, role, digest, created) VALUES (?, ?, ?, ?, ?)", row)
        return key, secret

    def list_all(self) -> list[Key]:
        """Return every key, oldest first; revoked ones stay in the list."""
        if not self._path.exists():
            return []
        with self._open() as database:
            rows = database.execute(
                "SELECT id, owner, role, created, revoked FROM keys ORDER BY created, id"
            ).fetchall()
        return [_read(row) for row in rows]

    def revoke(self, key_id: str) -> Key:
        """Return the key, which from now on opens nothing; revoking it again changes nothing.

        Raises:
            UnknownKeyError: if there is no such key.
        """
        found = [key for key in self.list_all() if key.id == key_id]
        if not found:
            msg = f"there is no key {key_id!r}; `tunechain keys list` shows the ids"
            raise UnknownKeyError(msg)
        key = found[0]
        if key.revoked is None:
            key = key.model_copy(update={"revoked": datetime.now(UTC)})
            with self._open() as database, database:
                change = "UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL"
                database.execute(change, (str(key.revoked), key_id))
        return key

    def forget(self, owner: str) -> int:
        """Revoke the keys of an owner, take the name out of the file, and return how many keys they had.

        The keys stay in it, without a name: a workspace that once had keys never answers without one again.
        """
        num_keys = sum(key.owner == owner for key in self.list_all())
        if num_keys:
            change = "UPDATE keys SET owner = ?, revoked = coalesce(revoked, ?) WHERE owner = ?"
            with self._open() as database:
                database.execute("PRAGMA secure_delete = ON")
                with database:
                    database.execute(change, (_FORGOTTEN, str(datetime.now(UTC)), owner))
                database.execute("VACUUM")
        return num_keys

    def find(self, secret: str) -> Key | None:
        """Return the key that a secret belongs to, or None if it opens nothing.

        The time it takes tells nothing about how nearly right a secret is.
        """
        form = _KEY.fullmatch(secret)
        row = None
        if form:
            query = "SELECT id, owner, role, created, revoked, digest FROM keys WHERE id = ?"
            with self._open() as database:
                row = database.execute(query, (form[1],)).fetchone()
        is_right = hmac.compare_digest(_digest(secret), _NO_DIGEST if row is None else row[5])
        key = _read(row[:5]) if row is not None and is_right else None
        return None if key is None or key.revoked else key

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Give the connection, which stays open: it sees what other processes committed.

        Raises:
            KeyFileError: if the file cannot be used.
        """
        try:
            if self._connection is None:
                make_private(self._path)
                # the server reads it in one thread, but may be made and closed in others
                self._connection = sqlite3.connect(self._path, timeout=2.0, check_same_thread=False)
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute(_TABLE)
            yield self._connection
        except (sqlite3.Error, OSError) as error:
            self.close()
            msg = f"the keys in {self._path} cannot be used: {error}; restore the file from a backup, or move it away"
            raise KeyFileError(msg) from error


def check_owner(owner: str, *, tenants: frozenset[str] | None = None) -> None:
    """Refuse what cannot be an owner: NAME, or TENANT/NAME where `tenants` has the first part.

    Raises:
        SettingsError: if it cannot.

    Example:
        >>> check_owner("acme/anna", tenants=frozenset({"acme"}))
    """
    if not _OWNER.fullmatch(owner):
        msg = (
            f"an owner is NAME or TENANT/NAME of letters, digits and . _ @ -, each at most 64 long; got {owner[:200]!r}"
        )
        raise SettingsError(msg)
    tenant, slash, _ = owner.partition("/")
    if slash and tenants is not None and tenant not in tenants:
        known = ", ".join(sorted(tenants)) or "none"
        msg = (
            f"there is no tenant {tenant!r} (there are: {known}); name its workspace under [tenants] in tunechain.toml"
        )
        raise SettingsError(msg)


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only.

    Example:
        >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.com")]
        [True, True, True, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_address(host: str, keys: KeyStore) -> None:
    """Refuse to listen where other machines can connect while requests need no key.

    Raises:
        SettingsError: in that case.
    """
    if not is_loopback(host) and not keys.are_required:
        msg = (
            f"other machines can connect to {host}, but this workspace has no keys, so anyone could use it; make one "
            "with: tunechain keys add NAME --role staff, or listen on 127.0.0.1"
        )
        raise SettingsError(msg)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _read(row: tuple[str, str, Role, str, str | None]) -> Key:
    key_id, owner, role, created, revoked = row
    moment = None if revoked is None else datetime.fromisoformat(revoked)
    return Key(id=key_id, owner=owner, role=role, created=datetime.fromisoformat(created), revoked=moment)
