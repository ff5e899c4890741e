"""The settings that hold without an agent.yaml, as its text: `ordainctl init` writes it, and the manual shows it."""

DEFAULTS = """\
source: {type: directory, path: /etc/ordain/documents}
labels: {}
trust: local
max-removal: 50%
windows: []
network: {reach: [source, gateway, caller], within: 30s}
"""
