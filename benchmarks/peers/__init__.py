"""The gateways that are compared, each started as its own documentation advises."""

from benchmarks.peers.base import Endpoint, Peer
from benchmarks.peers.direct import Direct
from benchmarks.peers.headrace import Headrace
from benchmarks.peers.litellm import LiteLLM
from benchmarks.peers.nginx import Nginx
from benchmarks.peers.portkey import Portkey

PEERS: dict[str, Peer] = {
    peer.name: peer for peer in (Direct(), Nginx(), Headrace(), Portkey(), LiteLLM())
}

__all__ = ["PEERS", "Endpoint", "Peer"]
