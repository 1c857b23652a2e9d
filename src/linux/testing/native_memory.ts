/** How much memory C libraries use, OpenSSL among them. */

/** `uordblks` of `struct mallinfo2` (mallinfo(3)): bytes that are allocated and not freed. */
const IN_USE_AT = 7;
const FIELDS = 10;

/** In bytes, of the whole process. glibc 2.33 or later; undefined elsewhere. */
export function nativeBytesInUse(): number | undefined {
  const fields = Array.from({ length: FIELDS }, () => "usize" as const);
  try {
    const libc = Deno.dlopen("libc.so.6", {
      mallinfo2: { parameters: [], result: { struct: fields } },
    });
    const result = libc.symbols.mallinfo2();
    libc.close();
    return Number(new DataView(result.buffer).getBigUint64(IN_USE_AT * 8, true));
  } catch {
    return undefined;
  }
}
