"""The reports of a fleet, as commands read them: no signature that an earlier command has checked is checked again."""

from __future__ import annotations

from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.fleet.reports import FleetReports, ReportMemory, read_reports
from ordain.agent.delivery.identity.checked_signatures import CheckedSignatures, cache_file


class FleetReader:
    """A command that reads the reports, once or again and again."""

    def __init__(self) -> None:
        self._checked = CheckedSignatures(path=cache_file())
        self._checked.load()
        self._memory = ReportMemory(check=self._checked.check)

    async def read(self, database: Database, *, needs_list: bool = False) -> FleetReports:
        """Return all reports. Raises as `read_reports` does."""
        try:
            return await read_reports(database, self._memory, needs_list=needs_list)
        finally:
            self._checked.save()
