rule search_schedule:
    input:
        unpack(lambda w: plan.search_inputs(w.run, w.seed, w.sampler)),
    output:
        schedules=f"{STORE}/schedules/{{run}}/s{{seed}}/{{sampler}}.csv",
        record=f"{STORE}/schedules/{{run}}/s{{seed}}/{{sampler}}.cost.json",
    log:
        f"{LOGS}/search_schedule/{{run}}-s{{seed}}-{{sampler}}.log",
    benchmark:
        f"{BENCHMARKS}/search_schedule/{{run}}-s{{seed}}-{{sampler}}.tsv"
    priority: 5
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        spec=cfg("search", "run", "sampler"),
        code=code("search", "search", "run", "sampler"),
        files=lambda w, input: named(input),
    shell:
        "python -m difftables search {params.files} --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpus {resources.gpu} --out schedules={output.schedules} record={output.record} > {log} 2>&1"
