rule measure:
    input:
        unpack(lambda w: plan.judge_inputs(w.run)),
        samples=f"{STORE}/samples/{{run}}/s{{seed}}/{{sampler}}.safetensors",
        cost=f"{STORE}/samples/{{run}}/s{{seed}}/{{sampler}}.cost.json",
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
        files=lambda w, input: named(input),
    shell:
        "python -m difftables measure {params.files} --spec {params.spec:q}"
        " --code {params.code} --threads {threads} --gpus {resources.gpu} --out record={output.record} > {log} 2>&1"


rule errors:
    input:
        data=lambda w: plan.data_of(w.run),
        estimator=lambda w: plan.net(w.run, w.seed, "estimator"),
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
        unpack(lambda w: plan.robustness_inputs(w.run, w.seed)),
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
        files=lambda w, input: named(input),
    shell:
        "python -m difftables robustness {params.files}"
        " --spec {params.spec:q} --code {params.code} --threads {threads} --gpus {resources.gpu} --out record={output.record}"
        " > {log} 2>&1"


rule likelihood:
    input:
        unpack(lambda w: plan.held_inputs(w.run, w.seed)),
    output:
        record=f"{STORE}/likelihood/{{run}}/s{{seed}}.json",
    log:
        f"{LOGS}/likelihood/{{run}}-s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/likelihood/{{run}}-s{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        spec=cfg("likelihood", "run", "seed"),
        code=code("likelihood", "likelihood", "run", "seed"),
        files=lambda w, input: named(input),
    shell:
        "python -m difftables likelihood {params.files} --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpus {resources.gpu} --out record={output.record} > {log} 2>&1"


rule gradients:
    input:
        unpack(lambda w: plan.held_inputs(w.run, w.seed)),
    output:
        record=f"{STORE}/studies/{{run}}/s{{seed}}/gradients.json",
    log:
        f"{LOGS}/gradients/{{run}}-s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/gradients/{{run}}-s{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        spec=cfg("gradients", "run", "seed"),
        code=code("gradients", "gradients", "run", "seed"),
        files=lambda w, input: named(input),
    shell:
        "python -m difftables gradients {params.files} --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpus {resources.gpu} --out record={output.record} > {log} 2>&1"


rule variance:
    input:
        unpack(lambda w: plan.held_inputs(w.run, w.seed)),
    output:
        record=f"{STORE}/studies/{{run}}/s{{seed}}/variance.json",
    log:
        f"{LOGS}/variance/{{run}}-s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/variance/{{run}}-s{{seed}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        spec=cfg("variance", "run", "seed"),
        code=code("variance", "variance", "run", "seed"),
        files=lambda w, input: named(input),
    shell:
        "python -m difftables variance {params.files} --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpus {resources.gpu} --out record={output.record} > {log} 2>&1"


rule listen:
    input:
        unpack(lambda w: plan.listen_inputs(w.run)),
    output:
        audio=directory(f"{TABLES}/audio/{{run}}"),
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
        spec=cfg("listen", "run"),
        code=code("listen", "listen", "run"),
        files=lambda w, input: named(input),
    shell:
        "python -m difftables listen {params.files} --spec {params.spec:q} --code {params.code} --out audio={output.audio} > {log} 2>&1"
