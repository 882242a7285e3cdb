"""The AWS emulator, one request at a time.

moto (5.2.5) carries out DynamoDB's transactions without a lock, and takes a refused one back by putting the whole table
back as it was, together with what others wrote meanwhile. AWS does neither, and what is built on conditional writes
cannot be tested against that. Bodies are read before the turn is taken, so that no slow client holds the others up.

Head and body of an answer leave together. werkzeug sends them one after the other, and terraform 1.11 now and then hangs
up between the two; it asks again, and finds the lock that it took with the first request to be somebody else's.

`POST /age-objects?BUCKET` makes all objects of a bucket 30 days older: a collection of garbage leaves young ones alone, and
S3's clock is nobody's to set.

moto takes no notice of a customer's key (SSE-C): here an object that was put with one is given to nobody without it.

Every instance of RDS has the same resource id in moto, by which Terraform tells one from another; here each has its own.
One that was restored to a moment counts as a replica of its source in moto; here it does not. A list is one page: moto finds
the next one by the name of an instance, and refuses where a test has renamed that one meanwhile.

For each transaction moto copies the whole table, item by item; the containers suffice where transactions put and delete.

For each list of versions moto copies every version of every object, with its bytes, and never lets go of the copies; and for
each version that is put it compares all that were there with each other. Here a list costs no bytes and a put no comparison,
and bytes lie in files: a history of 25 GB is put, listed and read in a few hundred megabytes of memory.
"""

import copy
import datetime
import io
import os
import resource
import secrets
import sys
import threading

# Every object is a file that is open. Both are read when moto is imported or later.
_, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
os.environ.setdefault("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", str(1 << 20))

from moto import server
from moto.core.responses import ActionResult
from moto.dynamodb import models
from moto.dynamodb.models.table import Table
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.rds import responses as rds_responses
from moto.rds.models import DBInstance
from moto.s3.models import FakeKey, s3_backends
from moto.s3.utils import _VersionedKeyStore
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


class Listed(FakeKey):
    """An object in a list of versions: the same object, which the list marks as the latest or not."""

    # moto tells its services apart by the module of a class.
    __module__ = FakeKey.__module__

    def dispose(self, garbage=False):
        """The bytes are the object's own."""


def listed(key, _memo):
    # Not as moto makes its models: those are all remembered.
    copied = object.__new__(Listed)
    copied.__dict__.update(key.__dict__)
    return copied


FakeKey.__deepcopy__ = listed


def set_list(self, key, versions):
    kept = {id(version) for version in versions}
    for version in self.getlist(key, []):
        if id(version) not in kept and hasattr(version, "dispose"):
            version.dispose()
    dict.__setitem__(self, key, versions)


_VersionedKeyStore.setlist = set_list


def age_objects(bucket):
    for account in s3_backends.values():
        for backend in account.values():
            if bucket in backend.buckets:
                for key in backend.buckets[bucket].keys.values():
                    key.last_modified -= datetime.timedelta(days=30)


# Path of an object: the MD5 of the key that it was put with.
customer_keys = {}


def lacks_its_key(environ):
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    key = environ.get("HTTP_X_AMZ_SERVER_SIDE_ENCRYPTION_CUSTOMER_KEY_MD5")
    if method == "PUT" and key:
        customer_keys[path] = key
    return method in ("GET", "HEAD") and customer_keys.get(path, key) != key


make_instance = DBInstance.__init__


def make_instance_of_its_own(self, *arguments, **settings):
    settings.pop("source_db_instance_identifier", None)
    make_instance(self, *arguments, **settings)
    self.dbi_resource_id = "db-" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(26))


DBInstance.__init__ = make_instance_of_its_own
rds_responses.PaginatedResult = ActionResult

turn = threading.RLock()
answer = DomainDispatcherApplication.__call__


def answer_in_turn(self, environ, start_response):
    length = environ.get("CONTENT_LENGTH")
    if length:
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(length)))
    with turn:
        if environ["PATH_INFO"] == "/age-objects":
            age_objects(environ["QUERY_STRING"])
            start_response("204 No Content", [])
            return []
        if lacks_its_key(environ):
            start_response("400 Bad Request", [("Content-Type", "application/xml")])
            return [b"<Error><Code>InvalidRequest</Code><Message>It was put with a customer's key.</Message></Error>"]
        return answer(self, environ, start_response)


DomainDispatcherApplication.__call__ = answer_in_turn
WSGIRequestHandler.wbufsize = 1 << 16
server.main(sys.argv[1:])
