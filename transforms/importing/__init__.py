"""Other people's configuration (unit files, cloud-config, quadlets, compose files, fstab) as a document of ours.

    bytes ──file_types──▶ unit_files | cloud_config | quadlet | compose | fstab ──▶ DocumentDraft ──yaml_writer──▶ YAML

A converter never guesses: a line that it cannot convert becomes a `Problem` with the place and a remedy.
"""
