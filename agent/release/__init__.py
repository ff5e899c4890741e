"""Signed releases, and how a fleet takes them: from a manifest to what one machine may apply.

manifest ─keys▶ signed ─publish▶ store ─▶ accept (hashes, signatures, number) ─rollout▶ texts for the engine
"""
