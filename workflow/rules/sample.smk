rule sample:
    input:
        unpack(lambda w: plan.sample_inputs(w.run, w.seed, w.sampler)),
    output:
        samples=f"{STORE}/samples/{{run}}/s{{seed}}/{{sampler}}.safetensors",
        cost=f"{STORE}/samples/{{run}}/s{{seed}}/{{sampler}}.cost.json",
    log:
        f"{LOGS}/sample/{{run}}-s{{seed}}-{{sampler}}.log",
    benchmark:
        f"{BENCHMARKS}/sample/{{run}}-s{{seed}}-{{sampler}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads * limits.processes
    resources:
        mem_mb=limits.train_mb * limits.processes,
        gpu=limits.gpu * limits.processes,
        launch=LAUNCH,
        runtime=limits.sample_minutes,
    params:
        spec=cfg("sample", "run", "sampler"),
        code=code("sample", "sample", "run", "sampler"),
        files=lambda w, input: named(input),
    shell:
        "{resources.launch} -m difftables sample {params.files} --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpus {resources.gpu} --out samples={output.samples} cost={output.cost} > {log} 2>&1"
