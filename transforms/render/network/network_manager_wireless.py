"""The sections of keyfiles for Wi-Fi, mobile broadband and 802.1X (nm-settings(5)), in the words that netplan uses."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ordain.transforms.model import Branch, Leaf, Value
from ordain.transforms.render.network.devices import Device, texts
from ordain.transforms.render.network.section_file import SectionFile
from ordain.transforms.render.network.value_text import Parameters, keyfile_text, one_zero, true_false

KEY_MANAGEMENT = {
    "psk": "wpa-psk",
    "psk-sha256": "wpa-psk",
    "eap": "wpa-eap",
    "eap-sha256": "wpa-eap",
    "eap-suite-b-192": "wpa-eap-suite-b-192",
    "sae": "sae",
    "802.1x": "ieee8021x",
}
PROTECTED_FRAMES = {"psk-sha256": "2", "eap-sha256": "2", "eap-suite-b-192": "3", "sae": "3"}
"""NMSettingWirelessSecurityPmf by key management: 2 is optional, 3 required. A bare `password` makes them optional."""
SHARED_KEYS = frozenset({"psk", "psk-sha256", "sae"})
LOGIN: Parameters = {
    "identity": ("identity", keyfile_text),
    "anonymous-identity": ("anonymous-identity", keyfile_text),
    "password": ("password", keyfile_text),
    "ca-certificate": ("ca-cert", one_zero),
    "client-certificate": ("client-cert", one_zero),
    "client-key": ("private-key", one_zero),
    "client-key-password": ("private-key-password", keyfile_text),
}
BANDS = {"5GHz": "a", "5G": "a", "2.4GHz": "bg", "2.4G": "bg"}
CHANNELS: Mapping[str, Collection[Value]] = {
    "bg": range(1, 15),
    "a": {
        *(7, 8, 9, 11, 12, 16, 34, 36, 38, 40, 42, 44, 46, 48, 52, 56, 60, 64),
        *range(100, 141, 4),
        *(149, 153, 157, 161, 165, 183, 184, 185, 187, 188, 192, 196),
    },
}
"""The channels of each band that NetworkManager accepts (libnm, nm_utils_wifi_is_channel_valid)."""
WAKE_FLAGS = {
    "any": 0x2,
    "disconnect": 0x4,
    "magic_pkt": 0x8,
    "gtk_rekey_failure": 0x10,
    "eap_identity_req": 0x20,
    "four_way_handshake": 0x40,
    "rfkill_release": 0x80,
    "tcp": 0x100,
}
"""NMSettingWirelessWakeOnWLan."""
MODEM: Parameters = {
    "apn": ("apn", keyfile_text),
    "auto-config": ("auto-config", true_false),
    "device-id": ("device-id", one_zero),
    "network-id": ("network-id", one_zero),
    "number": ("number", keyfile_text),
    "password": ("password", keyfile_text),
    "pin": ("pin", one_zero),
    "sim-id": ("sim-id", one_zero),
    "sim-operator-id": ("sim-operator-id", one_zero),
    "username": ("username", keyfile_text),
}
ONLY_GSM = frozenset({"apn", "auto-config", "device-id", "network-id", "pin", "sim-id", "sim-operator-id"})
NOT_WITH_AUTO_CONFIG = ("apn", "password", "username")
HINT = "anyone who reads the documents or the history of generations knows it"


def add_wifi(device: Device, file: SectionFile, ssid: str) -> None:
    """Add the sections of one network of a Wi-Fi interface."""
    network = device.branch.branch("access-points").branch(ssid)
    place = network.here
    # A text with a semicolon could be read as a list of bytes, so it is written as one.
    listed = "".join(f"{byte};" for byte in ssid.encode())
    file.set("wifi", "ssid", listed if ";" in ssid else keyfile_text(ssid), place)
    file.set("wifi", "mode", str(network.value("mode") or "infrastructure"), network.leaf("mode") or place)
    file.set_each("wifi", network, {"bssid": ("bssid", one_zero), "hidden": ("hidden", true_false)})
    if band := network.leaf("band"):
        file.set("wifi", "band", BANDS[str(band.value)], band)
    if channel := network.leaf("channel"):
        if not band:
            file.block(channel, "NetworkManager needs the band of a channel", "set `band`", "Renderer")
        elif channel.value not in CHANNELS[BANDS[str(band.value)]]:
            what = f"the band {band.value} has no channel {channel.value}"
            file.block(channel, what, "correct the channel or the band", "Renderer")
        file.set("wifi", "channel", one_zero(channel.value), channel)
    if events := device.branch.leaf("wakeonwlan"):
        flags = sum(WAKE_FLAGS.get(event, 0) for event in set(texts(events)))
        file.set("wifi", "wake-on-wlan", str(flags or 1), events)  # 1 is the default
    if domain := device.branch.leaf("regulatory-domain"):
        file.unsupported(domain, "regulatory-domain")
    _add_security(network, file)


def _add_security(network: Branch, file: SectionFile) -> None:
    auth, password = network.branch("auth"), network.leaf("password")
    management = str(auth.value("key-management") or ("psk" if password else "none"))
    cause = auth.leaf("key-management") or password
    if management == "none" or not cause:
        return
    file.set("wifi-security", "key-mgmt", KEY_MANAGEMENT[management], cause)
    if frames := PROTECTED_FRAMES.get(management) or ("2" if "key-management" not in auth else ""):
        file.set("wifi-security", "pmf", frames, cause)
    if management not in SHARED_KEYS:
        add_login(auth, file)
    elif key := password or auth.leaf("password"):
        _warn_of_secret(key, file)
        text = str(key.value)
        if management != "sae" and not (8 <= len(text) <= 63 or re.fullmatch("[0-9A-Fa-f]{64}", text)):
            what = "a shared key of WPA has 8 to 63 characters"
            file.block(key, what, "correct it, or write 64 hexadecimal digits", "Renderer")
        file.set("wifi-security", "psk", keyfile_text(text), key)
    else:
        file.block(cause, f"{management} needs a shared key", "set `password`", "Renderer")


def add_login(auth: Branch, file: SectionFile) -> None:
    """Add a login by EAP."""
    if auth.value("key-management") == "none":
        return
    method = auth.leaf("method")
    if not method:
        file.block(auth.here, "a login needs the method of EAP", "set `method`", "Renderer")
        return
    file.set("802-1x", "eap", str(method.value), method)
    file.set_each("802-1x", auth, LOGIN)
    if inner := auth.leaf("phase2-auth"):
        file.set("802-1x", "phase2-auth", str(inner.value).lower(), inner)
    needed = ("identity", "client-certificate", "client-key", "client-key-password")
    for key in needed if method.value == "tls" else ("identity", "password"):
        if key not in auth:
            file.block(method, f"the method {method.value} needs {key}", "add it", "Renderer")
    if method.value in {"peap", "ttls"} and not inner:
        file.block(method, f"the method {method.value} needs phase2-auth", "add it, such as mschapv2", "Renderer")
    for key in ("password", "client-key-password"):
        if leaf := auth.leaf(key):
            _warn_of_secret(leaf, file)


def modem_type(device: Device) -> str:
    """Return the type of the connection of a modem, as netplan chooses it."""
    return "gsm" if ONLY_GSM & set(device.branch) else "cdma"


def add_modem(device: Device, file: SectionFile) -> None:
    """Add the section of a modem."""
    automatic = device.flag("auto-config")
    section = modem_type(device)
    for key, (name, to_text) in MODEM.items():
        if not (leaf := device.branch.leaf(key)):
            continue
        if automatic and key in NOT_WITH_AUTO_CONFIG:
            file.warn(leaf, f"{key} has no effect with auto-config", "remove one of them")
            continue
        file.set(section, name, to_text(leaf.value), leaf)
        if key in {"password", "pin"}:
            _warn_of_secret(leaf, file)
    if section == "gsm" and not automatic and not set(NOT_WITH_AUTO_CONFIG) & set(device.branch):
        file.set_default("gsm", "auto-config", "true", "no settings of the provider are set")
    if section == "cdma" and not device.branch.leaf("number"):
        file.block(
            device.place, "a modem needs the settings of its provider", "set apn, auto-config or number", "Renderer"
        )


def _warn_of_secret(leaf: Leaf, file: SectionFile) -> None:
    key = leaf.where.pointer.rpartition("/")[2]
    file.warn(
        leaf,
        f"everybody who reads the documents knows this {key}",
        "let only root read the documents of this machine",
        "Secret",
    )
