"""Whose request it is, as the routes see it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from apps.keys import Key, Role
from apps.server.problems import ProblemError


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


def _find_owner(request: Request) -> Owner:
    owner: Owner | None = getattr(request.state, "owner", None)
    if owner is None:  # only if a route were opened by mistake
        raise ProblemError(401, "Send a key.")
    return owner


CurrentOwner = Annotated[Owner, Depends(_find_owner)]


def require_staff(owner: CurrentOwner) -> Owner:
    """Return the owner, if it may ask everything.

    Raises:
        ProblemError: with status 403, for a customer's key.
    """
    if not owner.is_staff:
        raise ProblemError(403, "This key is a customer's; the address needs one of role staff.")
    return owner
