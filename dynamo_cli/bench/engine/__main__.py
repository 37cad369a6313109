from __future__ import annotations

import sys

from dynamo_cli.bench.engine.command import main

sys.exit(main())
