from __future__ import annotations

import sys

from dynamo_cli.bench.transfer.command import main

sys.exit(main())
