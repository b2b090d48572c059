"""A run as the jobs that train or evaluate it read it: data set, net and schedule in place of their names. No torch in here."""

from pydantic import NonNegativeInt, PositiveInt

from difftables.config.data import Data, Frozen
from difftables.config.nets import Net
from difftables.config.run import Adjustment, Backbone, EstimatorConfig, EstimatorNet, Fraction, Oracle, Schedule, Training


class RunSpec(Backbone):
    """A run with its data set, net and schedule in place of their names, and of its other parts those that the job reads."""

    data: Data
    net: Net
    schedule: Schedule
    adjust: Adjustment | None = None
    oracle: Oracle | None = None
    estimator: EstimatorNet | None = None
    step: PositiveInt | None = None  # training step of the checkpoint that is evaluated; null: the last
    edge_run: "RunSpec | None" = None  # whose net takes the noisiest and the cleanest levels
    edge_fraction: Fraction | None = None  # of the training levels, at each end


class TrainedRun(RunSpec):
    """A run as its training reads it."""

    train: Training


class EstimatorRun(Frozen):
    """A run as the training of its estimator reads it."""

    data: Data
    schedule: Schedule
    corruption: str
    estimator: EstimatorConfig


class EstimatedRun(Frozen):
    """A run as the study of its estimators reads it."""

    data: Data
    schedule: Schedule
    corruption: str
    estimator: EstimatorNet
    oracle: Oracle | None = None


class Names(Frozen):
    """What a record says of where it comes from."""

    run: str
    train_seed: NonNegativeInt
    dataset: str
    sampler: str | None = None
