/** One handle for any checkpoint: what is in it, its values, and new files made of it and of tensors of one's own. */
import { applyVista, castState, openCheckpoint, StateDict, saveCheckpoint, tensorFrom } from "vista-ckpt";

await using ckpt = await openCheckpoint("logs/run/checkpoints/last.ckpt");
for (const [name, tensor] of ckpt.tensors) console.log(name, tensor.dtype, tensor.shape);

// A Float32Array, BigInt64Array …, by the tensor's dtype. Node 20 has no Float16Array: F16 and BF16 come as the bits in a
// Uint16Array, unless `dtype` widens them.
const name = "model.diffusion_model.out.2.weight";
const weight = await ckpt.read(name);
const wide = await ckpt.read(name, { dtype: "F32" });
const part = await ckpt.read(name, { from: 0, to: 3 });
console.log(weight.length, wide[0], part);

// What only one kind has lies under its name.
console.log(ckpt.kind, ckpt.zero?.stage, ckpt.zero?.ranks, ckpt.metadata, ckpt.warnings);

const controller = new AbortController();
const { signal } = controller;
const onProgress = ({ done, total }: { done: number; total?: number }) => console.log(done, total);
const { state, report } = applyVista(ckpt.state);
console.log(`${report.adapters.length} adapters merged`);
await saveCheckpoint(state, "vista.safetensors", { dtype: "BF16", maxShardSize: 5e9, onProgress, signal });
await saveCheckpoint(castState(ckpt.state, "F16"), "half.bin");

await saveCheckpoint(new StateDict([["a", tensorFrom(new Float32Array(6), [2, 3])]]), "mine.safetensors");
