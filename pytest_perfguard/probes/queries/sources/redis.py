"""redis-py: clients, pipelines and what is sent past them, synchronous and asynchronous, on clusters as well."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pytest_perfguard.probes.queries.sources.redis_methods import AsyncMethods, SyncMethods
from pytest_perfguard.probes.watch.patching import Patches
from pytest_perfguard.probes.watch.tape import Tape


class RedisSource:
    """Wraps methods of redis-py's own classes, so that clients that were made before and subclasses are seen.

    A command is written down where a client executes it; the commands of a pipeline, one by one, where it is executed:
    the first that counts has its round trip, on a cluster one for each node. What reaches a connection past them, such
    as subscriptions, is written down there. The greeting of a new connection belongs to its opening.
    """

    name = "redis"
    module = "redis"

    def installed(self) -> bool:
        """Return whether redis-py is loaded, entirely."""
        module = sys.modules.get("redis")
        return module is not None and hasattr(module, "Redis") and "redis.connection" in sys.modules

    def install(self, tape: Tape) -> Callable[[], None]:
        """Replace the methods of clients, pipelines and connections."""
        patches = Patches()
        for package, methods in (("redis", SyncMethods(tape)), ("redis.asyncio", AsyncMethods(tape))):
            for module, owner, name, make in (
                ("client", "Redis", "execute_command", methods.executing),
                ("client", "Pipeline", "immediate_execute_command", methods.executing),
                ("client", "Pipeline", "execute", methods.executing_all),
                ("cluster", "RedisCluster", "execute_command", methods.executing),
                ("cluster", "ClusterPipeline", "execute", methods.executing_all),
                ("cluster", "NodesManager", "initialize", methods.hiding),
                ("cluster", "CommandsParser", "initialize", methods.hiding),
                ("cluster", "AsyncCommandsParser", "initialize", methods.hiding),
                ("connection", "AbstractConnection", "send_command", methods.sending),
                ("connection", "AbstractConnection", "send_packed_command", methods.sending_packed),
                ("connection", "AbstractConnection", "_send_ping", methods.hiding),
                ("connection", "AbstractConnection", _connecting_method(package), methods.connecting),
            ):
                kind = getattr(sys.modules.get(f"{package}.{module}"), owner, None)
                if kind is not None:
                    patches.wrap(kind, name, make)
        return patches.undo


def _connecting_method(package: str) -> str:
    kind = getattr(sys.modules.get(f"{package}.connection"), "AbstractConnection", None)
    return "connect_check_health" if hasattr(kind, "connect_check_health") else "connect"
