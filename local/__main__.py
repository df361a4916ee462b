"""`python -m local COMMAND`: what `./dev` calls."""

import sys

try:
    from local.cli import main

    sys.exit(main())
except KeyboardInterrupt:  # Ctrl-C while still importing: nothing has started
    sys.exit(130)
