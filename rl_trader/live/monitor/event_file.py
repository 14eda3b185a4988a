"""A file of TensorBoard events, by TensorBoard's own records and messages: without torch, and at once on the disk."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata  # type: ignore[import-untyped]
from tensorboard.compat.proto.tensor_pb2 import TensorProto  # type: ignore[import-untyped]
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto  # type: ignore[import-untyped]
from tensorboard.compat.proto.types_pb2 import DT_STRING  # type: ignore[import-untyped]
from tensorboard.plugins.text.metadata import create_summary_metadata  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

_VERSION: Final = "brain.Event:2"
_MS_PER_S: Final = 1_000


class EventFile:
    """A new file of events in a run's folder; TensorBoard reads the files of a folder one after the other by name.

    Args:
        folder: Of the run; made where it is missing.
        epoch: Number of the start, so that two of one second do not share a file.

    Raises:
        OSError: If it cannot be written; from the methods too.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{epoch}"
        self._file = (folder / name).open("ab")
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=time.time(), file_version=_VERSION))

    def scalars(self, t_ms: int, step: int, values: Mapping[str, float]) -> None:
        """Write figures by tag."""
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        self._write(Event(wall_time=t_ms / _MS_PER_S, step=step, summary=summary))

    def text(self, t_ms: int, step: int, tag: str, text: str) -> None:
        """Write a text in Markdown."""
        metadata: SummaryMetadata = create_summary_metadata(display_name="", description="")
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()], tensor_shape=shape)
        value = Summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)
        self._write(Event(wall_time=t_ms / _MS_PER_S, step=step, summary=Summary(value=[value])))

    def close(self) -> None:
        """Close it."""
        self._file.close()

    def _write(self, event: Event) -> None:
        self._records.write(event.SerializeToString())
        self._file.flush()
