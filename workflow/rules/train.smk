rule train:
    input:
        unpack(lambda w: plan.train_inputs(w.run)),
    output:
        net=f"{STORE}/nets/{{run}}/s{{seed}}/net.safetensors",
        curve=f"{TABLES}/curves/{{run}}-s{{seed}}-net.csv",
        made=made("train", "run", "seed"),
    log:
        f"{LOGS}/train/{{run}}/s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{run}}/s{{seed}}.tsv"
    priority: 10
    conda:
        ENVIRONMENT
    threads: limits.threads * limits.processes
    resources:
        mem_mb=limits.train_mb * limits.processes,
        gpu=limits.gpu * limits.processes,
        launch=LAUNCH,
        runtime=limits.train_minutes,
    params:
        job=job("train", "run", "seed"),
        spec=spec("train", "run", "seed"),
        code=code("train", "run", "seed"),
    shell:
        "{resources.launch} -m difftables train {params.job} --code {params.code} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


rule train_estimator:
    input:
        unpack(lambda w: plan.train_inputs(w.run, "estimator")),
    output:
        net=f"{STORE}/nets/{{run}}/s{{seed}}/estimator.safetensors",
        curve=f"{TABLES}/curves/{{run}}-s{{seed}}-estimator.csv",
        made=made("train_estimator", "run", "seed"),
    log:
        f"{LOGS}/train_estimator/{{run}}/s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/train_estimator/{{run}}/s{{seed}}.tsv"
    priority: 10
    conda:
        ENVIRONMENT
    threads: limits.threads * limits.processes
    resources:
        mem_mb=limits.train_mb * limits.processes,
        gpu=limits.gpu * limits.processes,
        launch=LAUNCH,
        runtime=limits.train_minutes,
    params:
        job=job("train_estimator", "run", "seed"),
        spec=spec("train_estimator", "run", "seed"),
        code=code("train_estimator", "run", "seed"),
    shell:
        "{resources.launch} -m difftables train_estimator {params.job} --code {params.code} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"


# In place of a training: the file of a net that others trained, read without running anything in it.
rule checkpoint:
    input:
        unpack(lambda w: plan.checkpoint_inputs(w.checkpoint)),
    output:
        net=f"{STORE}/checkpoints/{{checkpoint}}.safetensors",
        report=f"{STORE}/checkpoints/{{checkpoint}}.json",
        made=made("checkpoint", "checkpoint"),
    log:
        f"{LOGS}/checkpoint/{{checkpoint}}.log",
    benchmark:
        f"{BENCHMARKS}/checkpoint/{{checkpoint}}.tsv"
    priority: 10
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=limits.train_mb,
    params:
        job=job("checkpoint", "checkpoint"),
        spec=spec("checkpoint", "checkpoint"),
        code=code("checkpoint", "checkpoint"),
    shell:
        "python -m difftables checkpoint {params.job} --code {params.code} --threads {threads} > {log} 2>&1"
