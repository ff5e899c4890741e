"""All reports about one machine, and everything in which two of them contradict each other.

converged          ⇔  exit status 0, no fault, and nothing paused, on trial or rolled back
converged          ⇒  the plan is empty, every unit is as wanted, the documents' generation is in force
an apply           ⇒  it exited with 0 or 3 as the status does afterwards
a rolled back one  ⇒  it is a fault, also while the machine is paused
the last word      ⇒  a pause or a follow holds, also if it was given during an apply
in every state     the properties on the bus are those of the status, and the history has the generation in force
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

PROPERTIES = {"State": "state", "Generation": "generation", "WantedGeneration": "wanted_generation"}
"""By property on the bus, the field of the status that it repeats."""
ALWAYS_FAULTS = {"RolledBack", "RollbackIncomplete", "Refused", "NotApplied", "Drift", "NotInstalled", "Undone"}
"""Codes of conditions that are a fault whatever the state is."""


def disagreements(reports: Mapping[str, Any]) -> Iterator[str]:
    """Yield each contradiction of two reports.

    ``reports``: ``status`` as JSON, ``exit`` of `ordainctl status`, ``properties`` by name, ``plan`` (the exit status
    of `ordainctl plan --exit-code`), ``planned`` (its text) and ``history`` as JSON; optionally ``applied``, the exit
    status of an apply right before, and ``paused``, whether an administrator gave `pause` (and not `follow`) last.
    """
    status = reports["status"]
    state = status["state"]
    faults = [condition for condition in status["conditions"] if condition["fault"]]
    stays = {"Pinned", "Paused", "Trial"} & {condition["code"] for condition in status["conditions"]}
    if state in ("applying", "starting", "trial"):
        yield f"it is still {state}"
    if (state == "converged") != (not faults and not stays and state != "rolled-back"):
        yield f"it is {state}, with the faults {faults} and {stays}"
    if (reports["exit"] == 0) != (not faults and state != "rolled-back"):
        yield f"the exit status is {reports['exit']} with the faults {faults}"
    codes = sorted(condition["code"] for condition in status["conditions"])
    if reports["exit"] == 0 and (hidden := ALWAYS_FAULTS & set(codes)):
        yield f"the exit status is 0 with {hidden}"
    if (paused := reports.get("paused")) is not None and paused != ("Paused" in codes):
        yield f"the last instruction was {'pause' if paused else 'follow'}, and the conditions are {codes}"
    if (applied := reports.get("applied")) in (0, 3) and applied != reports["exit"]:
        yield f"the apply exited with {applied}, and the status with {reports['exit']}: {faults}"
    if state == "converged":
        if reports["plan"] != 0:
            yield f"it is converged, and the plan exits with {reports['plan']}: {reports['planned']}"
        if wrong := [unit["unit"] for unit in status["units"] if not unit["ok"] and unit["why"] != "held"]:
            yield f"it is converged, but not {wrong}"
        if status["hash"] != status["wanted_hash"]:
            yield "it is converged, and the documents want another generation"
    if state == "paused" and not stays:
        yield "it is paused without a reason"
    for name, field in PROPERTIES.items():
        if reports["properties"][name] != status[field]:
            yield f"the property {name} is {reports['properties'][name]}, and the status says {status[field]}"
    if sorted(row[0] for row in reports["properties"]["Conditions"]) != codes:
        yield f"the property Conditions is {reports['properties']['Conditions']}, and the status has {codes}"
    drift = sorted(unit["unit"] for unit in status["units"] if not unit["ok"])
    if sorted(row[0] for row in reports["properties"]["Drift"]) != drift:
        yield f"the property Drift is {reports['properties']['Drift']}, and the status has {drift}"
    in_force = [row["number"] for row in reports["history"] if row["in_force"]]
    if in_force != [status["generation"]] * bool(status["generation"]):
        yield f"the history has {in_force} in force, and the status {status['generation']}"
