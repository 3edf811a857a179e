def is_placeholder(gold):
    return gold is None or gold.strip().lower() in (
        "proof",
        "notfound",
        "not found",
        "n/a",
        "unknown",
        "nan",
        "",
    )
