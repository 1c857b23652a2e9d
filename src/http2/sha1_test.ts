/** SHA-1, beside the platform's. */
import { assertEquals } from "@std/assert";
import { sha1 } from "./sha1.ts";

const hex = (bytes: Uint8Array) => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");

Deno.test("the examples of RFC 3174", () => {
  const examples = {
    "abc": "a9993e364706816aba3e25717850c26c9cd0d89d",
    "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq":
      "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
  };
  for (const [text, hash] of Object.entries(examples)) {
    assertEquals(hex(sha1(new TextEncoder().encode(text))), hash);
  }
});

Deno.test("messages of all lengths have the hash that the platform computes", async () => {
  for (let length = 0; length < 200; length++) {
    const message = new Uint8Array(length).map((_, i) => (i * 37 + length) & 255);
    const expected = new Uint8Array(await crypto.subtle.digest("SHA-1", message));
    assertEquals(sha1(message), expected, `${length} bytes`);
  }
});
