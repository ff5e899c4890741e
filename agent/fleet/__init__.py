"""Many machines: what each reports of itself, and how they take changes one after the other.

agent ─report▶ /run/ordain/status.json ─publisher▶ store: status/MACHINE-ID ─machines▶ `ordainctl fleet`
"""
