"""A run as the jobs that train or evaluate it read it: data set, net and schedule in place of their names. No torch in here."""

from pydantic import NonNegativeInt, PositiveInt

from difftables.config.data import Data, Frozen
from difftables.config.nets import Net
from difftables.config.run import Adjustment, Backbone, EstimatorConfig, EstimatorNet, Fraction, Oracle, Prior, Schedule, Training


class NetSpec(Backbone):
    """A net's task with data set, net and schedule in place of their names."""

    data: Data
    net: Net
    schedule: Schedule


class RunSpec(NetSpec):
    """A run as one that evaluates its net reads it: of its parts those that the job reads."""

    prior: Prior
    adjust: Adjustment | None = None
    oracle: Oracle | None = None
    estimator: EstimatorNet | None = None
    step: PositiveInt | None = None  # training step of the checkpoint that is evaluated; null: the last
    edge_run: "RunSpec | None" = None  # whose net takes the noisiest and the cleanest levels
    edge_fraction: Fraction | None = None  # of the training levels, at each end


class TrainedRun(NetSpec):
    """A run as its training reads it: where samples start is no matter of its net."""

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
