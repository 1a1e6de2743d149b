"""Reports the answers of an AI receptionist to mlops-service.

`Client` is for threads (Flask, scripts), `AsyncClient` for asyncio (FastAPI). Both buffer events and send them in the background.
"""

from ._async_client import AsyncClient
from ._client import Client
from ._errors import SendError
from ._types import Drop, Refusal, Report, Stats

__all__ = ["AsyncClient", "Client", "Drop", "Refusal", "Report", "SendError", "Stats"]
