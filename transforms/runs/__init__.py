"""Runs: from one neutral description of a job to the script that a system's scheduler takes, and back.

    Run documents ─run_layers▶ ResolvedRun ─elements▶ Element… ┐
    Transforms ─scheduler_rows▶ RunSystem ────────────────────┴─job_script▶ JobScript… ─▶ render, submit

`run_render` is the door. It builds on `resolve`, `template` and `document`; nothing here has effects.
"""
