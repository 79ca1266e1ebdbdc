"""Speech recognition as a model of hearing: the library behind the workflow's rules."""
