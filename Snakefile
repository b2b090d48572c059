# snakemake                                                makes all tables of the scale in params.yaml
# snakemake results/laptop/tables/noise_estimation/T2.md   makes one
# snakemake --config scale=paper -n                        shows what another scale would run
include: "workflow/Snakefile"


rule all:
    default_target: True
    input:
        rules.everything.input,
