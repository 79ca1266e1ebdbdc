"""Names that stand where the name of a variant, or of a model, is expected."""

UNMASKED = "unmasked"  # the corpus itself, in place of a variant
ZERO_SHOT = "zero_shot"  # the base model, not fine-tuned, in place of what a model is trained on
MIXED = "mixed"  # the model that is trained on all variants, likewise
