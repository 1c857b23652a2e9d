/** Compares secrets in a time that does not depend on where they differ. */

/** True if both texts are equal. Their hashes are compared, so that not even the lengths can be measured. */
export async function isSame(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([a, b].map(digest));
  let difference = 0;
  for (let i = 0; i < first!.length; i++) difference |= first![i]! ^ second![i]!;
  return difference === 0;
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}
