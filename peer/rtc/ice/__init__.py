"""Interactive Connectivity Establishment (RFC 8445, 8838, 7675, 6544): a path for packets between two peers.

`transport.IceTransport` is what the rest of the engine sees; `agent` thinks, the other files fetch and carry.
"""
