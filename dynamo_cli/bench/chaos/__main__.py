from __future__ import annotations

import sys

from dynamo_cli.bench.chaos.command import main

sys.exit(main())
