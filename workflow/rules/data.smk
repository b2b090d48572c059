rule weights:
    output:
        weights=".cache/weights/{name}",
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
        job=job("weights", "name"),
        spec=spec("weights", "name"),
        code=code("weights", "name"),
    shell:
        "python -m difftables weights {params.job} --code {params.code} 2>&1 | tee {log}"


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
        job=job("download", "file"),
        spec=spec("download", "file"),
    shell:
        "python -m difftables download {params.job} 2>&1 | tee {log}"


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
        job=job("extract", "archive"),
        spec=spec("extract", "archive"),
    shell:
        "python -m difftables extract {params.job} 2>&1 | tee {log}"


rule data:
    input:
        unpack(lambda w: plan.data_inputs(w.data)),
        # Its name holds its hash: unpacked again, it is what it was. After replacing an archive whose hash is not stated: -R extract data
        archive=lambda w: [ancient(folder) for folder in plan.unpacked_folders(w.data)],
    output:
        data=f"{STORE}/data/{{data}}.safetensors",
        made=made("data", "data"),
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
        job=job("data", "data"),
        spec=spec("data", "data"),
        code=code("data", "data"),
    shell:
        "python -m difftables data {params.job} --code {params.code} --threads {threads} > {log} 2>&1"


rule reference:
    input:
        data=f"{STORE}/data/{{data}}.safetensors",
        weights=plan.weight_files(),
    output:
        features=f"{STORE}/data/{{data}}.features.safetensors",
        summary=f"{STORE}/data/{{data}}.summary.safetensors",
        floor=f"{STORE}/records/reference/{{data}}.json",
        made=made("reference", "data"),
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
        job=job("reference", "data"),
        spec=spec("reference", "data"),
        code=code("reference", "data"),
    shell:
        "python -m difftables reference {params.job} --code {params.code} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"
