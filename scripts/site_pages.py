"""Build the documentation as a site: `make docs`. Pages of docs/, and a reference made from the code, into site/.

Offline: fonts are off, and a page that would ask another machine for anything stops the build.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TARGET = ROOT / "build" / "docs", ROOT / "site"
# What a browser fetches by itself: not the links that a reader follows.
_FETCHED = re.compile(
    r"<(?:script|img|iframe|source|video|audio)\b[^>]*?\bsrc=[\"']?(https?:)?//[^\"'> ]+"
    r"|<link\b(?=[^>]*rel=[\"']?(?:stylesheet|preconnect|preload|icon))[^>]*href=[\"']?(https?:)?//[^\"'> ]+"
)
_OUTSIDE = re.compile(r"\[([^\]]*)\]\((?:\.\./)+([^)\s]+)\)")  # a link to a file of the repository, perhaps
_MERMAID = re.compile(r"```mermaid\n.*?```\n", re.DOTALL)


def main() -> int:
    collect()
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", "zensical.toml"], cwd=ROOT
    )
    if done.returncode:
        return done.returncode
    if fetched := requests():
        print("\n".join(["the site would ask other machines:", *fetched]), file=sys.stderr)
        return 1
    print(f"{TARGET}/index.html: {len(list(TARGET.rglob('*.html')))} pages")
    return 0


def collect() -> None:
    """The pages as the generator takes them, in build/docs."""
    from reference import reference

    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCE)
    for page in SOURCE.rglob("*.md"):
        page.write_text(prepared(page, page.read_text("utf-8")), "utf-8")
    (SOURCE / "reference.md").write_text(reference(), "utf-8")


def prepared(page: Path, text: str) -> str:
    """Without what only GitHub shows: diagrams drawn by its own script, and links to files outside of docs/."""

    def settled(link: re.Match[str]) -> str:
        place = (page.parent / link[0].partition("](")[2].rstrip(")").partition("#")[0]).resolve()
        return link[0] if place.is_relative_to(SOURCE) else link[1]

    return _OUTSIDE.sub(settled, _MERMAID.sub("", text))


def requests() -> list[str]:
    """`PAGE: ADDRESS` of everything that a page or style would fetch from another machine."""
    found = []
    for page in [*TARGET.rglob("*.html"), *TARGET.rglob("*.css")]:
        text = page.read_text("utf-8")
        found += [f"{page.relative_to(TARGET)}: {match[0][:120]}" for match in _FETCHED.finditer(text)]
        found += [
            f"{page.relative_to(TARGET)}: {url[:80]}" for url in re.findall(r"url\([\"']?(?:https?:)?//[^)]+", text)
        ]
    return found


if __name__ == "__main__":
    sys.exit(main())
