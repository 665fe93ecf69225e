"""Authentication and rate limiting, after the stated size and before the body is read; the owner of a request."""

import ipaddress
import logging
import socket
from dataclasses import dataclass
from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from apps.errors import KeyFileError
from apps.keys import Key, KeyStore, Role, is_loopback
from apps.server.admission import ASKING, Asker
from apps.server.problems import ProblemError, refuse, refuse_unread
from apps.server.rate_limit import RateLimiter

_log = logging.getLogger(__name__)

# what shows nothing of a workspace; every other address needs a key, also those that do not exist
_OPEN_PATHS = frozenset({"/", "/docs", "/health", "/livez", "/openapi.json", "/readyz"})
_OPEN_FOLDER = "/static/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who asks; everything that a server keeps belongs to one, by its `name`.

    Example:
        >>> owner = Owner(name="acme/anna", role="customer")
        >>> owner.tenant, owner.person, owner.is_staff
        ('acme', 'anna', False)
    """

    name: str
    role: Role
    key_id: str | None = None

    @classmethod
    def of(cls, key: Key) -> "Owner":
        """Return the owner of a key."""
        return cls(name=key.owner, role=key.role, key_id=key.id)

    @property
    def tenant(self) -> str:
        """The tenant that the name belongs to, if there is a tenant of this name."""
        return self.name.partition("/")[0]

    @property
    def person(self) -> str:
        """The name within the tenant."""
        return self.name.rpartition("/")[2]

    @property
    def is_staff(self) -> bool:
        """Whether everything may be asked."""
        return self.role == "staff"


LOCAL = Owner(name="local", role="staff")  # whoever sits at a machine whose workspace has no keys

# other names, also those without a dot, may be made to lead here by somebody in the same network
_OWN_NAMES = frozenset({"localhost", socket.gethostname().lower().partition(".")[0]})
_PROXY_HEADERS = ("x-forwarded-for", "x-real-ip", "forwarded", "via")

_WRONG_KEYS_PER_MINUTE = 60
_WRONG_KEYS_AT_ONCE = 20
_MAX_ADDRESSES = 10_000


class AccessMiddleware:
    """Finds out whose request it is and puts the `Owner` into the request's state.

    A workspace without keys is for the people at this machine: only its own addresses are answered, and the owner is
    called "local".

    Wrong keys are counted by the address they come from. Of an address that has sent too many, right keys are still
    taken: behind a proxy all clients have one address, and whoever guesses must not shut the others out.

    Args:
        app: what comes behind.
        keys: of the workspace.
        limiter: how often each key may ask.
        tenants: names of those that are served.
    """

    def __init__(
        self, app: ASGIApp, *, keys: KeyStore, limiter: RateLimiter, tenants: frozenset[str] = frozenset()
    ) -> None:
        self._app = app
        self._keys = keys
        self._limiter = limiter
        self._tenants = tenants
        self._wrong_keys = RateLimiter(
            per_minute=_WRONG_KEYS_PER_MINUTE, burst=_WRONG_KEYS_AT_ONCE, max_names=_MAX_ADDRESSES
        )
        self._readers = anyio.CapacityLimiter(1)  # another program may have the file locked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and not _is_open(scope):
            try:
                owner = await self._find_owner(scope)
            except ProblemError as refusal:  # whatever a stranger goes on to send is not read
                await refuse_unread(scope, refusal)(scope, receive, send)
                return
            try:
                self._check_rate(owner)
            except ProblemError as refusal:
                await refuse(scope, refusal)(scope, receive, send)
                return
            scope.setdefault("state", {})["owner"] = owner
            if owner.key_id is not None:
                ASKING.set(Asker(owner.tenant if owner.tenant in self._tenants else "", owner.name))
        await self._app(scope, receive, send)

    async def _find_owner(self, scope: Scope) -> Owner:
        """Return whose request it is.

        Raises:
            ProblemError: with status 401, 403, 429 or, where the keys cannot be read, 503.
        """
        try:
            owner = await anyio.to_thread.run_sync(self._look_up_owner, scope, limiter=self._readers)
        except KeyFileError as error:  # then nothing is opened, also not as if there were no keys
            _log.error("%s", error)
            raise ProblemError(503, "The keys cannot be read; the log of the server says why.") from error
        if owner is None:
            self._check_wrong_keys(scope)
            detail = "Send a valid key as `Authorization: Bearer KEY`; `tunechain keys add` makes one."
            raise ProblemError(401, detail, headers={"WWW-Authenticate": "Bearer"})
        return owner

    def _look_up_owner(self, scope: Scope) -> Owner | None:
        if not self._keys.are_required:
            _check_is_local(scope)
            return LOCAL
        scheme, _, secret = _authorization(scope).partition(" ")
        key = self._keys.find(secret.strip()) if scheme.lower() == "bearer" else None
        return None if key is None else Owner.of(key)

    def _check_wrong_keys(self, scope: Scope) -> None:
        wait_s = self._wrong_keys.take(_network_of(scope)) if _authorization(scope) else 0
        if wait_s:
            detail = f"Too many wrong keys came from this address; it may try another one in {wait_s} s."
            raise ProblemError(429, detail, headers={"Retry-After": str(wait_s)})

    def _check_rate(self, owner: Owner) -> None:
        if owner.key_id is None:
            return
        wait_s = self._limiter.take(owner.key_id)
        if wait_s:
            detail = f"This key has asked too often; its next request may come in {wait_s} s."
            raise ProblemError(429, detail, headers={"Retry-After": str(wait_s)})


def _authorization(scope: Scope) -> str:
    return Headers(scope=scope).get("authorization", "")


def _network_of(scope: Scope) -> str:
    """Return the address of a client; of IPv6 its first half, since whoever has one address has all of these."""
    client: str = (scope.get("client") or ("", 0))[0]
    try:
        address = ipaddress.ip_address(client)
    except ValueError:  # a socket of the file system has none
        return client
    return str(address) if address.version == 4 else str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def _is_open(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["method"] in {"GET", "HEAD"} and (path in _OPEN_PATHS or path.startswith(_OPEN_FOLDER))


def _check_is_local(scope: Scope) -> None:
    """Refuse requests from other machines, and those a page of another site sends by a name that leads here.

    Raises:
        ProblemError: with status 403.
    """
    client = (scope.get("client") or ("", 0))[0]
    headers = Headers(scope=scope)
    named = headers.get("host", "")
    host = named.rpartition(":")[0] if named.rpartition(":")[2].isdigit() else named
    is_from_network = _is_address(client)  # else a call within this process, or through a socket of its file system
    is_remote = is_from_network and not is_loopback(client)
    is_our_name = is_loopback(host) or host.lower() in _OWN_NAMES or not is_from_network
    is_passed_on = any(name in headers for name in _PROXY_HEADERS)  # by a proxy, whose client may be anywhere
    if not is_our_name or is_passed_on or is_remote:
        raise ProblemError(403, "Without keys only this machine is answered; `tunechain keys add` makes one.")


def _is_address(client: str) -> bool:
    try:
        ipaddress.ip_address(client)
    except ValueError:
        return False
    return True


# --- for the routes; coroutines, because FastAPI calls a plain function in a thread, which costs more than these do


async def _owner_of(request: Request) -> Owner:
    owner: Owner | None = getattr(request.state, "owner", None)
    if owner is None:  # only if a route were opened by mistake
        raise ProblemError(401, "Send a key.")
    return owner


CurrentOwner = Annotated[Owner, Depends(_owner_of)]


async def require_staff(owner: CurrentOwner) -> Owner:
    """Return the owner, if it may ask everything.

    Raises:
        ProblemError: with status 403, for a customer's key.
    """
    if not owner.is_staff:
        raise ProblemError(403, "This key is a customer's; the address needs one of role staff.")
    return owner
