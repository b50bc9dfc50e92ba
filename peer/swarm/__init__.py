"""Many bots at once, over all cores: what a server, or one participant, stands; `peer swarm`, docs/swarm.md."""

from __future__ import annotations
