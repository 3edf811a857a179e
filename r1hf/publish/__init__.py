"""The Hub: references with a revision, downloads pinned to a commit, licences, cards, and pushes that survive."""
