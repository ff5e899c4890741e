"""Samples with every key of netplan, which netplan can read too: each is the text below ``network:``."""

from __future__ import annotations

KEY = "4GgaQCy68nzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8="
PUBLIC = "M9nt4YujIOmNrRmpIRTmYSfMdrpvE7u6WkG8FY8WjG4="
OTHER = "rlbInAj0qV69CysWPQY7KEBnKxpYCpaWqOs/dLevdWc="

ETHERNET = {
    "nothing": "{}",
    "dhcp4": "{dhcp4: true}",
    "dhcp4-false": "{dhcp4: false}",
    "dhcp6": "{dhcp6: true}",
    "dhcp-both": "{dhcp4: true, dhcp6: true}",
    "dhcp-identifier": "{dhcp4: true, dhcp-identifier: mac}",
    "dhcp-identifier-duid": "{dhcp4: true, dhcp-identifier: duid}",
    "dhcp4-use-dns": "{dhcp4: true, dhcp4-overrides: {use-dns: false}}",
    "dhcp4-use-ntp": "{dhcp4: true, dhcp4-overrides: {use-ntp: false}}",
    "dhcp4-use-mtu": "{dhcp4: true, dhcp4-overrides: {use-mtu: false}}",
    "dhcp4-use-hostname": "{dhcp4: true, dhcp4-overrides: {use-hostname: false}}",
    "dhcp4-send-hostname": "{dhcp4: true, dhcp4-overrides: {send-hostname: false}}",
    "dhcp4-hostname": "{dhcp4: true, dhcp4-overrides: {hostname: web-1}}",
    "dhcp4-use-routes": "{dhcp4: true, dhcp4-overrides: {use-routes: false}}",
    "dhcp4-use-domains": "{dhcp4: true, dhcp4-overrides: {use-domains: route}}",
    "dhcp4-use-domains-true": "{dhcp4: true, dhcp4-overrides: {use-domains: true}}",
    "dhcp4-route-metric": "{dhcp4: true, dhcp4-overrides: {route-metric: 3333}}",
    "dhcp6-use-dns": "{dhcp6: true, dhcp6-overrides: {use-dns: false}}",
    "dhcp6-use-ntp": "{dhcp6: true, dhcp6-overrides: {use-ntp: false}}",
    "dhcp6-route-metric": "{dhcp6: true, dhcp6-overrides: {route-metric: 7}}",
    "overrides-without-dhcp": "{dhcp4-overrides: {route-metric: 7}}",
    "dhcp-both-overrides": (
        "{dhcp4: true, dhcp6: true, dhcp4-overrides: {use-dns: false}, dhcp6-overrides: {use-dns: false}}"
    ),
    "accept-ra": "{accept-ra: true}",
    "accept-ra-false": "{dhcp6: true, accept-ra: false}",
    "ra-overrides": "{accept-ra: true, ra-overrides: {use-dns: false, use-domains: route, table: 7}}",
    "addresses": '{addresses: [192.0.2.2/24, "2001:db8::2/64", 192.0.2.3/24]}',
    "address-label": '{addresses: [192.0.2.2/24: {label: "eth0:some"}]}',
    "address-lifetime": '{addresses: [192.0.2.2/24: {lifetime: "0"}, "2001:db8::2/64": {lifetime: forever}]}',
    "address-options-mixed": "{addresses: [192.0.2.2/24, 192.0.2.9/24: {lifetime: 0, label: x}]}",
    "ipv6-address-generation": "{dhcp6: true, ipv6-address-generation: eui64}",
    "ipv6-address-generation-privacy": "{dhcp6: true, ipv6-address-generation: stable-privacy}",
    "ipv6-address-token": '{dhcp6: true, ipv6-address-token: "::2"}',
    "ipv6-mtu": "{ipv6-mtu: 1300, mtu: 1500}",
    "ipv6-privacy": "{ipv6-privacy: true}",
    "ipv6-privacy-false": "{ipv6-privacy: false}",
    "link-local-none": "{link-local: []}",
    "link-local-ipv4": "{link-local: [ipv4]}",
    "link-local-both": "{link-local: [ipv4, ipv6]}",
    "gateway4": "{addresses: [192.0.2.2/24], gateway4: 192.0.2.1}",
    "gateway6": '{addresses: ["2001:db8::2/64"], gateway6: "2001:db8::1"}',
    "nameservers": '{nameservers: {addresses: [192.0.2.53, "2001:db8::53"], search: [example.com, lab.example.com]}}',
    "nameservers-search": "{nameservers: {search: [example.com]}}",
    "macaddress": "{macaddress: 52:54:00:12:34:56}",
    "mtu": "{mtu: 9000}",
    "optional": "{optional: true, dhcp4: true}",
    "critical": "{critical: true, dhcp4: true}",
    "ignore-carrier": "{ignore-carrier: true, addresses: [192.0.2.2/24]}",
    "activation-manual": "{activation-mode: manual}",
    "activation-off": "{activation-mode: off}",
    "emit-lldp": "{emit-lldp: true}",
    "wakeonlan": "{wakeonlan: true}",
    "match-name": '{match: {name: "enp*"}, dhcp4: true}',
    "match-mac": "{match: {macaddress: 52:54:00:12:34:56}, dhcp4: true}",
    "match-driver": "{match: {driver: virtio_net}, dhcp4: true}",
    "match-drivers": "{match: {driver: [virtio_net, e1000e]}, dhcp4: true}",
    "match-set-name": "{match: {macaddress: 52:54:00:12:34:56}, set-name: lan0, dhcp4: true}",
    "match-name-set-name": "{match: {name: enp3s0}, set-name: lan0, mtu: 1400}",
    "offloads": (
        "{receive-checksum-offload: true, transmit-checksum-offload: false, tcp-segmentation-offload: true,"
        " tcp6-segmentation-offload: false, generic-segmentation-offload: true, generic-receive-offload: false,"
        " large-receive-offload: true}"
    ),
    "route": "{routes: [{to: 198.51.100.0/24, via: 192.0.2.1}]}",
    "route-host": "{routes: [{to: 198.51.100.1, via: 192.0.2.1}]}",
    "route-default": '{routes: [{to: default, via: 192.0.2.1}, {to: default, via: "2001:db8::1"}]}',
    "route-default-by-numbers": '{routes: [{to: 0.0.0.0/0, via: 192.0.2.1}, {to: "::/0", via: "2001:db8::1"}]}',
    "route-metric": "{routes: [{to: 198.51.100.0/24, via: 192.0.2.1, metric: 77}]}",
    "route-table": "{routes: [{to: 198.51.100.0/24, via: 192.0.2.1, table: 100}]}",
    "route-on-link": "{routes: [{to: 198.51.100.0/24, via: 192.0.2.1, on-link: true}]}",
    "route-from": "{routes: [{to: 198.51.100.0/24, via: 192.0.2.1, from: 192.0.2.2}]}",
    "route-mtu": "{routes: [{to: 198.51.100.0/24, via: 192.0.2.1, mtu: 1400}]}",
    "route-windows": (
        "{routes: [{to: 198.51.100.0/24, via: 192.0.2.1, congestion-window: 16, advertised-receive-window: 20}]}"
    ),
    "route-advertised-mss": "{routes: [{to: 198.51.100.0/24, via: 192.0.2.1, advertised-mss: 1400}]}",
    "route-scope": "{routes: [{to: 198.51.100.0/24, via: 192.0.2.1, scope: link}]}",
    "route-scope-host": "{routes: [{to: 198.51.100.0/24, scope: host}]}",
    "route-without-via": '{routes: [{to: 198.51.100.0/24}, {to: "2001:db8:1::/48"}]}',
    "route-types": (
        "{routes: [{to: 198.51.100.0/24, type: blackhole}, {to: 198.51.101.0/24, type: unreachable},"
        " {to: 198.51.102.0/24, type: prohibit}, {to: 198.51.103.0/24, type: throw},"
        " {to: 198.51.104.1, type: local}, {to: 198.51.105.0/24, type: anycast},"
        " {to: 198.51.106.0/24, type: broadcast}, {to: 224.0.0.0/4, type: multicast}]}"
    ),
    "route-gateway-of-ipv6": '{routes: [{to: "2001:db8:2::/48", via: "fe80::1", metric: 5, table: 9}]}',
    "rule-from": "{routing-policy: [{from: 192.0.2.0/24, table: 100}]}",
    "rule-to": '{routing-policy: [{to: 198.51.100.0/24, table: 100}, {to: "2001:db8::/32", table: 3}]}',
    "rule-everything": (
        "{routing-policy: [{from: 192.0.2.0/24, to: 198.51.100.0/24, table: 100, priority: 50, mark: 1,"
        " type-of-service: 16}]}"
    ),
}

BOND = {
    "mode": "{mode: active-backup}",
    "mode-8023ad": "{mode: 802.3ad, lacp-rate: fast, ad-select: bandwidth, transmit-hash-policy: layer3+4}",
    "mii": "{mode: active-backup, mii-monitor-interval: 100}",
    "mii-unit": "{mode: active-backup, mii-monitor-interval: 1s}",
    "min-links": "{mode: 802.3ad, min-links: 2}",
    "all-members-active": "{mode: balance-rr, all-slaves-active: true}",
    "arp": (
        "{mode: active-backup, arp-interval: 200, arp-ip-targets: [192.0.2.1, 192.0.2.9], arp-validate: all,"
        " arp-all-targets: all}"
    ),
    "delays": "{mode: active-backup, mii-monitor-interval: 100, up-delay: 200, down-delay: 300ms}",
    "fail-over": "{mode: active-backup, fail-over-mac-policy: active, gratuitous-arp: 5, resend-igmp: 3}",
    "packets": "{mode: balance-rr, packets-per-slave: 10}",
    "learning": "{mode: balance-alb, learn-packet-interval: 20, primary-reselect-policy: better}",
    "primary": "{mode: active-backup, primary: eth1}",
    "nothing": "{}",
}

BRIDGE = {
    "nothing": "{}",
    "stp": "{stp: false}",
    "stp-true": "{stp: true}",
    "times": "{ageing-time: 50, forward-delay: 12, hello-time: 6, max-age: 24}",
    "time-units": "{aging-time: 5min, max-age: 30s}",
    "priority": "{priority: 1000}",
    "path-cost": "{path-cost: {eth0: 70, eth1: 80}}",
    "port-priority": "{port-priority: {eth0: 14}}",
}

TUNNEL = {
    "gre": "{mode: gre, local: 192.0.2.2, remote: 192.0.2.3}",
    "gre-key": "{mode: gre, local: 192.0.2.2, remote: 192.0.2.3, key: 1234}",
    "gre-keys": "{mode: gre, local: 192.0.2.2, remote: 192.0.2.3, keys: {input: 1, output: 192.0.2.9}}",
    "gretap": "{mode: gretap, local: 192.0.2.2, remote: 192.0.2.3, mtu: 1400}",
    "ip6gre": '{mode: ip6gre, local: "2001:db8::2", remote: "2001:db8::3", key: 5}',
    "ip6gretap": '{mode: ip6gretap, local: "2001:db8::2", remote: "2001:db8::3"}',
    "ip6ip6": '{mode: ip6ip6, local: "2001:db8::2", remote: "2001:db8::3"}',
    "ipip6": '{mode: ipip6, local: "2001:db8::2", remote: "2001:db8::3"}',
    "ipip": "{mode: ipip, local: 192.0.2.2, remote: 192.0.2.3, ttl: 64}",
    "sit": '{mode: sit, local: 192.0.2.2, remote: 192.0.2.3, addresses: ["2001:db8::2/64"]}',
    "vti": "{mode: vti, local: 192.0.2.2, remote: 192.0.2.3, key: 7}",
    "vti6": '{mode: vti6, local: "2001:db8::2", remote: "2001:db8::3", key: 7}',
    "wireguard": (
        f"{{mode: wireguard, key: {KEY}, addresses: [10.9.0.1/24], peers: [{{keys: {{public: {PUBLIC}}},"
        f" allowed-ips: [10.9.0.0/24]}}]}}"
    ),
    "wireguard-file": (
        "{mode: wireguard, keys: {private: /etc/wireguard/key}, port: 51820, mark: 42, peers: [{keys:"
        f" {{public: {PUBLIC}}}, allowed-ips: [10.9.0.0/24]}}]}}"
    ),
    "wireguard-peers": (
        f"{{mode: wireguard, key: {KEY}, port: 5182, peers: ["
        f'{{keys: {{public: {PUBLIC}, shared: {OTHER}}}, allowed-ips: [0.0.0.0/0, "2001:db8::/32"], keepalive: 23,'
        f' endpoint: "192.0.2.7:5182"}},'
        f"{{keys: {{public: {OTHER}, shared: /etc/wireguard/psk}}, allowed-ips: [198.51.100.0/24],"
        f' endpoint: "vpn.example.com:51820"}}]}}'
    ),
    "vxlan": "{mode: vxlan, id: 7, local: 192.0.2.2, remote: 192.0.2.3}",
    "vxlan-group": "{mode: vxlan, id: 7, remote: 224.0.0.5, link: eth0}",
    "vxlan-everything": (
        "{mode: vxlan, id: 7, remote: 192.0.2.3, ttl: 64, port: 4789, mac-learning: true, ageing: 30, limit: 100,"
        " arp-proxy: true, notifications: [l2-miss, l3-miss], short-circuit: true, type-of-service: 1,"
        " checksums: [udp, zero-udp6-tx, zero-udp6-rx, remote-tx, remote-rx], extensions: [group-policy,"
        " generic-protocol], port-range: [42, 4200], flow-label: 5, do-not-fragment: true}"
    ),
}

WHOLE = {
    "dummy": "dummy-devices: {dm0: {addresses: [192.0.2.9/32], mtu: 1400, macaddress: 52:54:00:12:34:56}}",
    "veth": "virtual-ethernets: {ve0: {peer: ve1}, ve1: {peer: ve0, addresses: [192.0.2.9/30]}}",
    "vlan": (
        "ethernets: {eth0: {}}\n"
        "vlans: {eth0.5: {id: 5, link: eth0, addresses: [192.0.2.2/24]}, v6: {id: 6, link: eth0}}"
    ),
    "vlan-mac": "ethernets: {eth0: {}}\nvlans: {v5: {id: 5, link: eth0, macaddress: 52:54:00:12:34:56, mtu: 1400}}",
    "vrf": (
        "ethernets: {eth0: {dhcp4: true}}\nvrfs: {blue: {table: 1005, interfaces: [eth0], routes:"
        " [{to: 198.51.100.0/24, type: unreachable}], routing-policy: [{from: 192.0.2.0/24}]}}"
    ),
    "bond-of-vlans": "ethernets: {eth0: {}}\nvlans: {v5: {id: 5, link: eth0}}\nbonds: {bo0: {interfaces: [v5]}}",
    "bridge-of-bond": (
        "ethernets: {eth0: {}, eth1: {}}\nbonds: {bo0: {interfaces: [eth0, eth1]}}\n"
        "bridges: {br0: {interfaces: [bo0], dhcp4: true}}"
    ),
    "bridge-in-vrf": "bridges: {br0: {}}\nvrfs: {red: {table: 9, interfaces: [br0]}}",
    "port-options": (
        "ethernets: {eth0: {neigh-suppress: true, hairpin: true, port-mac-learning: false}}\n"
        "bridges: {br0: {interfaces: [eth0]}}"
    ),
    "vxlan-in-bridge": (
        "ethernets: {eth0: {}}\ntunnels: {vx0: {mode: vxlan, id: 7, link: eth0, remote: 192.0.2.9}}\n"
        "bridges: {br0: {interfaces: [vx0]}}"
    ),
    "two-ethernets": "ethernets: {eth0: {dhcp4: true}, eth1: {addresses: [192.0.2.2/24]}}",
}

_BOTH = '{addresses: [192.0.2.2/24, "2001:db8::2/64"], routes:'
"""The beginning of a device with routes, which NetworkManager sets only for families with an address."""
_PORTS = "ethernets: {eth0: {}, eth1: {}}\n"
SAMPLES = {
    **{
        f"ethernet-{name}": f"ethernets: {{eth0: {text.replace('{routes:', _BOTH, 1)}}}"
        for name, text in ETHERNET.items()
    },
    **{
        f"bond-{name}": f"{_PORTS}bonds: {{bo0: {{interfaces: [eth0, eth1], parameters: {text}}}}}"
        for name, text in BOND.items()
    },
    **{
        f"bridge-{name}": f"{_PORTS}bridges: {{br0: {{interfaces: [eth0, eth1], parameters: {text}}}}}"
        for name, text in BRIDGE.items()
    },
    **{f"tunnel-{name}": f"ethernets: {{eth0: {{}}}}\ntunnels: {{tun0: {text}}}" for name, text in TUNNEL.items()},
    **WHOLE,
}
