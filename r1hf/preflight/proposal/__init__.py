"""What a file of a person's own is: its columns, the task of each row, and a configuration that trains on it."""
