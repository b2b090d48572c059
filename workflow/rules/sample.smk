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
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        spec=cfg("sample", "run", "sampler"),
        code=code("sample", "sample", "run", "sampler"),
        files=lambda w, input: named(input),
    shell:
        "python -m difftables sample {params.files} --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpus {resources.gpu} --out samples={output.samples} cost={output.cost} > {log} 2>&1"
