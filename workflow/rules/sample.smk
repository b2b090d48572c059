rule sample:
    input:
        unpack(lambda w: plan.sample_inputs(w.run, w.seed, w.sampler)),
    output:
        # Kept from run to run, so that a new step count is drawn alone.
        samples=update(f"{STORE}/samples/{{run}}/s{{seed}}/{{sampler}}.safetensors"),
        made=update(made("sample", "run", "seed", "sampler")),
    log:
        f"{LOGS}/sample/{{run}}/s{{seed}}/{{sampler}}.log",
    benchmark:
        f"{BENCHMARKS}/sample/{{run}}/s{{seed}}/{{sampler}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads * limits.processes
    resources:
        mem_mb=limits.train_mb * limits.processes,
        gpu=limits.gpu * limits.processes,
        launch=LAUNCH,
        shard=limits.shard,
        runtime=limits.sample_minutes,
    params:
        job=job("sample", "run", "sampler"),
        spec=spec("sample", "run", "sampler"),
        code=code("sample", "run", "sampler"),
    shell:
        "{resources.launch} -m difftables sample {params.job} --code {params.code} --threads {threads} --gpus {resources.gpu} --shard {resources.shard} > {log} 2>&1"
