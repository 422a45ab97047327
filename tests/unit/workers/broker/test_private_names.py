"""Every name of kombu and Celery that `workers.broker` overrides, calls or sets is still there. The names are read from
the classes themselves, so that a new one is looked up without a line here.
"""

import ast
import inspect
import textwrap
from contextlib import closing
from types import SimpleNamespace

import pytest
from celery import Celery
from celery.worker.consumer import Consumer as StockConsumer
from kombu import Connection, Queue
from kombu import Consumer as Listener
from kombu.asynchronous import Hub
from kombu.asynchronous.timer import Timer
from kombu.transport import redis as stock

from workers.broker import redis_transport
from workers.broker.consumer import Consumer
from workers.broker.dead_lettering import DeadLetteringConsumer

PAIRS = [
    (redis_transport.QoS, stock.QoS),
    (redis_transport.Channel, stock.Channel),
    (redis_transport.Transport, stock.Transport),
    (DeadLetteringConsumer, StockConsumer),
    (Consumer, StockConsumer),
]

ADDED = {
    # Called by our channel, not by kombu.
    redis_transport.QoS: {"holds", "forget", "adopt"},
    # Read by our channel; kombu's transport keeps it nowhere.
    redis_transport.Transport: {"hub"},
}
"""Names of ours that other classes of ours use."""


class Names(ast.NodeVisitor):
    """What the source of one class defines, what it calls with `super()`, and the paths of attributes that it reads or
    sets, such as `self.connection.cycle`.
    """

    def __init__(self, ours):
        self.defined, self.extended, self.paths = set(), set(), set()
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(ours))).body
        for part in tree.body:
            match part:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    self.defined.add(name)
                case ast.Assign(targets=[ast.Name(id=name)]):
                    self.defined.add(name)
                case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                    self.defined.add(name)
                case ast.AnnAssign(target=ast.Name(id=name)):
                    # Declared for the type checker only: it is theirs.
                    self.paths.add((name,))
        self.visit(tree)

    def visit_Attribute(self, node):
        match node.value:
            case ast.Call(func=ast.Name(id="super")):
                self.extended.add(node.attr)
        if path := path_of(node):
            self.paths.add(path)
        else:
            self.generic_visit(node)

    def visit_AnnAssign(self, node):
        if node.value is not None and (path := path_of(node.target)):
            self.defined.add(path[0])
        self.generic_visit(node)

    @property
    def called_by_us(self):
        return {path[0] for path in self.paths}


def path_of(node):
    """("a", "b") for `self.a.b`; nothing for any other expression."""
    path = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.value
    return tuple(path) if isinstance(node, ast.Name) and node.id == "self" else ()


def missing(instance, path):
    """The first part of `path` that `instance` has not, or nothing."""
    for at, name in enumerate(path):
        if not hasattr(instance, name):
            return ".".join(path[: at + 1])
        instance = getattr(instance, name)
    return None


@pytest.fixture
def instances(redis_url):
    """One live object of each class of ours and of theirs, as a worker has them: with an event loop, and asking."""
    app = Celery("names", broker=redis_url, backend=redis_url, set_as_current=False)
    made = {}
    connections, hub = [], Hub()
    for module in (redis_transport, stock):
        connection = Connection(redis_url, transport=module.Transport)
        connections.append(connection)
        connection.transport.register_with_event_loop(connection.connection, hub)
        channel = connection.default_channel
        Listener(channel, [Queue("q")]).consume()
        # Opens the connection that waits for messages.
        connection.transport.cycle.on_poll_start()
        made |= {module.Transport: connection.transport, module.Channel: channel, module.QoS: channel.qos}
    for kind in (Consumer, DeadLetteringConsumer, StockConsumer):
        made[kind] = kind(None, app=app, hub=hub, timer=Timer(), controller=SimpleNamespace(use_eventloop=True))
    with closing(app):
        yield made
        for connection in connections:
            connection.release()
        hub.close()


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_no_name_that_we_override_or_use_has_gone(ours, theirs, instances):
    names = Names(ours)
    own = names.defined | {name for base in ours.__mro__[1 : ours.__mro__.index(theirs)] for name in vars(base)}
    used = {path for path in names.paths if path[0] not in own}
    assert not [name for name in names.extended if name != "__init__" and not hasattr(theirs, name)]
    assert not [found for path in used if (found := missing(instances[theirs], path[:1]))]
    assert not [found for path in names.paths if (found := missing(instances[ours], path))]
    # What we define and never use ourselves is there for them to call.
    for_them = {name for name in vars(ours) if name in names.defined} - names.called_by_us - ADDED.get(ours, set())
    assert not [name for name in for_them if not name.startswith("__") and not hasattr(theirs, name)]


def test_the_names_are_read_from_the_source():
    channel = Names(redis_transport.Channel)
    assert {"_brpop_start", "_brpop_read", "_create_client", "_basic_cancel", "close"} <= channel.extended
    assert ("connection", "cycle", "_in_protected_read") in channel.paths
    assert ("_brpop_sent_at",) in channel.paths
    assert ("_queue_cycle", "rotate") in channel.paths
    assert {"on_decode_error", "on_unknown_task", "create_task_handler"} <= Names(DeadLetteringConsumer).defined


def test_what_is_added_is_in_nobodys_way():
    for ours, theirs in PAIRS:
        assert not [name for name in ADDED.get(ours, ()) if hasattr(theirs, name)]
