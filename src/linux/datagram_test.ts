import { assertEquals } from "@std/assert";
import { datagramSockaddr, sendDatagram } from "./datagram.ts";
import { ECONNREFUSED, ENOENT } from "./errno.ts";

const ignore = Deno.build.os !== "linux";

Deno.test("a path ends with a NUL, and a name without a file begins with one", () => {
  assertEquals([...datagramSockaddr("/a")!], [1, 0, 47, 97, 0]);
  assertEquals([...datagramSockaddr("@a")!], [1, 0, 0, 97]);
  assertEquals(datagramSockaddr(`/${"x".repeat(106)}`)?.length, 110);
  assertEquals(datagramSockaddr(`/${"x".repeat(107)}`), undefined);
  assertEquals(datagramSockaddr(`@${"x".repeat(107)}`)?.length, 110);
});

Deno.test({
  name: "a datagram to nobody is an error",
  ignore,
  fn() {
    const bytes = new TextEncoder().encode("READY=1");
    const name = crypto.randomUUID();
    assertEquals(sendDatagram(datagramSockaddr(`/tmp/${name}`)!, bytes), -ENOENT);
    assertEquals(sendDatagram(datagramSockaddr(`@${name}`)!, bytes), -ECONNREFUSED);
  },
});
