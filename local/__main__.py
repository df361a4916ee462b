"""`python -m local COMMAND`: what `./dev` calls."""

import sys

from local.cli import main

sys.exit(main())
