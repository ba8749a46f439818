"""The demo's keys, certificates and configuration files: one folder for each party, as each would make its own.

Only public parts pass from one to another: certificates, fingerprints, the SPs' encryption keys. What is private to
the SEs' makers (the keys in each SE) goes to the SE's key file, and from there to the check at the end, which reads
the SEs.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentsm_card.diversification import diversify
from opentsm_tools.demo.cast import CENTRAL_SD, DEVICES, ISSUER_SD, KEY_VERSION, MNOS, PROVIDERS
from opentsm_tsm import pki, setup
from opentsm_tsm.config import load as load_tsm_config
from opentsm_tsm.keystore import KeyStore
from opentsm_tsm.sp.setup import add_service, create_folder

if TYPE_CHECKING:
    from pathlib import Path

    from opentsm_card.keys import KeySet
    from opentsm_tools.demo.cast import Device

__all__ = ["Folders"]

_MASTER_BYTES: Final = 16
_HOSTS: Final = ("localhost", "127.0.0.1")


@dataclass
class Folders:
    """The folders of one demo, and the keys that the SEs were made with.

    Args:
        root: the work directory.
        devices: those that take part.
    """

    root: Path
    devices: tuple[Device, ...] = DEVICES

    def __post_init__(self) -> None:
        """Make masters and authorities."""
        self.logs = self.root / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self._tsm_master = secrets.token_bytes(_MASTER_BYTES)
        self._mno_masters = {mno: secrets.token_bytes(_MASTER_BYTES) for mno in MNOS}
        self._mno_authorities = {
            mno: pki.CertificateAuthority.create(f"opentsm demo: mobile network {mno}") for mno in MNOS
        }
        self._sp_keys: dict[str, bytes] = {}
        self._tsm_fingerprint = ""

    def __repr__(self) -> str:
        """Show no key."""
        return f"Folders({self.root})"

    def issuer_keys(self, device: Device) -> KeySet:
        """Return the keys of an SE's issuer security domain: the centre's, or on a UICC the network's."""
        master = self._tsm_master if device.profile == "embedded" else self._mno_masters[device.mno]
        return diversify(master, "kdf3", device.diversification_data, version=KEY_VERSION)

    # ---- secure elements

    def make_ses(self) -> dict[str, Path]:
        """Make a key file and an `opentsm se run` configuration for each SE; return the latter's paths by SE."""
        folder = self.root / "se"
        folder.mkdir()
        made = {}
        for device in self.devices:
            keys = {"isd": self.issuer_keys(device)}
            if device.profile == "uicc":
                central = diversify(self._tsm_master, "kdf3", device.diversification_data, version=KEY_VERSION)
                keys["central"] = central
            pki.write_private(self.keys_file(device), "\n".join(_key_table(*item) for item in keys.items()).encode())
            made[device.se] = folder / f"{device.se}.run.toml"
            made[device.se].write_text(
                f'[[se]]\nid = "{device.se}"\nprofile = "{device.profile}"\ntcp = "127.0.0.1:0"\n'
                f'contactless = "127.0.0.1:0"\nkeys_file = "{device.se}.toml"\neffects = "{device.se}.effects"\n'
            )
        return made

    def keys_file(self, device: Device) -> Path:
        """Return the path of an SE's key file."""
        return self.root / "se" / f"{device.se}.toml"

    def effects_file(self, device: Device) -> Path:
        """Return the path of the file in which the virtual SE writes what each command left behind."""
        return self.root / "se" / f"{device.se}.effects"

    # ---- mobile networks

    def make_mnos(self) -> None:
        """Make the gateways' folders; the central TSM's certificate must be there."""
        for mno in MNOS:
            folder = self.root / f"mno-{mno}"
            folder.mkdir()
            authority = self._mno_authorities[mno]
            (folder / "ca.pem").write_bytes(pki.certificate_pem(authority.certificate))
            (folder / "tsm-ca.pem").write_bytes(pki.certificate_pem(self._authority.certificate))
            _issue(authority, folder / "server", ("mno", mno), hosts=_HOSTS)
            operator = _issue(authority, folder / "operator", ("operator", mno))
            _key_store(folder / "mno.keys", folder / "passphrase", {"isd-master": self._mno_masters[mno]})
            text = (
                f'[mno]\nid = "{mno}"\nlisten = "127.0.0.1:0"\n\n'
                '[tls]\ncertificate = "server.pem"\nkey = "server.key"\nclient_cas = ["ca.pem", "tsm-ca.pem"]\n\n'
                f'[peers]\ntsm = ["{self._tsm_fingerprint}"]\noperator = ["{operator}"]\n\n'
                '[keys]\nstore = "mno.keys"\npassphrase_file = "passphrase"\n'
            )
            for device in self.devices:
                if device.mno != mno:
                    continue
                text += f'\n[[device]]\nse = "{device.se}"\nmsisdn = "{device.msisdn}"\n'
                if device.profile == "uicc":
                    data = device.diversification_data.hex()
                    text += f'\n[[uicc]]\nse = "{device.se}"\nisd = "{ISSUER_SD.hex()}"\nkey_version = {KEY_VERSION}\n'
                    text += f'diversification_data = "{data}"\nallow = ["lock", "unlock", "terminate", "status"]\n'
            (folder / "mno.toml").write_text(text)

    # ---- the central TSM

    def make_tsm(self) -> None:
        """Make the central TSM's folder as `opentsm tsm init` does, with our master key."""
        config = load_tsm_config(setup.init(self.root / "tsm", hosts=_HOSTS, master=self._tsm_master))
        self._authority = setup.open_authority(config, setup.open_keystore(config))
        certificate = pki.load_certificate((self.root / "tsm" / "server.pem").read_bytes())
        self._tsm_fingerprint = pki.fingerprint(certificate).hex()

    def write_tsm_config(self, gateways: dict[str, str], listen: str = "127.0.0.1:0") -> Path:
        """Write tsm.toml.

        Args:
            gateways: the URL of each network's gateway.
            listen: HOST:PORT; a TSM that is started again must come back where it was.
        """
        folder = self.root / "tsm"
        text = f'id = "central"\nlisten = "{listen}"\n\n[central_keys]\nversion = {KEY_VERSION}\n'
        for mno, url in gateways.items():
            text += f'\n[[mno]]\nid = "{mno}"\ngateway = "{url}"\nca = "../mno-{mno}/ca.pem"\n'
        for provider in PROVIDERS:
            (folder / f"{provider.name}.pub.pem").write_bytes(self._sp_keys[provider.name])
            prefixes = json.dumps([provider.sd.hex(), provider.instance[:-1].hex()])
            text += f'\n[[sp]]\nid = "{provider.name}"\nmnos = {json.dumps(MNOS)}\n'
            text += f'encryption_key = "{provider.name}.pub.pem"\naid_prefixes = {prefixes}\n'
        for device in self.devices:
            text += f'\n[[se]]\nid = "{device.se}"\ntype = "{device.se_type}"\nconfiguration = "{device.profile}"\n'
            text += f'mno = "{device.mno}"\nmsisdn = "{device.msisdn}"\n'
            if device.profile == "uicc":
                text += f'central = "{CENTRAL_SD.hex()}"\n'
        (folder / "tsm.toml").write_text(text)
        return folder / "tsm.toml"

    # ---- service providers and devices

    def make_sps(self) -> None:
        """Make the SP TSMs' folders: their keys stay there, and the central TSM gets the public one."""
        for provider in PROVIDERS:
            folder = self.root / f"sp-{provider.name}"
            public, request = create_folder(folder, provider.name, provider.sd, "https://127.0.0.1:0")
            self._sp_keys[provider.name] = public
            certificate = self._authority.issue(pki.load_request(request), [("sp", provider.name)])
            (folder / "client.pem").write_bytes(pki.certificate_pem(certificate))
            (folder / "tsm-ca.pem").write_bytes(pki.certificate_pem(self._authority.certificate))
            add_service(folder, provider.service, provider.instance, provider.label, provider.priority)

    def sp_config(self, name: str, tsm_url: str) -> Path:
        """Tell an SP TSM where the central TSM is; return the path of its sp.toml."""
        path = self.root / f"sp-{name}" / "sp.toml"
        path.write_text(path.read_text().replace("https://127.0.0.1:0", tsm_url))
        return path

    def make_device(self, device: Device, tsm_url: str, gateway: str, link: str) -> Path:
        """Make a device's folder; return the path of its agent.toml."""
        folder = self.root / device.name
        folder.mkdir()
        path = folder / "agent.toml"
        path.write_text(
            f'[tsm]\nurl = "{tsm_url}"\n\n[network]\ngateway = "{gateway}"\nca = "../mno-{device.mno}/ca.pem"\n\n'
            '[identity]\ncertificate = "device.pem"\nkey = "device.key"\nca = "tsm-ca.pem"\n\n'
            f'[journal]\npath = "journal"\n\n[[se]]\nid = "{device.se}"\ntype = "{device.se_type}"\n'
            f"link = {json.dumps(link)}\n"
        )
        return path


def _key_table(name: str, keys: KeySet) -> str:
    values = (f'{part} = "{getattr(keys, part).hex()}"' for part in ("enc", "mac", "dek"))
    return "\n".join((f"[{name}]", f"version = {keys.version}", *values)) + "\n"


def _issue(authority: pki.CertificateAuthority, base: Path, name: tuple[str, str], hosts: tuple[str, ...] = ()) -> str:
    """Write a key and its certificate chain beside each other and return the certificate's SHA-256 in hex."""
    key = pki.create_key()
    certificate = authority.issue(key.public_key(), [name], hosts=hosts)
    pki.write_private(base.with_suffix(".key"), pki.key_pem(key))
    base.with_suffix(".pem").write_bytes(pki.certificate_pem(certificate) + pki.certificate_pem(authority.certificate))
    return pki.fingerprint(certificate).hex()


def _key_store(path: Path, passphrase_file: Path, named: dict[str, bytes]) -> None:
    passphrase = secrets.token_urlsafe(24).encode()
    pki.write_private(passphrase_file, passphrase)
    store = KeyStore.create(path, passphrase)
    for name, secret in named.items():
        store.put(name, secret)
