"""`opentsm card profiles`: what is publicly known of real cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from opentsm_card.card_profiles import load_card_profile, profile_names
from opentsm_tools.card.desk import Desk
from opentsm_tools.card.options import CardCommand

if TYPE_CHECKING:
    from opentsm_card.card_profiles import CardProfile

__all__ = ["profiles"]


@click.command(cls=CardCommand)
@click.argument("name", required=False)
@click.pass_context
def profiles(ctx: click.Context, name: str | None) -> None:
    """Show what is publicly known of a family of cards, each fact with its source; without NAME, list the families.

    With `--card-profile NAME` the other subcommands use it: where the issuer security domain is, and which i its secure
    channel has where the card does not say.

    \b
    opentsm card profiles
    opentsm card profiles jcop-4
    """  # noqa: D301 - click's mark for text that is not to be wrapped
    desk = Desk.of(ctx)
    if name is not None:
        profile = load_card_profile(name)
        desk.emit(msgspec.to_builtins(profile), "\n".join(_lines(profile)))
        return
    known = [load_card_profile(found) for found in profile_names()]
    document = {"profiles": [{"name": profile.name, "title": profile.title} for profile in known]}
    desk.emit(document, "\n".join(f"{profile.name:18} {profile.title}" for profile in known))


def _lines(profile: CardProfile) -> list[str]:
    lines = [profile.title, ""]
    if profile.globalplatform is not None:
        lines.append(f"GlobalPlatform {profile.globalplatform.version} [{profile.globalplatform.source}]")
    if profile.issuer is not None:
        lines.append(f"issuer security domain {profile.issuer.aid} [{profile.issuer.source}]")
    if profile.security_domain is not None:
        domain = profile.security_domain
        module = f", module {domain.module}" if domain.module else ""
        lines.append(f"security domains from {domain.package}{module} [{domain.source}]")
    for channel in profile.secure_channel:
        i = "" if channel.i is None else f" i={channel.i:02X}"
        version = "" if channel.key_version is None else f", key version {channel.key_version:#04x}"
        lines.append(f"SCP{channel.scp:02X}{i}{version} [{channel.source}]")
    if profile.diversification is not None:
        lines.append(f"keys as delivered: {profile.diversification.method} [{profile.diversification.source}]")
    lines += [f"ATR {fact.pattern}: {fact.card} [{fact.source}]" for fact in profile.atr]
    lines += [f"note: {quirk.text} [{quirk.source}]" for quirk in profile.quirk]
    return [*lines, "", *(f"[{key}] {text}" for key, text in profile.sources.items())]
