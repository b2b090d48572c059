# A table without a picture has a rule of its own, for Snakemake wants all that a rule names.
rule table:
    input:
        unpack(lambda w: plan.table_inputs(w.paper, w.table)),
    output:
        multiext(f"{TABLES}/{{paper}}/{{table}}", md=".md", tex=".tex", csv=".csv", json=".json", png=".png", svg=".svg"),
    wildcard_constraints:
        paper=plan.papers_with(figure=True),
    log:
        f"{LOGS}/table/{{paper}}-{{table}}.log",
    benchmark:
        f"{BENCHMARKS}/table/{{paper}}-{{table}}.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
    params:
        spec=cfg("table", "paper", "table"),
        code=code("table", "table", "paper", "table"),
        files=lambda w, input: named(input),
        made=lambda w, output: named(output),
    shell:
        "python -m difftables table {params.files} --spec {params.spec:q} --code {params.code} --out {params.made} > {log} 2>&1"


use rule table as plain_table with:
    output:
        multiext(f"{TABLES}/{{paper}}/{{table}}", md=".md", tex=".tex", csv=".csv", json=".json"),
    wildcard_constraints:
        paper=plan.papers_with(figure=False),


rule report:
    input:
        tables=plan.table_files(".json"),
        curves=plan.curves(),
        costs=plan.searches(),
        benchmarks=plan.benchmarks(),
    output:
        readme=f"{TABLES}/README.md",
        cells=f"{TABLES}/cells.csv",
        metrics=f"{TABLES}/metrics.json",
        cost=f"{ROOT}/cost.csv",
        png=f"{TABLES}/curves.png",
        svg=f"{TABLES}/curves.svg",
        plots=plan.plots(),
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
        spec=cfg("report"),
        code=code("report", "report"),
        files=lambda w, input: named(input),
        plots=lambda w, output: " ".join(f"plots={path}" for path in output.plots),
    shell:
        "python -m difftables report {params.files} --spec {params.spec:q} --code {params.code}"
        " --out readme={output.readme} cells={output.cells} metrics={output.metrics} cost={output.cost}"
        " png={output.png} svg={output.svg} {params.plots} > {log} 2>&1"
