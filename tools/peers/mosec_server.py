"""`python mosec_server.py --port N`: mosec with one worker; pixels are the body."""

from looker import Looker
from mosec import Server, Worker


class Look(Worker):
    """Bytes in, JSON out."""

    def __init__(self) -> None:
        self.looker = Looker()

    def deserialize(self, data: bytes) -> bytes:
        """As they are."""
        return data

    def serialize(self, data: bytes) -> bytes:
        """As they are."""
        return data

    def forward(self, data: bytes) -> bytes:
        """One frame."""
        return self.looker.look(data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(Look)
    server.run()
