"""Measure which information each variant leaves."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.information import write_information

    params, output = snakemake.params, snakemake.output
    write_information(
        params.audio,
        params.logmel,
        params.audiograms,
        num_mel_bins=params.num_mel_bins,
        floor_csv=output.floor,
        spectrum_csv=output.spectrum,
        sii_csv=output.sii,
    )
