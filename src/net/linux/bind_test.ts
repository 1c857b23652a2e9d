import { assert, assertEquals } from "@std/assert";
import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAFNOSUPPORT,
  EAGAIN,
  ECONNREFUSED,
} from "../../linux/errno.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import { Libc } from "../../linux/libc.ts";
import { listenAt } from "./bind.ts";
import { endpointOf, ipSockaddr, unixSockaddr } from "../../linux/sockaddr.ts";
import { FakeKernel } from "../../linux/testing/fake_kernel.ts";

/** Permission denied. */
const EACCES = 13;
const OPTIONS = { backlog: 8, userTimeoutMs: 0 } as const;
const PATH = "/run/front.sock";
const LISTENER = 7;
const CONNECTED = 8;

/** A kernel with scripted answers to each `listen` and `connect`, which records the calls. */
function kernel(listens: readonly number[], connects: readonly number[] = []) {
  const [listening, connecting] = [[...listens], [...connects]];
  const calls: string[] = [];
  const name = (address: SockAddr) => {
    const endpoint = endpointOf(address);
    return endpoint.kind === "ip" ? `${endpoint.ip} ${endpoint.port}` : endpoint.path;
  };
  const note = (what: string, answer: number | undefined) => {
    calls.push(what);
    if (answer === undefined) throw new Error(`unexpected call: ${what}`);
    return answer;
  };
  const fake = Object.assign(new FakeKernel(), {
    listen: (address: SockAddr) => note(`listen ${name(address)}`, listening.shift()),
    connect: (address: SockAddr) => note(`connect ${name(address)}`, connecting.shift()),
    close: (fd: number) => void calls.push(`close ${fd}`),
    unlinkSocket: (path: string) => calls.push(`unlink ${path}`) && 0,
  });
  return { calls, fake };
}

const ip = (text: string) => ipSockaddr(text, 80)!;

Deno.test("an IP address is tried once, and the result is returned", () => {
  for (const answer of [LISTENER, -EADDRINUSE, -EACCES]) {
    const { calls, fake } = kernel([answer]);
    assertEquals(listenAt(fake, ip("10.0.0.1"), OPTIONS), answer);
    assertEquals(calls, ["listen 10.0.0.1 80"]);
  }
});

Deno.test("where there is no IPv6, `::` is all addresses of IPv4, and any other address is an error", () => {
  for (const error of [-EAFNOSUPPORT, -EADDRNOTAVAIL]) {
    const any = kernel([error, LISTENER]);
    assertEquals(listenAt(any.fake, ip("::"), OPTIONS), LISTENER);
    assertEquals(any.calls, ["listen :: 80", "listen 0.0.0.0 80"]);
    const one = kernel([error]);
    assertEquals(listenAt(one.fake, ip("::1"), OPTIONS), error);
  }
  const taken = kernel([-EADDRINUSE]);
  assertEquals(listenAt(taken.fake, ip("::"), OPTIONS), -EADDRINUSE);
});

Deno.test("a socket file on which no process answers is replaced", () => {
  const { calls, fake } = kernel([-EADDRINUSE, LISTENER], [-ECONNREFUSED]);
  assertEquals(listenAt(fake, unixSockaddr(PATH), OPTIONS), LISTENER);
  assertEquals(calls, [`listen ${PATH}`, `connect ${PATH}`, `unlink ${PATH}`, `listen ${PATH}`]);
});

Deno.test("a socket file on which a process answers, or is too busy to, stays", () => {
  // A full queue answers EAGAIN, and has an owner nevertheless.
  for (const [answer, closed] of [[CONNECTED, [`close ${CONNECTED}`]], [-EAGAIN, []]] as const) {
    const { calls, fake } = kernel([-EADDRINUSE], [answer]);
    assertEquals(listenAt(fake, unixSockaddr(PATH), OPTIONS), -EADDRINUSE);
    assertEquals(calls, [`listen ${PATH}`, `connect ${PATH}`, ...closed]);
  }
});

Deno.test("any other error of a unix socket is not taken for a file left by a crash", () => {
  const { calls, fake } = kernel([-EACCES]);
  assertEquals(listenAt(fake, unixSockaddr(PATH), OPTIONS), -EACCES);
  assertEquals(calls, [`listen ${PATH}`]);
});

Deno.test({
  name:
    "on the real kernel the socket file of a crash is replaced, one that is in use or no socket stays",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
    using libc = new Libc();
    const path = `${folder}/front.sock`;
    const first = listenAt(libc, unixSockaddr(path), OPTIONS);
    assert(first > 0);
    assertEquals(listenAt(libc, unixSockaddr(path), OPTIONS), -EADDRINUSE);
    // Without removing the file, as a crash would; a program that another test starts holds the descriptor a while.
    libc.shutdown(first);
    libc.close(first);
    const second = listenAt(libc, unixSockaddr(path), OPTIONS);
    assert(second > 0);
    libc.close(second);
    const other = `${folder}/text`;
    await Deno.writeTextFile(other, "kept");
    assertEquals(listenAt(libc, unixSockaddr(other), OPTIONS), -EADDRINUSE);
    assertEquals(await Deno.readTextFile(other), "kept");
    await Deno.remove(folder, { recursive: true });
  },
});
