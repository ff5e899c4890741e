"""What people have (unit files, cloud-config, quadlets, compose files, fstab) → a document of ours.

bytes ─kinds─▶ units | cloud | quadlet | compose | fstab ─▶ Imported ─writer─▶ YAML

An importer never guesses: what it cannot carry is a `Problem` at its line that says what to do instead.
"""
