// The blocks of the page: named zlib streams, in the page as base64 or on the server that sent the page.

/** Decompresses a zlib stream. */
export async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < binary.length; at++) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** Blocks that arrived together. */
let bundled = new Map();

/** Takes blocks from a bundle: for each the length of its name, the name, the length of the block, and the block. */
export function useBundle(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  bundled = new Map();
  for (let at = 0; at < bytes.length; ) {
    const name = utf8(bytes.subarray(at + 1, at + 1 + bytes[at]));
    at += 1 + bytes[at];
    const length = view.getUint32(at, true);
    bundled.set(name, bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
}

/** Returns the bytes of a block and frees its text. */
export async function block(name) {
  const part = bundled.get(name);
  if (part) {
    bundled.delete(name);
    return inflate(part);
  }
  const element = document.getElementById(`block-${name}`);
  if (element) {
    const bytes = fromBase64(element.textContent);
    element.remove();
    return inflate(bytes);
  }
  const response = await fetch(`columns/${name}`);
  if (!response.ok) throw new Error(`the server has no column ${name}`);
  return inflate(new Uint8Array(await response.arrayBuffer()));
}

export function utf8(bytes) {
  return new TextDecoder().decode(bytes);
}

/** The URL of a block that contains a script. */
export async function scriptUrl(name) {
  return URL.createObjectURL(new Blob([await block(name)], { type: "text/javascript" }));
}
