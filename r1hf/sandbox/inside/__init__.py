"""What runs inside the sandbox. Imports the standard library only, and as little of it as it can: every start pays."""
