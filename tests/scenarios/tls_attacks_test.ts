/**
 * Clients that misuse TLS against the real program: each of them ends alone, an honest one is served meanwhile and
 * after it, and nothing is left of them.
 */
import { assert, assertEquals } from "@std/assert";
import { keyUpdates } from "../../src/linux/testing/key_updates.ts";
import { renegotiations, speakTls12 } from "../../src/linux/testing/renegotiations.ts";
import { type TestTls, tlsTest } from "../gateway/certificate.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { TlsAttacker } from "../harness/tls_attacker.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

const REQUEST = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const portOf = (proxy: WebProxy) => Number(proxy.address.split(":")[1]);

/** What a test needs: the proxy, one of its clients who is honest, and any number who are not. */
interface Attacked {
  readonly proxy: WebProxy;
  readonly relay: string;
  attacker(): Promise<TlsAttacker>;
  /** An honest client asks, on a connection of its own. */
  isServed(): Promise<void>;
}

/** Runs the test on the TLS of both engines; in the end the proxy is healthy and stops in order. */
function attacked(
  name: string,
  run: (it: Attacked) => Promise<void>,
  on?: readonly ("splice" | "stream")[],
  flags: Record<string, string> = {},
): void {
  const test = async (tls: TestTls) => {
    await using primary = await WebUpstream.start("primary");
    await using proxy = await startWebProxy({
      primary,
      flags: { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay, ...flags },
    });
    const isServed = async () => {
      using client = Deno.createHttpClient({ caCerts: [tls.cert], poolMaxIdlePerHost: 0 });
      const asking = fetch(`https://localhost:${portOf(proxy)}/`, { client })
        .then((answer) => answer.text());
      const text = await withTestDeadline("an honest client", asking, proxy.lastLines);
      assertEquals(text, "primary");
    };
    const attacker = () => TlsAttacker.connect(portOf(proxy), tls.cert);
    await run({ proxy, relay: tls.relay, attacker, isServed });
    await isServed();
    assertEquals(proxy.events("proxy.faulted"), []);
    assertEquals(await proxy.stop(), 0);
    assert(proxy.log.every((line) => line.startsWith("{")), proxy.log.join("\n"));
  };
  tlsTest(name, test, on);
}

for (const isAsking of [false, true]) {
  const what = isAsking ? "asks for other keys, and never reads," : "changes its keys";
  attacked(
    `a client that ${what} without end is ended, and others are served meanwhile`,
    async ({ proxy, attacker, isServed }) => {
      using one = await attacker();
      await one.handshake();
      // As many as a patient client would need for years.
      const flood = keyUpdates(one.session, 20_000, isAsking);
      const sent = one.sendRaw(flood).then(() => "sent", () => "ended");
      await isServed();
      const end: Promise<unknown> = isAsking ? sent : Promise.all([sent, one.isEnded()]);
      await withTestDeadline("the end of the flood", end, proxy.lastLines);
    },
    ["splice"],
  );
}

for (const isReading of [true, false]) {
  const what = isReading ? "reads the answers" : "reads nothing";
  attacked(
    `a client that asks for other handshakes without end, and ${what}, is ended`,
    async ({ proxy, attacker, isServed }) => {
      using one = await attacker();
      speakTls12(one.session);
      await one.handshake();
      const sent = one.sendRaw(renegotiations(one.session, 20_000)).then(() => {}, () => {});
      await isServed();
      // A writer that fails learns of the end as well.
      const end: Promise<unknown> = isReading ? Promise.all([sent, one.isEnded()]) : sent;
      await withTestDeadline("the end of the flood", end, proxy.lastLines);
      if (!isReading) await withTestDeadline("the end", one.isEnded(), proxy.lastLines);
    },
  );
}

attacked(
  "a client that changes its keys now and then is served, whatever it has sent in all",
  async ({ attacker }) => {
    using one = await attacker();
    await one.handshake();
    for (let time = 0; time < 5; time++) {
      // The parts come as they please, also in the middle of a record.
      const bytes = new Uint8Array([
        ...keyUpdates(one.session, 600, true),
        ...one.records(REQUEST),
      ]);
      for (let at = 0; at < bytes.length; at += 4_999) {
        await one.sendRaw(bytes.subarray(at, at + 4_999));
      }
      assert((await one.hear())?.includes("primary"));
    }
  },
  ["splice"],
);

attacked(
  "a handshake and a request that come byte by byte are served",
  async ({ attacker }) => {
    using one = await attacker();
    one.conn.setNoDelay(true);
    const slowly = async (bytes: Uint8Array) => {
      for (const byte of bytes) await one.sendRaw(new Uint8Array([byte]));
    };
    await one.handshake(slowly);
    await slowly(one.records(REQUEST));
    assert((await one.hear())?.includes("primary"));
  },
);

/** One record of TLS: its type, and what is in it. */
const record = (type: number, ...bytes: number[]) =>
  new Uint8Array([type, 3, 3, bytes.length >> 8, bytes.length & 255, ...bytes]);
const many = (bytes: Uint8Array, times: number) =>
  new Uint8Array(Array.from({ length: times }, () => [...bytes]).flat());
const [CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA] = [20, 21, 22, 23];

const FLOODS: Readonly<Record<string, Uint8Array>> = {
  "a fatal alert": record(ALERT, 2, 40),
  "many warnings": many(record(ALERT, 1, 90), 5_000),
  "empty records of data": many(record(DATA), 5_000),
  "empty records of the handshake": many(record(HANDSHAKE), 5_000),
  "data before the end of the handshake": record(DATA, ...new Uint8Array(1_000)),
  "a change of ciphers at a wrong time": many(record(CHANGE_CIPHER_SPEC, 1), 5_000),
  "a type that does not exist": record(99, 1, 2, 3),
  "a record that is longer than allowed": new Uint8Array([
    HANDSHAKE,
    3,
    3,
    255,
    255,
    ...many(new Uint8Array([1]), 70_000),
  ]),
  "a first message of 16 MB": new Uint8Array([
    ...record(HANDSHAKE, 1, 255, 255, 255, ...new Uint8Array(16_000)),
    ...many(record(HANDSHAKE, ...new Uint8Array(16_000)), 20),
  ]),
  "a request in plain": new TextEncoder().encode(REQUEST),
};

attacked("what does not belong into a handshake ends it, wherever it comes", async (it) => {
  const { proxy, attacker } = it;
  const attack = async (flood: Uint8Array, isFirst: boolean) => {
    using one = await attacker();
    if (!isFirst) {
      one.session.handshake();
      await one.sendRaw(one.records());
    }
    await one.sendRaw(flood).catch(() => {});
    // A few are ignored (RFC 8446 section 5), and then the client goes.
    await one.conn.closeWrite().catch(() => {});
    await one.isEnded();
  };
  const attacks = Object.values(FLOODS).flatMap((
    flood,
  ) => [attack(flood, true), attack(flood, false)]);
  await it.isServed();
  await withTestDeadline("their ends", Promise.all(attacks), proxy.lastLines);
});

attacked("five hundred clients that leave in their handshake leave nothing behind", async (it) => {
  const { proxy, attacker } = it;
  const wave = async (count: number) => {
    for (let left = count; left > 0; left -= 50) {
      await Promise.all(Array.from({ length: 50 }, async (_, at) => {
        using one = await attacker();
        one.session.handshake();
        const hello = one.records();
        const isWhole = at % 3 !== 0;
        await one.sendRaw(hello.subarray(0, isWhole ? hello.length : 100));
        // Half of them do not wait, and what is unread makes the kernel send a reset.
        if (isWhole && at % 2 === 0) await one.conn.read(new Uint8Array(1)).catch(() => {});
      }));
    }
  };
  await it.isServed();
  const descriptors = () => [...Deno.readDirSync(`/proc/${proxy.pid}/fd`)].length;
  const before = descriptors();
  await wave(500);
  await it.isServed();
  const back = async () => {
    while (descriptors() > before + 5) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  await withTestDeadline("the descriptors of before", back(), proxy.lastLines);
}, ["splice"]);

attacked(
  "a client that ends without close_notify in the middle of a body has sent no whole request",
  async ({ proxy, attacker }) => {
    using one = await attacker();
    await one.handshake();
    const head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf";
    await one.sendRaw(one.records(head));
    await one.conn.closeWrite();
    await withTestDeadline("its end", one.isEnded(), proxy.lastLines);
  },
);

attacked(
  "a client that asks for much and reads nothing holds the upstream back, and costs little memory",
  async ({ proxy, attacker, isServed }) => {
    const resident = () =>
      Number(/VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${proxy.pid}/status`))![1]) / 1_024;
    await isServed();
    const before = resident();
    const idle: TlsAttacker[] = [];
    for (let count = 0; count < 8; count++) {
      const one = await attacker();
      idle.push(one);
      await one.handshake();
      await one.sendRaw(one.records("GET /download?bytes=40000000 HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    for (let time = 0; time < 10; time++) await isServed();
    assert(resident() - before < 100, `${resident() - before} MB more`);
    for (const one of idle) one[Symbol.dispose]();
  },
  ["splice"],
);

attacked(
  "clients that read nothing any more have no descriptor after their time",
  async ({ proxy, attacker, isServed }) => {
    await isServed();
    const descriptors = () => [...Deno.readDirSync(`/proc/${proxy.pid}/fd`)].length;
    const before = descriptors();
    using idle = new DisposableStack();
    for (let count = 0; count < 20; count++) {
      const one = idle.use(await attacker());
      await one.handshake();
      await one.sendRaw(one.records("GET /download?bytes=40000000 HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    const freed = async () => {
      while (descriptors() > before + 8) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    await withTestDeadline("their descriptors", freed(), proxy.lastLines);
  },
  Deno.build.os === "linux" ? undefined : ["splice"],
  { "write-timeout": "2s" },
);

tlsTest("over TLS, too, a client has its time to read, and to begin a request", async (tls) => {
  await using primary = await WebUpstream.start("primary");
  await using folder = await Folder.make();
  await using proxy = await startWebProxy({
    primary,
    flags: {
      ...{ "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay },
      ...{ "write-timeout": "500ms", "keep-alive-timeout": "1s" },
      ...{ "access-log": folder.at("access.log"), "access-log-format": "json" },
    },
  });
  using reader = await TlsAttacker.connect(portOf(proxy), tls.cert);
  await reader.handshake();
  await reader.sendRaw(reader.records("GET /download?bytes=40000000 HTTP/1.1\r\nHost: a\r\n\r\n"));
  await folder.reads("access.log", (text) => text.includes("slow-reader"));
  // Messages of TLS are no beginning of a request.
  using silent = await TlsAttacker.connect(portOf(proxy), tls.cert);
  await silent.handshake();
  let isOver = false;
  const ended = silent.isEnded().then(() => isOver = true);
  const sending = (async () => {
    while (!isOver) {
      await silent.sendRaw(keyUpdates(silent.session, 1));
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })().catch(() => {});
  await withTestDeadline("its end", Promise.all([ended, sending]), proxy.lastLines);
  assertEquals(proxy.events("proxy.faulted"), []);
});
