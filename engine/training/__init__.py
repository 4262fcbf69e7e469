"""How a model learns: preparation, the loop, checkpoints, samples. Needs torch.

Loading this package sets OMP_WAIT_POLICY, which OpenMP reads once, when torch is loaded: threads
that wait for each other shall sleep. By default they spin, and where anything else wants a core
(a window, a browser, another run) they spin in the way of the thread that they wait for: on two
shared cores, small steps were measured to become 20 times slower. A policy that is set already
stays.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
