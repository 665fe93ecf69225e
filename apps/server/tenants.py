"""Which workspace a request is answered from: that of its owner's tenant, or the one all others share."""

import asyncio
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Request

from apps.server.admission import Admission
from apps.server.chains import Chains
from apps.server.owners import Owner
from apps.server.problems import ProblemError
from apps.server.serving import Serving
from apps.settings import Settings, load_settings


class Tenants:
    """The workspaces of one server; their models stand in one queue, their records know nothing of each other.

    Args:
        settings: of the main workspace, which names the others.
        chains: what the main workspace serves, instead of what its settings describe.
        admission: how many model calls run and wait, over all workspaces.

    Raises:
        WorkspaceError: if the folder of a tenant is no workspace.
        SettingsError: if the settings of a tenant cannot be used.
    """

    def __init__(self, settings: Settings, *, chains: Chains | None, admission: Admission | None) -> None:
        admission = admission or Admission()
        # one workspace is built after the other, or the memory of all would peak together
        turn = asyncio.Lock()
        self.main = Serving(settings, chains=chains, admission=admission, turn=turn)
        self._others: Mapping[str, Serving] = {
            name: Serving(load_settings(settings.workspace / folder), chains=None, admission=admission, turn=turn)
            for name, folder in settings.tenants
        }

    async def start(self) -> None:
        """Begin to build all workspaces, the main one first."""
        for serving in (self.main, *self._others.values()):
            await serving.start()

    async def stop(self) -> None:
        """End the threads of all workspaces."""
        await asyncio.gather(*(serving.stop() for serving in (self.main, *self._others.values())))

    def find(self, owner: Owner | None) -> Serving:
        """Return where the questions of an owner are answered.

        Raises:
            ProblemError: with status 403, if the owner belongs to a tenant that is not served; its questions must
                not be answered from another's records.
        """
        serving = self.main if owner is None else self._workspace_of(owner)
        if serving is None:
            raise ProblemError(403, "The tenant of this key is not served here any more.")
        return serving

    def share(self, owner: Owner, name: str) -> bool:
        """Return whether the owner called `name` is answered from the same workspace as `owner`."""
        serving = self._workspace_of(Owner(name=name, role="customer"))
        return serving is not None and serving is self._workspace_of(owner)

    def _workspace_of(self, owner: Owner) -> Serving | None:
        if owner.tenant in self._others:
            return self._others[owner.tenant]
        return self.main if owner.tenant == owner.name else None


def _find_tenants(request: Request) -> Tenants:
    tenants: Tenants = request.app.state.tenants
    return tenants


CurrentTenants = Annotated[Tenants, Depends(_find_tenants)]


def _find_serving(request: Request, tenants: CurrentTenants) -> Serving:
    return tenants.find(getattr(request.state, "owner", None))


CurrentServing = Annotated[Serving, Depends(_find_serving)]
