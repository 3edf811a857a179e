"""The page on which people review rows (`r1hf review`); unlike the chat it needs the library's verifiers."""
