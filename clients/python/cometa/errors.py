"""What is raised when something fails."""

from __future__ import annotations


class CometaError(Exception):
    """A call, a request or a connection that failed.

    error   one stable word.  Those of the server are in its README; those of
            this library are "unreachable", "closed", "malformed", "overflow"
            and, for a request that the server could not answer,
            "request_failed".
    status  of HTTP, or 0 if the server has not answered by one
    retry_after
            seconds, if the server has said so, or None
    """

    def __init__(self, error: str, status: int = 0, detail: str = "",
                 retry_after: float | None = None) -> None:
        self.error = error
        self.status = status
        self.retry_after = retry_after
        self.detail = detail
        text = f"{status} {error}" if status else error
        super().__init__(f"{text}: {detail}" if detail else text)
