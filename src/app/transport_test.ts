/** Which sockets an HTTP service gets, and what is logged about it. */
import { assert, assertEquals } from "@std/assert";
import { httpOf } from "../config/testing/config.ts";
import type { Event } from "../events/events.ts";
import { denoSockets } from "../net/deno/transport.ts";
import type { ThreadGroup } from "../threads/thread_group.ts";
import { NO_THREADS } from "./threads.ts";
import { chooseSockets } from "./transport.ts";
import { opensslTest } from "../linux/testing/tls_pair.ts";
import { onLinux } from "../linux/testing/on_linux.ts";

const PLAIN = ["--primary=http://a.test", "--backup=page:/sorry.html"];
const TLS: readonly (readonly string[])[] = [
  ["--primary=https://a.test"],
  ["--primary=http://a.test", "--backup=http://b.test", "--backup=https://c.test"],
  ["--primary=http://a.test", "--tls-cert=/cert.pem", "--tls-key=/key.pem"],
];

/** Replaces threads that run. */
const THREADS = { ...NO_THREADS, group: {} as ThreadGroup };

async function choose(args: readonly string[], tlsReason?: string) {
  const events: Event[] = [];
  const publish = (event: Event) => void events.push(event);
  const sockets = await chooseSockets(httpOf(args), { publish, threads: THREADS }, tlsReason);
  return { sockets, events };
}

Deno.test("stream uses Deno's sockets on every system", async () => {
  const { sockets, events } = await choose([...PLAIN, "--relay=stream"]);
  assert(sockets === denoSockets);
  assertEquals(events, [
    { type: "sockets.chosen", sockets: "deno", reason: "it was asked for" },
  ]);
});

for (
  const [engine, reason] of [
    ["auto", "it is the fastest on this system"],
    ["splice", "it was asked for"],
  ]
) {
  Deno.test({
    name: `${engine} uses the kernel's sockets if there is no TLS`,
    ...onLinux,
    async fn() {
      const { sockets, events } = await choose([...PLAIN, `--relay=${engine}`]);
      assert(sockets === THREADS.group);
      assertEquals(events, [{ type: "sockets.chosen", sockets: "linux", reason: reason! }]);
    },
  });
}

Deno.test("auto uses Deno's sockets if there is TLS and no OpenSSL, and reports why", async () => {
  for (const args of TLS) {
    const { sockets, events } = await choose(args, "there is no OpenSSL");
    assert(sockets === denoSockets, args.join(" "));
    const reason = "those of Linux cannot be used: there is no OpenSSL";
    assertEquals(events, [{ type: "sockets.chosen", sockets: "deno", reason }]);
  }
});

Deno.test("splice, if it is required and there is TLS without OpenSSL, is an error that names the option", async () => {
  for (const args of TLS) {
    const reason = "there is no OpenSSL";
    const { sockets, events } = await choose([...args, "--relay=splice"], reason);
    assertEquals(sockets, `Cannot use the relay engine splice: ${reason} (from flag --relay)`);
    assertEquals(events, []);
  }
});

opensslTest("with OpenSSL a service with TLS uses the kernel's sockets as well", async () => {
  for (const args of TLS) assert((await choose(args)).sockets === THREADS.group, args.join(" "));
});

Deno.test("what Deno's TLS cannot do is refused in one line that names the option", async () => {
  const why = "and they are used: it was asked for";
  const cases: [string[], string][] = [
    [["--tls-cert=a,b", "--tls-key=c,d"], `several certificates|tls-cert`],
    [["--tls-cert=a", "--tls-key=c", "--client-ca=d"], "client_ca|client-ca"],
    [["--upstream-cert=a", "--upstream-key=c"], "upstream_cert|upstream-cert"],
  ];
  for (const [args, words] of cases) {
    const [what, flag] = words.split("|");
    const { sockets, events } = await choose([...PLAIN, ...args, "--relay=stream"]);
    const line =
      `Cannot use ${what}: the sockets of Deno cannot do that, ${why} (from flag --${flag})`;
    assertEquals([sockets, events], [line, []]);
  }
});

if (Deno.build.os !== "linux") {
  Deno.test("on other systems auto uses Deno's sockets, and splice is an error", async () => {
    assert((await choose(PLAIN)).sockets === denoSockets);
    assertEquals(typeof (await choose([...PLAIN, "--relay=splice"])).sockets, "string");
  });
}
