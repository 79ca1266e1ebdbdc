"""Figures: each module draws one kind, `style` is the look they share."""
