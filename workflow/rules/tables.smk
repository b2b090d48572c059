# A table without a picture has a rule of its own, for Snakemake wants all that a rule names.
rule table:
    input:
        unpack(lambda w: plan.table_inputs(w.paper, w.table)),
    output:
        multiext(f"{TABLES}/{{paper}}/{{table}}", md=".md", tex=".tex", csv=".csv", json=".json", png=".png", svg=".svg"),
        notes=f"{TABLES}/{{paper}}/notes/{{table}}.tex",
        made=made("table", "paper", "table"),
    log:
        f"{LOGS}/table/{{paper}}-{{table}}.log",
    benchmark:
        f"{BENCHMARKS}/table/{{paper}}-{{table}}.tsv"
    wildcard_constraints:
        paper=plan.paper_pattern(figure=True),
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
    params:
        job=job("table", "paper", "table"),
        spec=spec("table", "paper", "table"),
        code=code("table", "paper", "table"),
    shell:
        "python -m difftables table {params.job} --code {params.code} --threads {threads} > {log} 2>&1"


use rule table as plain_table with:
    output:
        multiext(f"{TABLES}/{{paper}}/{{table}}", md=".md", tex=".tex", csv=".csv", json=".json"),
        notes=f"{TABLES}/{{paper}}/notes/{{table}}.tex",
        made=made("table", "paper", "table"),
    wildcard_constraints:
        paper=plan.paper_pattern(figure=False),


rule report:
    input:
        tables=plan.table_files(".json"),
        curves=plan.curve_files(),
        costs=plan.cost_files(),
    output:
        readme=f"{TABLES}/README.md",
        cells=f"{TABLES}/cells.csv",
        values=f"{TABLES}/values.csv",
        metrics=f"{TABLES}/metrics.json",
        cost=f"{ROOT}/cost.csv",
        png=f"{TABLES}/curves.png",
        svg=f"{TABLES}/curves.svg",
        plots=plan.plot_files(),
        pages=plan.page_files(),
        forests=plan.forest_files(),
        made=made("report"),
    log:
        f"{LOGS}/report.log",
    benchmark:
        f"{BENCHMARKS}/report.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
    params:
        job=job("report"),
        spec=spec("report"),
        code=code("report"),
    shell:
        "python -m difftables report {params.job} --code {params.code} --threads {threads} > {log} 2>&1"
