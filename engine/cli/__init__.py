"""The commands of ``python -m engine``, one module each.

A command's module has ``HELP``, one line; ``add_arguments(parser)``; and ``run(arguments)``, which
returns the exit status. Errors about what a person typed are raised: ``engine.__main__`` prints
them. Heavy imports (torch) belong inside ``run``.
"""

from __future__ import annotations
