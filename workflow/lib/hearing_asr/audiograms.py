"""Audiograms: hearing thresholds in dB HL over frequency in Hz, and the gain they stand for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hearing_asr.errors import InputError

NYQUIST = 8000.0  # Hz: half of the 16 kHz that Whisper hears
LOWEST_THRESHOLD = -20.0  # dB HL: nobody hears better; audiometers end at -10
HIGHEST_THRESHOLD = 130.0  # dB HL: audiometers end at 120


@dataclass(frozen=True)
class Audiogram:
    """Pure-tone thresholds of one ear, or of a simulated listener.

    Attributes:
        frequencies: Hz, strictly rising, greater than 0 and at most 8000.
        thresholds: dB HL at these frequencies, -20 to 130. 0 dB HL is the average threshold of
            young normal-hearing listeners; greater is worse.
    """

    frequencies: tuple[float, ...]
    thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.frequencies or len(self.frequencies) != len(self.thresholds):
            raise InputError(
                f"an audiogram needs at least one frequency and as many thresholds, got "
                f"{len(self.frequencies)} and {len(self.thresholds)}"
            )
        previous = 0.0
        for frequency, threshold in zip(self.frequencies, self.thresholds, strict=True):
            if not np.isfinite(frequency) or not previous < frequency <= NYQUIST:
                raise InputError(
                    f"frequency {frequency:g} Hz: frequencies must rise, be greater than 0 and not "
                    f"exceed {NYQUIST:g} Hz (half of the sample rate); give them in rising order"
                )
            if not LOWEST_THRESHOLD <= threshold <= HIGHEST_THRESHOLD:
                raise InputError(
                    f"threshold {threshold:g} dB at {frequency:g} Hz: thresholds are in dB HL, "
                    f"from {LOWEST_THRESHOLD:g} to {HIGHEST_THRESHOLD:g}"
                )
            previous = frequency

    @classmethod
    def from_config(cls, points: Mapping, name: str) -> "Audiogram":
        """The audiogram of a config entry `{Hz: dB HL}`; `name` is told when it is wrong.

        Raises:
            InputError: a frequency or threshold is not a number, or out of range or order.
        """
        numbers = []
        for frequency, threshold in points.items():
            try:
                if isinstance(threshold, bool):
                    raise ValueError
                numbers.append((float(frequency), float(threshold)))
            except (TypeError, ValueError):
                raise InputError(
                    f"{name}: {frequency!r}: {threshold!r} is not a pair of numbers; "
                    "expected frequency in Hz: threshold in dB HL, as in 1000: 45"
                ) from None
        try:
            return cls(tuple(f for f, _ in numbers), tuple(t for _, t in numbers))
        except InputError as error:
            raise InputError(f"{name}: {error}") from None

    def threshold(self, frequency: np.ndarray) -> np.ndarray:
        """Thresholds in dB HL at `frequency` (Hz), interpolated linearly over Hz.

        Below the first and above the last point the threshold is held constant.
        """
        return np.interp(frequency, self._f, self._t)

    def gain(self, frequency: np.ndarray) -> np.ndarray:
        """Linear gain at `frequency` (Hz) that takes the threshold away: 10^(-T/20)."""
        return 10.0 ** (-self.threshold(frequency) / 20.0)

    @cached_property
    def _f(self) -> np.ndarray:
        return np.asarray(self.frequencies, dtype=np.float64)

    @cached_property
    def _t(self) -> np.ndarray:
        return np.asarray(self.thresholds, dtype=np.float64)
