import { assertEquals } from "@std/assert";
import { Libc } from "../../linux/libc.ts";
import { endpointOf, ipSockaddr } from "../../linux/sockaddr.ts";
import type { PassedListener } from "../handover.ts";
import { whyNotUsed } from "./received.ts";

Deno.test({
  name: "a socket is used if it listens where it should, and else a line says what it does",
  ignore: Deno.build.os !== "linux",
  fn() {
    using libc = new Libc();
    const options = { backlog: 1, userTimeoutMs: 0 };
    const descriptor = libc.listen(ipSockaddr("127.0.0.1", 0)!, options);
    const at = libc.localAddress(descriptor);
    const end = endpointOf(at);
    const where = `127.0.0.1:${end.kind === "ip" ? end.port : 0}`;
    const passed: PassedListener = { owner: { is: "admin" }, address: "a:1", descriptor };
    assertEquals(whyNotUsed(passed, at), undefined);
    const line = `the socket that was handed over for a:1 listens on ${where}: not used`;
    assertEquals(whyNotUsed(passed, ipSockaddr("127.0.0.1", 1)), line);
    assertEquals(whyNotUsed(passed, undefined), line);
    const client = libc.connect(at, options);
    assertEquals(
      whyNotUsed({ ...passed, descriptor: client }, at),
      "the socket that was handed over for a:1 does not listen: not used",
    );
    for (const fd of [client, descriptor]) libc.close(fd);
  },
});
