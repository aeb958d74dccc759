/**
 * Holds the one list of names that pickles of ordinary checkpoints mention: classes that hold data and functions that rebuild
 * them. `scan`, `inspect`, `merge` and `to-st` use it. A name outside it is no proof of harm, but Python would import it, and a
 * pickle may call it: this is a list of what is known, because a list of what is dangerous is never complete.
 *
 * Source: torch/_weights_only_unpickler.py (what weights_only=True allows), torch/distributed/checkpoint/metadata.py, and what
 * DeepSpeed, Lightning, NumPy and OmegaConf put into checkpoints, seen in files they wrote.
 *
 * Names match as a whole: `builtins.dict.get`, which protocol 4 resolves attribute by attribute, is not `builtins.dict`.
 */
import { words } from "../../core/text.js";
import type { PyGlobal } from "./objects.js";

const NUMPY_ARRAYS = ["_reconstruct", "scalar"];

const KNOWN: Record<string, readonly string[]> = {
  // Python 2 had the types `long` and `unicode`, and protocol 2 still spells them so.
  builtins:
    words(`bool bytearray bytes complex dict float frozenset int list long object range set slice str tuple unicode
    Ellipsis`),
  _codecs: ["encode"],
  collections: ["OrderedDict", "defaultdict", "Counter", "deque"],
  // This function makes an empty object of a class, which must be in this list too.
  copyreg: ["_reconstructor"],
  argparse: ["Namespace"],
  datetime: ["date", "datetime", "time", "timedelta", "timezone"],
  decimal: ["Decimal"],
  fractions: ["Fraction"],
  pathlib: ["Path", "PosixPath", "PurePath", "PurePosixPath", "WindowsPath", "PureWindowsPath"],
  uuid: ["UUID", "SafeUUID"],
  numpy: ["dtype", "ndarray"],
  "numpy.core.multiarray": NUMPY_ARRAYS,
  "numpy._core.multiarray": NUMPY_ARRAYS,
  "numpy.core.numeric": ["_frombuffer"],
  "numpy._core.numeric": ["_frombuffer"],
  // These make states of random numbers; what they construct is named in the pickle too.
  "numpy.random._pickle": ["__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"],
  "numpy.random._mt19937": ["MT19937"],
  "numpy.random._pcg64": ["PCG64", "PCG64DXSM"],
  "numpy.random._philox": ["Philox"],
  "numpy.random._sfc64": ["SFC64"],
  "numpy.random.bit_generator": ["SeedSequence", "__pyx_unpickle_SeedSequence"],
  "torch._utils":
    words(`_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter _rebuild_parameter_with_state
    _rebuild_qtensor _rebuild_sparse_tensor _rebuild_sparse_csr_tensor _rebuild_device_tensor_from_cpu_tensor
    _rebuild_device_tensor_from_numpy _rebuild_meta_tensor_no_storage _rebuild_nested_tensor _rebuild_wrapper_subclass`),
  "torch._tensor": ["_rebuild_from_type", "_rebuild_from_type_v2"],
  "torch.nn.parameter": ["Parameter", "Buffer", "UninitializedParameter"],
  "torch.storage": ["UntypedStorage", "TypedStorage"],
  "torch.serialization": ["_get_layout"],
  "torch.torch_version": ["TorchVersion"],
  "torch.distributed.checkpoint.metadata":
    words(`BytesStorageMetadata ChunkStorageMetadata Metadata MetadataIndex StorageMeta
    TensorProperties TensorStorageMetadata _MEM_FORMAT_ENCODING`),
  "torch.distributed.checkpoint.filesystem": ["_StorageInfo", "_StoragePrefix"],
  // This is the oldest spelling, that of torch 2.1.
  "torch.distributed._shard.sharded_tensor.metadata": ["MEM_FORMAT_ENCODING", "TensorProperties"],
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
  "omegaconf.nodes": words(
    "AnyNode BooleanNode BytesNode EnumNode FloatNode IntegerNode PathNode StringNode",
  ),
  typing: ["Any", "Dict", "List", "Optional", "Union"],
};

/** The names in `torch` itself: storage and tensor classes, dtypes, and the few types that carry no behaviour. */
const TORCH =
  /^(?:(?:Float|Double|Half|BFloat16|Byte|Char|Short|Int|Long|Bool|ComplexFloat|ComplexDouble|Q(?:U?Int(?:8|32)|UInt[24]x[24]))Storage|(?:Float|Double|Half|BFloat16|Byte|Char|Short|Int|Long|Bool)?Tensor|Size|device|layout|memory_format|(?:b?float|u?int|complex|bits|q?u?int)\d+\w*|bool|float8_\w+|float4_\w+|strided|contiguous_format|preserve_format|channels_last(?:_3d)?|per_(?:tensor|channel)_(?:affine|symmetric)|per_channel_affine_float_qparams)$/;

/** The modules of the same classes for other devices and layouts: `torch.cuda.FloatStorage`, `torch.sparse.FloatTensor`. */
const TORCH_DEVICES = /^torch\.(?:cuda|sparse|cuda\.sparse)$/;

/** Tells whether a name is in the list. Protocol 2 spells `builtins` as `__builtin__`, and `copyreg` as `copy_reg`. */
export function isKnownGlobal({ module, qualname }: Pick<PyGlobal, "module" | "qualname">): boolean {
  if (module === "torch") return TORCH.test(qualname);
  if (TORCH_DEVICES.test(module)) return /(?:Storage|Tensor)$/.test(qualname) && TORCH.test(qualname);
  if (module === "numpy.dtypes") return /^[A-Z]\w*DType$/.test(qualname);
  const today = module === "__builtin__" ? "builtins" : module === "copy_reg" ? "copyreg" : module;
  const name = qualname === "xrange" ? "range" : qualname;
  return Object.hasOwn(KNOWN, today) && KNOWN[today]!.includes(name);
}

/** Returns the names outside the list, sorted, each once. */
export function unknownGlobals(names: Iterable<PyGlobal>): string[] {
  const unknown = new Set<string>();
  for (const name of names) if (!isKnownGlobal(name)) unknown.add(name.id);
  return [...unknown].sort();
}
