"""Draw one test clip under every variant, as the model's window and mel bins show it."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.models import whisper_config
    from hearing_asr.plots.clip import plot_clip

    params = snakemake.params
    model = whisper_config(params.model)
    plot_clip(
        params.audio,
        clip=params.clip,
        num_mel_bins=model.num_mel_bins,
        window_frames=model.window_frames,
        path=snakemake.output.figure,
        csv=snakemake.output.csv,
        dpi=params.dpi,
        figsize=params.figsize,
    )
