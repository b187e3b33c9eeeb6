"""Columns of TensorBoard's HParams: first settings that vary, and val_loss of the measures."""

import time
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from scaling.contracts.columns import FINAL
from scaling.reporting.run_names import varying


def write(
    folder: Path,
    settings: Iterable[Mapping[str, Any]],
    measured: Container[str],
    *,
    suffix: str,
) -> None:
    """Write a file of events with the columns into the folder of a run.

    Args:
        folder: of a run.
        settings: what each run logged: names as in HParams -> numbers or text.
        measured: measures that runs have.
        suffix: end of the file's name.
    """
    runs = list(settings)
    differing = set(varying(runs))
    names = dict.fromkeys(name for run in runs for name in run)
    experiment = api_pb2.Experiment(
        hparam_infos=[_column(name, runs, name in differing) for name in names],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=f"final/{name}"), display_name=name)
            for name in (*FINAL, "diverged")
            if name in measured or name == "diverged"
        ],
    )
    content = plugin_data_pb2.HParamsPluginData(
        experiment=experiment, version=metadata.PLUGIN_DATA_VERSION
    )
    value = Summary.Value(
        tag=metadata.EXPERIMENT_TAG, metadata=metadata.create_summary_metadata(content)
    )
    writer = EventFileWriter(str(folder), filename_suffix=suffix)
    writer.add_event(Event(wall_time=time.time(), step=0, summary=Summary(value=[value])))
    writer.close()


def _column(name: str, runs: Iterable[Mapping[str, Any]], differs: bool) -> api_pb2.HParamInfo:
    values = [run[name] for run in runs if name in run]
    text = any(isinstance(value, str) for value in values)
    kind = api_pb2.DATA_TYPE_STRING if text else api_pb2.DATA_TYPE_FLOAT64
    info = api_pb2.HParamInfo(name=name, type=kind, differs=differs)
    if text:
        for value in sorted(set(map(str, values))):
            info.domain_discrete.values.add().string_value = value
    else:
        info.domain_interval.min_value = min(values)
        info.domain_interval.max_value = max(values)
    return info
