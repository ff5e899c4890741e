"""Other people's configuration (unit files, cloud-config, Ignition, netplan, compose files, …) as a document of ours.

    bytes ──file_types──▶ a converter, such as unit_files or compose ──▶ DocumentDraft ──yaml_writer──▶ YAML

The packages below have the converters of units and containers, and what all of them share: `draft.document_draft`.

A converter never guesses: a line that it cannot convert becomes a `Problem` with the place and a remedy.
"""
