"""Text: the think/answer grammar, languages, prompts and chat templates."""
