rule measure:
    input:
        samples=f"{STORE}/samples/{{run}}/s{{seed}}/{{sampler}}.safetensors",
        cost=f"{STORE}/samples/{{run}}/s{{seed}}/{{sampler}}.cost.json",
        features=lambda w: plan.data_of(w.run, ".features"),
        weights=plan.weights(),
    output:
        record=f"{STORE}/records/{{run}}/s{{seed}}/{{sampler}}.json",
    log:
        f"{LOGS}/measure/{{run}}-s{{seed}}-{{sampler}}.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{run}}-s{{seed}}-{{sampler}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        spec=cfg("measure", "run", "seed", "sampler"),
        code=code("measure", "measure", "run", "seed", "sampler"),
        weights=lambda w, input: f"weights={input.weights}" if input.weights else "",
    shell:
        "python -m difftables measure samples={input.samples} cost={input.cost} features={input.features} {params.weights} --spec {params.spec:q}"
        " --code {params.code} --threads {threads} --gpus {resources.gpu} --out record={output.record} > {log} 2>&1"


rule errors:
    input:
        data=lambda w: plan.data_of(w.run),
        estimator=f"{STORE}/nets/{{run}}/s{{seed}}/estimator.safetensors",
    output:
        record=f"{STORE}/studies/{{run}}/s{{seed}}/errors.json",
    log:
        f"{LOGS}/errors/{{run}}-s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/errors/{{run}}-s{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        spec=cfg("errors", "run", "seed"),
        code=code("errors", "errors", "run", "seed"),
    shell:
        "python -m difftables errors data={input.data} estimator={input.estimator} --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpus {resources.gpu} --out record={output.record} > {log} 2>&1"


rule robustness:
    input:
        net=f"{STORE}/nets/{{run}}/s{{seed}}/net.safetensors",
        estimator=f"{STORE}/nets/{{run}}/s{{seed}}/estimator.safetensors",
        features=lambda w: plan.data_of(w.run, ".features"),
        weights=plan.weights(),
    output:
        record=f"{STORE}/studies/{{run}}/s{{seed}}/robustness.json",
    log:
        f"{LOGS}/robustness/{{run}}-s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/robustness/{{run}}-s{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        spec=cfg("robustness", "run", "seed"),
        code=code("robustness", "robustness", "run", "seed"),
        weights=lambda w, input: f"weights={input.weights}" if input.weights else "",
    shell:
        "python -m difftables robustness net={input.net} estimator={input.estimator} features={input.features} {params.weights}"
        " --spec {params.spec:q} --code {params.code} --threads {threads} --gpus {resources.gpu} --out record={output.record}"
        " > {log} 2>&1"
