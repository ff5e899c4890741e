"""The transformation database: the names of services, users, paths and packages on each system.

It holds the shipped Transforms and those of the administrator, merged for one machine. It builds on `resolve`,
`document` and `template`.
"""
