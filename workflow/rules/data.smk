rule weights:
    output:
        ".cache/weights/{name}",
    log:
        f"{LOGS}/weights/{{name}}.log",
    benchmark:
        f"{BENCHMARKS}/weights/{{name}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=500,
    params:
        spec=cfg("weights", "name"),
        code=code("weights", "weights", "name"),
    shell:
        "python -m difftables weights --spec {params.spec:q} --code {params.code} --out weights={output} > {log} 2>&1"


rule data:
    input:
        unpack(lambda w: plan.data_inputs(w.data)),
    output:
        data=f"{STORE}/data/{{data}}.safetensors",
    log:
        f"{LOGS}/data/{{data}}.log",
    benchmark:
        f"{BENCHMARKS}/data/{{data}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=limits.train_mb,
    params:
        spec=cfg("data", "data"),
        code=code("data", "data", "data"),
        files=lambda w, input: named(input),
    shell:
        "python -m difftables data {params.files} --spec {params.spec:q} --code {params.code} --threads {threads} --out data={output.data} > {log} 2>&1"


rule reference:
    input:
        data=f"{STORE}/data/{{data}}.safetensors",
        weights=plan.weights(),
    output:
        features=f"{STORE}/data/{{data}}.features.safetensors",
        floor=f"{STORE}/records/reference/{{data}}.json",
    log:
        f"{LOGS}/reference/{{data}}.log",
    benchmark:
        f"{BENCHMARKS}/reference/{{data}}.tsv"
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
    params:
        spec=cfg("reference"),
        code=code("reference", "reference"),
        weights=lambda w, input: f"weights={input.weights}" if input.weights else "",
    shell:
        "python -m difftables reference data={input.data} {params.weights} --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpus {resources.gpu} --out features={output.features} floor={output.floor} > {log} 2>&1"
