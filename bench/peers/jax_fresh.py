"""JAX in a fresh process.

In and out: bench/peers/fresh.py. JAX keeps no compiled code from process to process unless it is told to.
"""

from __future__ import annotations

from bench.peers.fresh import first_call, main
from bench.peers.jax_side import step_of_network

if __name__ == "__main__":
    main({"first_call_empty_cache": first_call(step_of_network)})
