import { assertEquals } from "@std/assert";
import { EAGAIN } from "./errno.ts";
import { opensslTest } from "./testing/tls_pair.ts";
import { TlsClientContext } from "./tls_client.ts";

opensslTest(
  "bytes for the peer are drained in parts of any size, and none are left after the end",
  () => {
    using clients = new TlsClientContext({ caCerts: [], trustsSystem: false });
    const peer = { hostname: "localhost", port: 1, isIp: false };
    const [whole, parts] = [clients.inMemory(peer), clients.inMemory(peer)];
    assertEquals([whole.handshake(), parts.handshake()], [-EAGAIN, -EAGAIN]);
    const count = whole.drain(new Uint8Array(4_096));
    let sum = 0;
    for (let got = 1; got > 0; sum += got) got = parts.drain(new Uint8Array(7));
    assertEquals(sum, count);
    whole.feed(new Uint8Array(0));
    whole.free();
    parts.free();
    parts.feed(new Uint8Array(9));
    parts.feedEnd();
    assertEquals(parts.drain(new Uint8Array(9)), 0);
  },
);
