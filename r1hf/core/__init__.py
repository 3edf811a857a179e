"""What every room needs: configuration, YAML, sources of rows, errors, files, progress, hardware."""
