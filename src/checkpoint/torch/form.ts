/** Tells which of its two forms a file of torch.save has. */

const MAGIC_AS_TEXT = Buffer.from("L119547037146038");

/**
 * Tells the form of a file from its first bytes.
 * @returns `legacy` for the form before torch 1.6, which begins with a pickle; `undefined` for what torch.save did not write
 */
export function torchForm(head: Uint8Array): "zip" | "legacy" | undefined {
  const [a, b, c, d] = head;
  if (a === 0x50 && b === 0x4b && c === 3 && d === 4) return "zip";
  // A pickle of protocol 2 or higher begins with PROTO; one of protocol 0 or 1 begins with the magic number as text.
  const binary = a === 0x80 && b !== undefined && b >= 2 && b <= 5;
  return binary || Buffer.from(head.subarray(0, MAGIC_AS_TEXT.length)).equals(MAGIC_AS_TEXT)
    ? "legacy"
    : undefined;
}
