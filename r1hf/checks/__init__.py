"""What every reading of a configuration refuses, and what trainers ask of templates and vocabularies."""
