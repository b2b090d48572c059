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
        "python -m difftables weights --spec {params.spec:q} --code {params.code} --out weights={output} 2>&1 | tee {log}"


# The bytes of downloads are checked, so that no change of code fetches or unpacks them again: these two rules have no `code`.
# Their progress is for the terminal as well as for the log.
rule download:
    output:
        archive=".cache/downloads/{file}",
    log:
        f"{LOGS}/download/{{file}}.log",
    benchmark:
        f"{BENCHMARKS}/download/{{file}}.tsv"
    priority: 100
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=500,
    params:
        spec=cfg("download", "file"),
    shell:
        "python -m difftables download --spec {params.spec:q} --out archive={output.archive} 2>&1 | tee {log}"


rule extract:
    input:
        unpack(lambda w: plan.archive_inputs(w.archive)),
    output:
        folder=directory(".cache/extracted/{archive}/{digest}"),
    log:
        f"{LOGS}/extract/{{archive}}-{{digest}}.log",
    benchmark:
        f"{BENCHMARKS}/extract/{{archive}}-{{digest}}.tsv"
    priority: 100
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
    params:
        spec=cfg("extract", "archive"),
        files=lambda w, input: named(input),
    shell:
        "python -m difftables extract {params.files} --spec {params.spec:q} --out folder={output.folder} 2>&1 | tee {log}"


rule data:
    input:
        unpack(lambda w: plan.data_inputs(w.data)),
        # Its name holds its hash: unpacked again, it is what it was. After replacing an archive whose hash is not stated: -R extract data
        archive=lambda w: [ancient(folder) for folder in plan.unpacked(w.data)],
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
        spec=cfg("reference", "data"),
        code=code("reference", "reference", "data"),
        weights=lambda w, input: f"weights={input.weights}" if input.weights else "",
    shell:
        "python -m difftables reference data={input.data} {params.weights} --spec {params.spec:q} --code {params.code}"
        " --threads {threads} --gpus {resources.gpu} --out features={output.features} floor={output.floor} > {log} 2>&1"
