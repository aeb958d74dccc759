/** Shows tensors as a tree by the parts of their names, with sizes. */

import { formatBytes, formatCount, plural } from "../../core/cli/format.js";
import { shorten } from "../../core/errors.js";
import { remember } from "../../core/maps.js";
import type { InspectedTensor } from "../inspect.js";

type TreeTensor = Omit<InspectedTensor, "elements">;

interface Node {
  readonly children: Map<string, Node>;
  tensor: TreeTensor | undefined;
  tensors: number;
  bytes: number;
}

/** The largest number of levels of a name that make branches; Vista's deepest name has 14. */
const MAX_LEVELS = 64;

/** The number of characters of a label that are shown. */
const MAX_LABEL = 500;

/** The number of branches of one node that are shown. */
const MAX_BRANCHES = 60;

/** The number of lines of a tree that was folded to be read at one look. */
const SCREEN = 40;

/** Returns the lines of the deepest tree that fits on a screen, with at least the first level. */
export function foldedTreeLines(tensors: readonly TreeTensor[]): string[] {
  let lines = treeLines(tensors, 1);
  for (let depth = 2; depth <= MAX_LEVELS; depth++) {
    const deeper = treeLines(tensors, depth);
    if (deeper.length > SCREEN || deeper.length === lines.length) break;
    lines = deeper;
  }
  return lines;
}

/**
 * Returns the lines of the tree. A node with one child is shown with it on one line (`_forward_module.model`), which counts as
 * one level.
 * @param depth  the levels below the root that are shown; deeper ones are summed up
 */
export function treeLines(tensors: readonly TreeTensor[], depth: number): string[] {
  const root = node();
  for (const tensor of tensors) {
    let at = root;
    count(at, tensor);
    for (const part of levels(tensor.name)) {
      at = remember(at.children, part, node);
      count(at, tensor);
    }
    at.tensor = tensor;
  }
  const lines: string[] = [];
  walk(root, "", depth, lines);
  return lines;
}

function levels(name: string): string[] {
  const parts = name.split(".", MAX_LEVELS + 1);
  if (parts.length <= MAX_LEVELS) return parts;
  const first = parts.slice(0, MAX_LEVELS - 1);
  return [...first, name.slice(first.join(".").length + 1)];
}

function node(): Node {
  return { children: new Map(), tensor: undefined, tensors: 0, bytes: 0 };
}

function count(at: Node, { bytes }: TreeTensor): void {
  at.tensors++;
  at.bytes += bytes;
}

function walk(parent: Node, indent: string, depth: number, lines: string[]): void {
  let shown = 0;
  for (const [part, child] of parent.children) {
    if (shown++ === MAX_BRANCHES) {
      lines.push(`${indent}… and ${formatCount(parent.children.size - MAX_BRANCHES)} more`);
      return;
    }
    let label = part;
    let at = child;
    while (at.tensor === undefined && at.children.size === 1) {
      const [[next, only]] = [...at.children] as [[string, Node]];
      label += `.${next}`;
      at = only;
    }
    const branch = indent + shorten(label, MAX_LABEL);
    if (at.tensor !== undefined && at.children.size === 0) {
      lines.push(`${branch}  ${describeTensor(at.tensor)}`);
      continue;
    }
    lines.push(`${branch}  ${plural(at.tensors, "tensor")}, ${formatBytes(at.bytes)}`);
    if (depth > 1) walk(at, `${indent}  `, depth - 1, lines);
  }
}

export function describeTensor({ dtype, shape, bytes, tags }: TreeTensor): string {
  const marks = tags.length === 0 ? "" : `  (${tags.join(", ")})`;
  return `${dtype} [${shape.join(", ")}]  ${formatBytes(bytes)}${marks}`;
}
