/**
 * Names that the pickles of ordinary checkpoints mention: data, not behaviour. A name outside this list is no proof of
 * harm, but `torch.load(weights_only=False)` would import and call it, so it deserves a look.
 *
 * Source: torch/_weights_only_unpickler.py (what weights_only=True allows), and what DeepSpeed, Lightning, NumPy and
 * OmegaConf put into checkpoints, seen in files they wrote.
 */
import type { PyGlobal } from "./objects.js";

const KNOWN: Record<string, readonly string[]> = {
  builtins: [
    "bytearray",
    "bytes",
    "complex",
    "dict",
    "frozenset",
    "list",
    "set",
    "slice",
    "tuple",
    "range",
    "Ellipsis",
  ],
  _codecs: ["encode"],
  collections: ["OrderedDict", "defaultdict", "Counter", "deque"],
  argparse: ["Namespace"],
  datetime: ["date", "datetime", "time", "timedelta", "timezone"],
  decimal: ["Decimal"],
  fractions: ["Fraction"],
  pathlib: ["Path", "PosixPath", "PurePath", "PurePosixPath", "WindowsPath", "PureWindowsPath"],
  uuid: ["UUID", "SafeUUID"],
  numpy: ["dtype", "ndarray"],
  "numpy.core.multiarray": ["_reconstruct", "scalar"],
  "numpy._core.multiarray": ["_reconstruct", "scalar"],
  "torch._utils": [
    "_rebuild_tensor",
    "_rebuild_tensor_v2",
    "_rebuild_tensor_v3",
    "_rebuild_parameter",
    "_rebuild_parameter_with_state",
    "_rebuild_qtensor",
    "_rebuild_sparse_tensor",
    "_rebuild_meta_tensor_no_storage",
    "_rebuild_nested_tensor",
    "_rebuild_wrapper_subclass",
  ],
  "torch._tensor": ["_rebuild_from_type", "_rebuild_from_type_v2"],
  "torch.nn.parameter": ["Parameter", "Buffer", "UninitializedParameter"],
  "torch.storage": ["UntypedStorage", "TypedStorage"],
  "torch.serialization": ["_get_layout"],
  "deepspeed.runtime.fp16.loss_scaler": ["DynamicLossScaler", "LossScaler"],
  "deepspeed.runtime.zero.config": ["ZeroStageEnum"],
  "deepspeed.utils.tensor_fragment": ["fragment_address"],
  "pytorch_lightning.utilities.parsing": ["AttributeDict"],
  "lightning_fabric.utilities.data": ["AttributeDict"],
  "lightning.fabric.utilities.data": ["AttributeDict"],
  "pytorch_lightning.callbacks.model_checkpoint": ["ModelCheckpoint"],
  "omegaconf.dictconfig": ["DictConfig"],
  "omegaconf.listconfig": ["ListConfig"],
  "omegaconf.base": ["ContainerMetadata", "Metadata"],
  "omegaconf.nodes": [
    "AnyNode",
    "BooleanNode",
    "BytesNode",
    "EnumNode",
    "FloatNode",
    "IntegerNode",
    "PathNode",
    "StringNode",
  ],
  typing: ["Any", "Dict", "List", "Optional", "Union"],
};

/** `torch.<name>`: storage classes, dtypes, and the few types that carry no behaviour. */
const TORCH =
  /^(?:(?:Float|Double|Half|BFloat16|Byte|Char|Short|Int|Long|Bool|ComplexFloat|ComplexDouble|Q\w+)Storage|Tensor|Size|device|(?:b?float|u?int|complex|bits|q?u?int)\d+\w*|bool|float8_\w+|float4_\w+|strided|per_\w+_affine)$/;

/** True for a name of the list. Protocol 2 spells `builtins` as `__builtin__`. */
export function isKnownGlobal(name: PyGlobal): boolean {
  if (name.module === "torch") return TORCH.test(name.qualname);
  const module = name.module === "__builtin__" ? "builtins" : name.module;
  const qualname = name.qualname === "xrange" ? "range" : name.qualname;
  return Object.hasOwn(KNOWN, module) && KNOWN[module]!.includes(qualname);
}
