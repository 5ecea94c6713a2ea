"""What an administrator may do, and what one may give to another. Pure."""

from __future__ import annotations

import enum

from msgspec import Struct

from headrace.config.terms import is_within, networks_of
from headrace.data.registry.records import RoleName
from headrace.gateway.administration.faults import Denied, Why


class Role(enum.IntEnum):
    """Each may do what those before it may."""

    VIEWER = 1
    """See."""
    OPERATOR = 2
    """Make, change and revoke keys; take backends out and back."""
    ADMIN = 3
    """Tenants, teams, users, and other administrators."""

    @property
    def word(self) -> RoleName:
        return _WORDS[self]


_WORDS: dict[Role, RoleName] = {
    Role.VIEWER: "viewer",
    Role.OPERATOR: "operator",
    Role.ADMIN: "admin",
}
ROLES = {word: role for role, word in _WORDS.items()}


class Grant(Struct, frozen=True, kw_only=True):
    """What somebody was granted. `actor` names whom, for the audit log: `key:ID`, `local:USER`."""

    actor: str
    role: Role
    tenants: frozenset[str] | None = None
    """Whose things may be seen and changed; None for those of all, and for the gateway's own."""
    expires_unix_s: float | None = None
    ip_ranges: tuple[str, ...] | None = None
    ip: str = ""
    """The address that this wish came from."""
    withheld: str | None = None
    """Why the role is less than was granted, for who needs more just now."""

    def need(self, role: Role) -> None:
        """Raises Denied(FORBIDDEN), or UNAVAILABLE where the role is less for a while."""
        if self.role < role:
            if self.withheld is not None:
                raise Denied(Why.UNAVAILABLE, self.withheld)
            raise Denied(
                Why.FORBIDDEN,
                f"This needs the role {role.word}; yours is {self.role.word}.",
            )

    def need_all_tenants(self) -> None:
        """For what is the whole gateway's. Raises Denied(FORBIDDEN)."""
        if self.tenants is not None:
            raise Denied(
                Why.FORBIDDEN,
                "This concerns the whole gateway, and your key is for single tenants.",
            )

    def need_tenant(self, tenant: str) -> None:
        """To make something there. Raises Denied(FORBIDDEN)."""
        if self.tenants is not None and tenant not in self.tenants:
            raise Denied(
                Why.FORBIDDEN, f"Your key is not for the tenant {tenant!r}.", param="tenant"
            )

    def need_cover(self, other: Grant) -> None:
        """No grant exceeds its grantor's, and nobody takes over a key that may do more than the
        own one. Raises Denied(FORBIDDEN)."""
        if other.role > self.role:
            raise Denied(
                Why.FORBIDDEN,
                f"You cannot grant the role {other.role.word}: yours is {self.role.word}.",
                param="role",
            )
        if self.tenants is not None and (other.tenants is None or other.tenants - self.tenants):
            raise Denied(
                Why.FORBIDDEN,
                "You can grant access only to your own tenants: "
                f"{', '.join(sorted(self.tenants))}.",
                param="tenants",
            )
        if self.expires_unix_s is not None and (
            other.expires_unix_s is None or other.expires_unix_s > self.expires_unix_s
        ):
            raise Denied(
                Why.FORBIDDEN,
                "You cannot grant access for longer than your own lasts: give an earlier "
                "`expires`.",
                param="expires",
            )
        if self.ip_ranges is not None and not _are_within(other.ip_ranges, self.ip_ranges):
            raise Denied(
                Why.FORBIDDEN,
                "You can grant access only from within your own addresses: "
                f"{', '.join(self.ip_ranges)}.",
                param="ip_ranges",
            )


def _are_within(inner: tuple[str, ...] | None, outer: tuple[str, ...]) -> bool:
    if inner is None:
        return False
    networks = networks_of(outer)
    return all(is_within(one, networks) for one in networks_of(inner))
