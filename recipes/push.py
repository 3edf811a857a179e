"""Push a run or one stage of it to the Hub: `r1hf push` as a recipe.

Run: python recipes/push.py runs/tiny --repo me/tiny-r1 --dry-run
"""

from __future__ import annotations

import argparse
import sys

from r1hf.commands import push

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=push.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    push.add_arguments(parser)
    sys.exit(push.run(parser.parse_args()))
