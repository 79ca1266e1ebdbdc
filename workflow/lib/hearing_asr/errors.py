"""The one exception that stands for a mistake a user can mend."""


class InputError(ValueError):
    """Input, configuration or environment at fault.

    The message names the file, key or clip at fault, says what was expected and what to do.
    Jobs print it without a traceback; everything else that goes wrong keeps its traceback.
    """
