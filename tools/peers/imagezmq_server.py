"""`python imagezmq_server.py ENDPOINT`: an ImageHub (REQ/REP) that answers with findings."""

import sys

import imagezmq
from looker import Looker

if __name__ == "__main__":
    looker, hub = Looker(), imagezmq.ImageHub(sys.argv[1])
    while True:
        _, image = hub.recv_image()
        hub.send_reply(looker.look(image))
