"""``python -m gotoai.price_book``."""

import sys

from gotoai.price_book.command import main

sys.exit(main())
