rule measure:
    input:
        unpack(lambda w: plan.measure_inputs(w.run, w.seed, w.sampler)),
        samples=f"{STORE}/samples/{{run}}/s{{seed}}/{{sampler}}.safetensors",
    output:
        # Kept from run to run, so that a new step count is measured alone.
        record=update(f"{STORE}/records/{{run}}/s{{seed}}/{{sampler}}.json"),
        made=update(made("measure", "run", "seed", "sampler")),
    log:
        f"{LOGS}/measure/{{run}}/s{{seed}}/{{sampler}}.log",
    benchmark:
        f"{BENCHMARKS}/measure/{{run}}/s{{seed}}/{{sampler}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        job=job("measure", "run", "seed", "sampler"),
        spec=spec("measure", "run", "seed", "sampler"),
        code=code("measure", "run", "seed", "sampler"),
    shell:
        "python -m difftables measure {params.job} --code {params.code} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule errors:
    input:
        data=lambda w: plan.data_file(w.run),
        estimator=lambda w: plan.net_file(w.run, w.seed, "estimator"),
    output:
        record=f"{STORE}/studies/{{run}}/s{{seed}}/errors.json",
        made=made("errors", "run", "seed"),
    log:
        f"{LOGS}/errors/{{run}}/s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/errors/{{run}}/s{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        job=job("errors", "run", "seed"),
        spec=spec("errors", "run", "seed"),
        code=code("errors", "run", "seed"),
    shell:
        "python -m difftables errors {params.job} --code {params.code} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule robustness:
    input:
        unpack(lambda w: plan.robustness_inputs(w.run, w.seed)),
    output:
        record=f"{STORE}/studies/{{run}}/s{{seed}}/robustness.json",
        made=made("robustness", "run", "seed"),
    log:
        f"{LOGS}/robustness/{{run}}/s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/robustness/{{run}}/s{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        job=job("robustness", "run", "seed"),
        spec=spec("robustness", "run", "seed"),
        code=code("robustness", "run", "seed"),
    shell:
        "python -m difftables robustness {params.job} --code {params.code} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule likelihood:
    input:
        unpack(lambda w: plan.evaluation_inputs(w.run, w.seed)),
    output:
        record=f"{STORE}/likelihood/{{run}}/s{{seed}}.json",
        made=made("likelihood", "run", "seed"),
    log:
        f"{LOGS}/likelihood/{{run}}/s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/likelihood/{{run}}/s{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        job=job("likelihood", "run", "seed"),
        spec=spec("likelihood", "run", "seed"),
        code=code("likelihood", "run", "seed"),
    shell:
        "python -m difftables likelihood {params.job} --code {params.code} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule gradients:
    input:
        unpack(lambda w: plan.evaluation_inputs(w.run, w.seed)),
    output:
        record=f"{STORE}/studies/{{run}}/s{{seed}}/gradients.json",
        made=made("gradients", "run", "seed"),
    log:
        f"{LOGS}/gradients/{{run}}/s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/gradients/{{run}}/s{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        job=job("gradients", "run", "seed"),
        spec=spec("gradients", "run", "seed"),
        code=code("gradients", "run", "seed"),
    shell:
        "python -m difftables gradients {params.job} --code {params.code} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule variance:
    input:
        unpack(lambda w: plan.evaluation_inputs(w.run, w.seed)),
    output:
        record=f"{STORE}/studies/{{run}}/s{{seed}}/variance.json",
        made=made("variance", "run", "seed"),
    log:
        f"{LOGS}/variance/{{run}}/s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/variance/{{run}}/s{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        job=job("variance", "run", "seed"),
        spec=spec("variance", "run", "seed"),
        code=code("variance", "run", "seed"),
    shell:
        "python -m difftables variance {params.job} --code {params.code} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule listen:
    input:
        unpack(lambda w: plan.listen_inputs(w.run)),
    output:
        audio=directory(f"{TABLES}/audio/{{run}}"),
        made=made("listen", "run"),
    log:
        f"{LOGS}/listen/{{run}}.log",
    benchmark:
        f"{BENCHMARKS}/listen/{{run}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=limits.train_mb,
    params:
        job=job("listen", "run"),
        spec=spec("listen", "run"),
        code=code("listen", "run"),
    shell:
        "python -m difftables listen {params.job} --code {params.code} --threads {threads} > {log} 2>&1"
