"""The state of a relay for people: what it has, what waits, and whether its store answers; kept in a file of its state.

`Relay` ──state_of──▶ `RelayState` ──keep_state──▶ STATE/relay/state.json, `ordainctl fleet relay`
                                   └─────────────▶ the API and the page
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.agent.server.relay.relay import Relay
from ordain.agent.system import atomic_files

log = logging.getLogger(__name__)
STATE = "relay/state.json"
LOOK_SEC = 0.5
KEEP_SEC = 5.0
"""The time after which the file is written although nothing has changed; one that is older by far is of a relay that
does not run."""
STALE_SEC = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayState:
    """A relay as it is at the time ``now``, in seconds since 1970.

    ``store`` is the place of its store, which has not answered for ``away_sec`` seconds, for the reason ``fault``;
    0 and "": it answers. ``copied`` is the time of the last good copy, 0 if there is none yet, and ``entries`` their
    number. ``queued`` reports wait for the store, the oldest for ``oldest_sec``, for the reason ``queue_fault``;
    ``forwarded`` went to it, and ``dropped`` were too many or too old. ``machines`` have reported here. ``older``
    says of which channels the store has only lower releases than this relay once copied, as after a restore.
    """

    name: str
    now: int
    store: str
    away_sec: int = 0
    fault: str = ""
    copied: int = 0
    entries: int = 0
    queued: int = 0
    oldest_sec: int = 0
    queue_fault: str = ""
    forwarded: int = 0
    dropped: int = 0
    machines: int = 0
    older: tuple[str, ...] = ()


def state_of(relay: Relay) -> RelayState:
    """Return the state of a relay."""
    fault = ""
    if relay.away_sec is not None:
        fault = f"{relay.fault} [{relay.fault.code}]" if relay.fault else "it was not asked yet"
    return RelayState(
        name=relay.name,
        now=int(time.time()),
        store=relay.database.location,
        away_sec=max(1, relay.away_sec) if relay.away_sec is not None else 0,
        fault=fault,
        copied=relay.copy.taken if relay.copy else 0,
        entries=len(relay.copy.entries) if relay.copy else 0,
        queued=len(relay.queue),
        oldest_sec=int(relay.queue.oldest_sec()),
        queue_fault=f"{relay.forward_fault} [{relay.forward_fault.code}]" if relay.forward_fault else "",
        forwarded=relay.forwarded,
        dropped=relay.queue.dropped,
        machines=len(relay.machines),
        older=_older(relay),
    )


def _older(relay: Relay) -> tuple[str, ...]:
    if not (copy := relay.copy):
        return ()
    channels = sorted(copy.older_channels().items())
    return tuple(f"{channel} {number}, lower than {copy.highest[channel]}" for channel, number in channels)


async def keep_state(relay: Relay, look_sec: float = LOOK_SEC) -> None:
    """Write the state of a relay to its file when it changes, and every `KEEP_SEC`, without end."""
    path = relay.state / STATE
    kept, due = None, 0.0
    while True:
        state = state_of(relay)
        lasting = replace(state, now=0, away_sec=min(1, state.away_sec), oldest_sec=0)
        if lasting != kept or time.monotonic() >= due:
            kept, due = lasting, time.monotonic() + KEEP_SEC
            try:
                await asyncio.to_thread(atomic_files.replace, path, json.dumps(to_json(state), indent=1).encode())
            except OSError as error:
                log.error(
                    "%s; `ordainctl fleet relay` shows an earlier state", atomic_files.describe_error(error, path)
                )
        await asyncio.sleep(look_sec)


def read_state(folder: Path) -> RelayState:
    """Return the state of the relay whose ``--state`` is ``folder``. Raises `Failure`."""
    path = folder / STATE
    try:
        return from_json(RelayState, json.loads(atomic_files.read(path)))
    except OSError as error:
        hint = "name the directory of `ordainctl serve --store … --state`"
        raise Failure(f"{atomic_files.describe_error(error, path)}; {hint}") from None
    except (ValueError, RecursionError) as error:
        raise Failure(f"{path}: this is not the state of a relay: {error}") from None
