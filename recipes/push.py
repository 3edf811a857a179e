"""Push a run or one stage of it to the Hub: `r1hf push` as a recipe.

Run: python recipes/push.py runs/tiny --repo me/tiny-r1 --dry-run
"""

from __future__ import annotations

import sys

from r1hf.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["push", *sys.argv[1:]]))
