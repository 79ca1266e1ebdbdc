"""Speech recognition as a model of hearing: the library behind the workflow's rules."""

__version__ = "0.1.0"
