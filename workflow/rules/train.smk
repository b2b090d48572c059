rule train:
    input:
        unpack(lambda w: plan.train_inputs(w.run)),
    output:
        net=f"{STORE}/nets/{{run}}/s{{seed}}/net.safetensors",
        record=f"{STORE}/nets/{{run}}/s{{seed}}/net.json",
        curve=f"{TABLES}/curves/{{run}}-s{{seed}}-net.csv",
    log:
        f"{LOGS}/train/{{run}}-s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/train/{{run}}-s{{seed}}.tsv"
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
        spec=cfg("train", "run", "seed"),
        code=code("train", "train", "run", "seed"),
        files=lambda w, input: named(input),
    shell:
        "{resources.launch} -m difftables train {params.files} --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpus {resources.gpu} --out net={output.net} curve={output.curve} record={output.record} > {log} 2>&1"


rule train_estimator:
    input:
        unpack(lambda w: plan.train_inputs(w.run)),
    output:
        net=f"{STORE}/nets/{{run}}/s{{seed}}/estimator.safetensors",
        record=f"{STORE}/nets/{{run}}/s{{seed}}/estimator.json",
        curve=f"{TABLES}/curves/{{run}}-s{{seed}}-estimator.csv",
    log:
        f"{LOGS}/train_estimator/{{run}}-s{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/train_estimator/{{run}}-s{{seed}}.tsv"
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
        spec=cfg("estimator", "run", "seed"),
        code=code("train_estimator", "estimator", "run", "seed"),
        files=lambda w, input: named(input),
    shell:
        "{resources.launch} -m difftables train_estimator {params.files} --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpus {resources.gpu} --out net={output.net} curve={output.curve} record={output.record} > {log} 2>&1"
