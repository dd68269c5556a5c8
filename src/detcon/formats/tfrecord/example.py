"""`tf.train.Example`, the message in most TFRecord files, without TensorFlow.

The messages are those of tensorflow/core/example/{example,feature}.proto.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError

_PROTO = """
name: "example.proto" package: "detcon" syntax: "proto3"
message_type { name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "Int64List"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type { name: "Feature"
  field { name: "bytes_list" number: 1 type: TYPE_MESSAGE type_name: ".detcon.BytesList" }
  field { name: "int64_list" number: 3 type: TYPE_MESSAGE type_name: ".detcon.Int64List" } }
message_type { name: "Features"
  field { name: "feature" number: 1 label: LABEL_REPEATED
    type: TYPE_MESSAGE type_name: ".detcon.Features.FeatureEntry" }
  nested_type { name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".detcon.Feature" } } }
message_type { name: "Example"
  field { name: "features" number: 1 type: TYPE_MESSAGE type_name: ".detcon.Features" } }
"""


def _example_class() -> Any:
    file = text_format.Parse(_PROTO, descriptor_pb2.FileDescriptorProto())
    pool = descriptor_pool.DescriptorPool()  # of our own: TensorFlow's messages may be loaded too
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("detcon.Example"))


_Example = _example_class()


def write_example(features: Mapping[str, bytes | str | int]) -> bytes:
    """A message with one value per feature; the same features give the same bytes."""
    message = _Example()
    for name, value in features.items():
        feature = message.features.feature[name]
        if isinstance(value, int):
            feature.int64_list.value.append(value)
        else:
            feature.bytes_list.value.append(value.encode() if isinstance(value, str) else value)
    return message.SerializeToString(deterministic=True)


def read_example(data: bytes) -> dict[str, list[Any]]:
    """The values of each feature, bytes or integers; none where it holds floats.

    Raises:
        ValueError: `data` is no such message.
    """
    try:
        found = _Example.FromString(data).features.feature
    except DecodeError as error:
        raise ValueError("it is no tf.train.Example") from error
    return {name: list(one.bytes_list.value or one.int64_list.value) for name, one in found.items()}
