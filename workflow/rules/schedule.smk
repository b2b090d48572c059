rule search_schedule:
    input:
        unpack(lambda w: plan.search_inputs(w.run, w.seed, w.method)),
        net=f"{STORE}/nets/{{run}}/s{{seed}}/net.safetensors",
    output:
        schedules=f"{STORE}/schedules/{{run}}/s{{seed}}/{{method}}-{{rule}}.csv",
        record=f"{STORE}/schedules/{{run}}/s{{seed}}/{{method}}-{{rule}}.cost.json",
    log:
        f"{LOGS}/search_schedule/{{run}}-s{{seed}}-{{method}}-{{rule}}.log",
    benchmark:
        f"{BENCHMARKS}/search_schedule/{{run}}-s{{seed}}-{{method}}-{{rule}}.tsv"
    priority: 5
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        spec=cfg("search", "run", "method", "rule"),
        code=code("search", "search", "run", "method", "rule"),
        files=lambda w, input: " ".join(f"{name}={path}" for name, path in input.items() if path),
    shell:
        "python -m difftables search {params.files} --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpus {resources.gpu} --out schedules={output.schedules} record={output.record} > {log} 2>&1"
