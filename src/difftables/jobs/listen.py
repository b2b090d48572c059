"""Rule listen: a few utterances of each row as WAV files, beside their recordings."""

from difftables.jobs.job import Job


def run(job: Job) -> None:
    """spec: ListenSpec.  In: data, samples (one file for each sampler).  Out: audio, a folder."""
    import torch

    from difftables.common.files import load_tensors
    from difftables.data.audio import write_wav
    from difftables.data.speech_set import SpeechSet
    from difftables.papers.kinds import audible_steps

    spec, folder = job.spec, job.output("audio")
    speech, count = SpeechSet(spec.data, job.input("data"), torch.device("cpu")), spec.listen
    x0, lengths = speech.excerpts("test", count)
    for i, utterance in enumerate(speech.stored(x0)):
        write_wav(folder / f"reference-{i}.wav", utterance[: lengths[i]].numpy(), spec.data.rate)
    for sampler, path in zip(spec.samplers, job.inputs["samples"], strict=True):
        tensors, _ = load_tensors(path, "samples")
        for steps in audible_steps(tensors, spec.steps):
            for i, utterance in enumerate(tensors[f"samples/{steps}"][0][:count]):
                write_wav(folder / f"{sampler}-{steps}-{i}.wav", utterance[: lengths[i]].numpy(), spec.data.rate)
