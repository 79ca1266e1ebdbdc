"""Write the tables of a corpus on the Hugging Face Hub, and download it unless it is streamed."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from pathlib import Path

    from hearing_asr.hub import HubDataset, write_tables

    write_tables(HubDataset(**snakemake.params.source), Path(snakemake.output[0]).parent)
