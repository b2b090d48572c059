rule levels:
    input:
        data=lambda w: plan.data_of(plan.levels_run(w.chosen)),
    output:
        levels=f"{STORE}/schedules/levels/{{chosen}}/levels.csv",
        record=f"{STORE}/schedules/levels/{{chosen}}/levels.json",
        png=f"{STORE}/schedules/levels/{{chosen}}/levels.png",
        svg=f"{STORE}/schedules/levels/{{chosen}}/levels.svg",
    log:
        f"{LOGS}/levels/{{chosen}}.log",
    benchmark:
        f"{BENCHMARKS}/levels/{{chosen}}.tsv"
    priority: 20
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=limits.train_mb,
    params:
        spec=cfg("levels", "chosen"),
        code=code("levels", "levels", "chosen"),
    shell:
        "python -m difftables levels data={input.data} --spec {params.spec:q} --code {params.code}"
        " --out levels={output.levels} record={output.record} png={output.png} svg={output.svg} > {log} 2>&1"


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
