"""`python litserve_server.py PORT`: LitServe with one worker and its fast queue; pixels are a form's file."""

import sys
from typing import Any

from fastapi import Request, Response
from litserve import LitAPI, LitServer
from looker import Looker


class Look(LitAPI):
    """A form in, JSON out."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - its interface
        """In the worker."""
        self.looker = Looker()

    def decode_request(self, request: Request) -> bytes:
        """The pixels."""
        form: Any = request
        frame: bytes = form["frame"].file.read()
        return frame

    def predict(self, x: bytes) -> bytes:
        """One frame."""
        return self.looker.look(x)

    def encode_response(self, output: bytes) -> Response:
        """As it is."""
        return Response(output, media_type="application/json")


if __name__ == "__main__":
    LitServer(Look(), accelerator="cpu", fast_queue=True).run(
        "127.0.0.1", int(sys.argv[1]), generate_client_file=False, log_level="error"
    )
