"""The systems under measurement, one module each; see ``bench/README.md``."""
