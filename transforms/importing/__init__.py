"""Other people's configuration (unit files, cloud-config, Ignition, netplan, compose files, …) as a document of ours.

    bytes ──file_types──▶ a converter, such as unit_files or compose ──▶ DocumentDraft ──yaml_writer──▶ YAML

A converter never guesses: a line that it cannot convert becomes a `Problem` with the place and a remedy.
"""
