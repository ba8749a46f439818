"""The function behind each name of the messaging API that becomes an operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentsm_tsm.conversations import Begin, End
from opentsm_tsm.deploy import DeployHandler
from opentsm_tsm.refresh import RefreshHandler
from opentsm_tsm.scripts import SendScriptHandler
from opentsm_tsm.se_status import SeStatusHandler
from opentsm_tsm.suspend import SuspendOrResumeHandler
from opentsm_tsm.terminate import TerminateHandler
from opentsm_tsm.upgrade import UpgradeHandler

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentsm_tsm.centre import Handler

__all__ = ["HANDLERS", "SE_STATUS"]

SE_STATUS: Final = SeStatusHandler()
"""Also what an MNO's answers go to."""

HANDLERS: Final[Mapping[str, Handler]] = {
    "BeginConversation": Begin(),
    "EndConversation": End(),
    "SendScript": SendScriptHandler(),
    "DeployService": DeployHandler(),
    "SuspendOrResumeService": SuspendOrResumeHandler(),
    "TerminateService": TerminateHandler(),
    "UpgradeService": UpgradeHandler(),
    "GetApplicationOrELFStatus": RefreshHandler(),
    "HandleSEStatusChangeNotification": SE_STATUS,
}
