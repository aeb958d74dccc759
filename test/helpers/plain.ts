/** Checkpoint files as plain data, so that a test can compare all that is in them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readTensor } from "../../src/checkpoint/copy/read-tensor.js";
import type { TorchFile } from "../../src/checkpoint/torch/file.js";
import { PyGlobal, PyLatin1, PyObject, PyTuple, type PyValue } from "../../src/checkpoint/torch/objects.js";
import { readTorchFile } from "../../src/checkpoint/torch/read.js";
import { storagesIn } from "../../src/checkpoint/torch/storages.js";
import { TorchTensor } from "../../src/checkpoint/torch/values.js";

/** All of a file as plain data: containers, inert objects, and tensors as their values and the length of their storage. */
export async function plain(file: TorchFile): Promise<unknown> {
  const values = new Map<TorchTensor, string>();
  for (const tensor of storagesIn(file.value).tensors.keys()) {
    const bytes = await readTensor(await file.tensor(tensor));
    const what = `${tensor.dtype} [${tensor.shape}] of ${tensor.storage.byteLength}`;
    // Shorter than hexadecimal digits, and made in a fraction of the time.
    values.set(
      tensor,
      `${what}: ${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("base64")}`,
    );
  }
  const open = new Set<PyValue>();
  const show = (value: PyValue): unknown => {
    if (typeof value !== "object" || value === null) return showNew(value);
    if (open.has(value)) return "itself";
    open.add(value);
    const shown = showNew(value);
    open.delete(value);
    return shown;
  };
  const showNew = (value: PyValue): unknown => {
    if (value instanceof TorchTensor) return values.get(value);
    if (value instanceof Map) return { dict: [...value].map(([key, one]) => [show(key), show(one)]) };
    if (Array.isArray(value)) return value.map(show);
    if (value instanceof Set) return { set: [...value].map((one) => show(one as PyValue)) };
    if (value instanceof PyTuple) return { tuple: value.items.map(show) };
    if (value instanceof PyGlobal) return value.id;
    if (value instanceof PyLatin1) return { latin1: value.text };
    if (value instanceof PyObject) {
      const { callable, args, kwargs, state, listItems, dictItems } = value;
      return [callable, args, kwargs, state, listItems, dictItems].map((part) =>
        part === undefined ? "-" : show(part),
      );
    }
    return typeof value === "bigint" ? `${value}n` : value;
  };
  return show(file.value);
}

/** Every file of a checkpoint folder as plain data, by its name. */
export async function plainFolder(folder: string): Promise<Record<string, unknown>> {
  const tag = readFileSync(join(folder, "latest"), "utf8");
  const files: Record<string, unknown> = {};
  for (const name of readdirSync(join(folder, tag)).sort()) {
    if (!name.endsWith("_states.pt")) continue;
    const file = await readTorchFile(join(folder, tag, name));
    files[name] = await plain(file);
    await file.file.close();
  }
  return files;
}
