import { assertEquals } from "@std/assert";
import { httpParcel, readHttpParcel } from "./http_parcel.ts";

Deno.test("a connection is read as it was written, and nothing else is one", () => {
  for (const peer of ["192.0.2.7", "2001:db8::1%eth0", "unix"]) {
    const parcel = httpParcel({ descriptor: 9, peer });
    assertEquals(readHttpParcel(parcel), { descriptor: 9, peer });
    const refused = (change: Partial<typeof parcel>) =>
      assertEquals(readHttpParcel({ ...parcel, ...change }), undefined);
    refused({ kind: "splice" });
    refused({ descriptors: [] });
    refused({ descriptors: [9, 10] });
    refused({ content: new Uint8Array() });
    refused({ content: new Uint8Array(300).fill(97) });
  }
});
