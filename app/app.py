"""The chat with every stage of an R1 pipeline: a thin client of an OpenAI-compatible server.

Settings come from the environment; README.md lists them. Run: python app.py
"""

from __future__ import annotations


def main() -> None:
    # Imported here: a worker process of the judge imports this file and needs no interface.
    from r1chat.page import launch
    from r1chat.settings import Settings

    launch(Settings.from_environ())


if __name__ == "__main__":
    main()
