"""Columns of TensorBoard's HParams: first settings that vary, and val_loss of the measures."""

import hashlib
import shutil
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

COLUMNS = ".columns"  # end of the name of the file of events


def experiment(
    settings: Iterable[Mapping[str, Any]], measured: Container[str]
) -> api_pb2.Experiment:
    """The columns of the runs of a dashboard.

    Args:
        settings: what each run logged: names as in HParams -> numbers or text.
        measured: measures that runs have.
    """
    runs = list(settings)
    differing = set(varying(runs))
    names = dict.fromkeys(name for run in runs for name in run)
    return api_pb2.Experiment(
        hparam_infos=[_column(name, runs, name in differing) for name in names],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=f"final/{name}"), display_name=name)
            for name in (*FINAL, "diverged")
            if name in measured or name == "diverged"
        ],
    )


def update(place: Path, folders: Iterable[Path], columns: api_pb2.Experiment) -> None:
    """Write the columns into the folder of a run, unless they are there; remove earlier ones.

    TensorBoard shows the first columns that it read in a run until that run's folder is gone. So
    the folder with the earlier ones is removed; a later call of `tensorboard.link` links it again.

    Args:
        place: of all folders.
        folders: of runs; the first that exists gets the columns.
        columns: from `experiment`.
    """
    suffix = f".{hashlib.sha256(columns.SerializeToString()).hexdigest()[:12]}{COLUMNS}"
    present = list(place.rglob(f"*{COLUMNS}"))
    for earlier in (file for file in present if not file.name.endswith(suffix)):
        shutil.rmtree(earlier.parent)
    folder = next((each for each in folders if each.is_dir()), None)
    if folder is None or any(file.name.endswith(suffix) for file in present):
        return
    content = plugin_data_pb2.HParamsPluginData(
        experiment=columns, version=metadata.PLUGIN_DATA_VERSION
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
