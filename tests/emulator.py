"""The AWS emulator, one request at a time.

moto (5.2.5) carries out DynamoDB's transactions without a lock, and takes a refused one back by putting the whole table
back as it was, together with what others wrote meanwhile. AWS does neither, and what is built on conditional writes
cannot be tested against that. Bodies are read before the turn is taken, so that no slow client holds the others up.

Head and body of an answer leave together. werkzeug sends them one after the other, and terraform 1.11 now and then hangs
up between the two; it asks again, and finds the lock that it took with the first request to be somebody else's.

For each transaction moto copies the whole table, item by item; the containers suffice where transactions put and delete.
"""

import copy
import io
import sys
import threading

from moto import server
from moto.dynamodb import models
from moto.dynamodb.models.table import Table
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from werkzeug.serving import WSGIRequestHandler

class Copying:
    """Stands for the module `copy` where moto backs up a table."""

    @staticmethod
    def deepcopy(value):
        if not isinstance(value, Table):
            return copy.deepcopy(value)
        backup = copy.copy(value)
        backup.items = copy.copy(value.items)
        for partition, items in value.items.items():
            backup.items[partition] = copy.copy(items)
        return backup


models.copy = Copying
turn = threading.RLock()
answer = DomainDispatcherApplication.__call__


def answer_in_turn(self, environ, start_response):
    length = environ.get("CONTENT_LENGTH")
    if length:
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(length)))
    with turn:
        return answer(self, environ, start_response)


DomainDispatcherApplication.__call__ = answer_in_turn
WSGIRequestHandler.wbufsize = 1 << 16
server.main(sys.argv[1:])
