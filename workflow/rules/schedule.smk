rule levels:
    input:
        data=lambda w: plan.data_file(plan.run_of_levels(w.chosen)),
    output:
        levels=f"{STORE}/schedules/levels/{{chosen}}/levels.csv",
        record=f"{STORE}/schedules/levels/{{chosen}}/levels.json",
        png=f"{STORE}/schedules/levels/{{chosen}}/levels.png",
        svg=f"{STORE}/schedules/levels/{{chosen}}/levels.svg",
        made=made("levels", "chosen"),
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
        job=job("levels", "chosen"),
        spec=spec("levels", "chosen"),
        code=code("levels", "chosen"),
    shell:
        "python -m difftables levels {params.job} --code {params.code} --threads {threads} > {log} 2>&1"


rule search:
    input:
        unpack(lambda w: plan.search_inputs(w.run, w.seed, w.sampler)),
    output:
        # Kept from run to run, so that a new step count is searched alone.
        schedules=update(f"{STORE}/schedules/{{run}}/s{{seed}}/{{sampler}}.csv"),
        record=update(f"{STORE}/schedules/{{run}}/s{{seed}}/{{sampler}}.json"),
        made=update(made("search", "run", "seed", "sampler")),
    log:
        f"{LOGS}/search/{{run}}/s{{seed}}/{{sampler}}.log",
    benchmark:
        f"{BENCHMARKS}/search/{{run}}/s{{seed}}/{{sampler}}.tsv"
    priority: 5
    conda:
        ENVIRONMENT
    threads: limits.threads
    resources:
        mem_mb=limits.train_mb,
        gpu=limits.gpu,
        runtime=limits.sample_minutes,
    params:
        job=job("search", "run", "sampler"),
        spec=spec("search", "run", "sampler"),
        code=code("search", "run", "sampler"),
    shell:
        "python -m difftables search {params.job} --code {params.code} --threads {threads} --gpus {resources.gpu} > {log} 2>&1"
