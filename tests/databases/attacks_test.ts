/** Servers that are none, broken or hostile: every question ends, with evidence that is true, and nothing grows. */
import { assertEquals } from "@std/assert";
import type { Database } from "../../src/health/server_probe.ts";
import { ManualClock } from "../../src/base/clock.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { AskedServer } from "../harness/ask_server.ts";
import { Child } from "../harness/child.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { permissionsFor } from "../../scripts/permissions.ts";
import { acceptedBy } from "../harness/accepted.ts";

const KINDS: readonly Database[] = ["postgres", "mysql", "redis"];
/** Enough to be let in as far as the server wants. */
const ACCOUNT = { user: "app", password: "pw" };

/** A server that does `behave` with each connection, until it is disposed of. */
class FakeServer implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #conns = new Set<Deno.Conn>();
  readonly #work: Promise<unknown>;
  readonly name = `127.0.0.1:${this.#listener.addr.port}`;
  accepted = 0;

  constructor(behave: (conn: Deno.Conn) => Promise<void>) {
    const serve = async (conn: Deno.Conn) => {
      try {
        await behave(conn);
      } catch {
        // The client had enough.
      }
    };
    this.#work = (async () => {
      const all: Promise<void>[] = [];
      for await (const conn of acceptedBy(this.#listener)) {
        this.accepted++;
        this.#conns.add(conn);
        all.push(serve(conn));
      }
      await Promise.all(all);
    })();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const conn of this.#conns) {
      try {
        conn.close();
      } catch {
        // It was closed by its behaviour.
      }
    }
    await this.#work;
  }
}

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

const bytes = (...values: number[]) => new Uint8Array(values);
const text = (value: string) => new TextEncoder().encode(value);

/** What only this kind of server would begin with. */
const BEGINNINGS: Readonly<Record<Database, Uint8Array>> = {
  postgres: bytes(0x4e, 0x52, 0, 0, 0, 12),
  mysql: bytes(0x4a, 0, 0, 0, 10, 0x35),
  redis: text("$100\r\nabc"),
};
/** Far more than any answer has. */
const HUGE: Readonly<Record<Database, Uint8Array>> = {
  postgres: bytes(0x52, 0x7f, 0xff, 0xff, 0xff),
  mysql: bytes(0xff, 0xff, 0xff, 0, 10),
  redis: text("$2147483647\r\n"),
};
/** A small message over and over. */
const AGAIN: Readonly<Record<Database, Uint8Array>> = {
  postgres: bytes(0x4e, 0, 0, 0, 5, 0),
  mysql: bytes(1, 0, 0, 1, 1),
  redis: text("*1\r\n"),
};

for (const kind of KINDS) {
  Deno.test(`${kind}: what does not speak the protocol is denied`, async () => {
    const others = [
      text("HTTP/1.1 400 Bad Request\r\n\r\n"),
      text("SSH-2.0-OpenSSH_9.2\r\n"),
      text("220 mail ESMTP\r\n"),
    ];
    for (const other of others) {
      await using server = new FakeServer((conn) => writeAll(conn, other));
      await using asked = new AskedServer(kind, server.name, ACCOUNT);
      assertEquals(await asked.fails(), "denied");
    }
  });

  Deno.test(`${kind}: a huge message, and messages without end, are denied and fill no memory`, async () => {
    const endless = async (conn: Deno.Conn) => {
      const many = new Uint8Array(AGAIN[kind].length * 5_000);
      for (let at = 0; at < many.length; at += AGAIN[kind].length) many.set(AGAIN[kind], at);
      for (;;) await writeAll(conn, many);
    };
    const line = async (conn: Deno.Conn) => {
      const many = new Uint8Array(64 * 1024).fill(0x2b);
      for (;;) await writeAll(conn, many);
    };
    const disabled = { ...ACCOUNT, env: { PGSSLMODE: "disable" } };
    const huge = (conn: Deno.Conn) => writeAll(conn, HUGE[kind]);
    for (const behave of [huge, endless, line]) {
      await using server = new FakeServer(behave);
      await using asked = new AskedServer(kind, server.name, disabled);
      assertEquals(await asked.fails(), "denied");
    }
  });

  Deno.test(`${kind}: a connection that is closed at once, or in the middle, is denied`, async () => {
    const closing = (conn: Deno.Conn) => Promise.resolve(conn.close());
    const halfway = async (conn: Deno.Conn) => {
      await writeAll(conn, BEGINNINGS[kind]);
      conn.close();
    };
    for (const behave of [closing, halfway]) {
      await using server = new FakeServer(behave);
      await using asked = new AskedServer(kind, server.name, ACCOUNT);
      assertEquals(await asked.fails(), "denied");
      assertEquals(asked.ends, []);
    }
  });

  Deno.test(`${kind}: silence, and a byte from time to time, end with the signal`, async () => {
    const silent = () => Promise.resolve();
    const slow = async (conn: Deno.Conn) => {
      for (const byte of BEGINNINGS[kind]) {
        await writeAll(conn, bytes(byte));
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    };
    for (const behave of [silent, slow]) {
      const listener = new FakeServer(async (conn) => {
        await behave(conn);
        while (await conn.read(new Uint8Array(100)) !== null);
        conn.close();
      });
      await using server = listener;
      await using asked = new AskedServer(kind, server.name, ACCOUNT);
      assertEquals(await asked.fails(AbortSignal.timeout(300)), "connectFailed");
    }
  });
}

/** A server that answers each question of Redis, and ends the connection then. */
Deno.test("a server that ends each connection after its answer is not asked without a pause", async () => {
  const info = "# Replication\r\nrole:master\r\nmaster_repl_offset:1\r\n";
  const answers = [
    "+PONG\r\n*3\r\n$6\r\nmaster\r\n:1\r\n*0\r\n",
    `$${info.length}\r\n${info}\r\n`,
    "+OK\r\n",
  ];
  await using server = new FakeServer(async (conn) => {
    const buffer = new Uint8Array(1_000);
    await conn.read(buffer);
    await writeAll(conn, text(answers[0]! + answers[1]!));
    await conn.read(buffer);
    await writeAll(conn, text(answers[2]!));
    conn.close();
  });
  // No second passes, after which a further end would be told.
  await using asked = new AskedServer("redis", server.name, { clock: new ManualClock() });
  for (let n = 0; n < 20; n++) {
    await asked.says("primary");
    // As the service does when it is told.
    if (n === 0) await asked.ended();
  }
  assertEquals([asked.ends.length, server.accepted > 1], [1, true]);
});

/** The permissions that the program really has. */
const PERMISSIONS = permissionsFor(Deno.build.os);

Deno.test({
  name: "a lack of descriptors on this machine is no evidence against a server",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const program = new URL("../harness/short_of_descriptors_program.ts", import.meta.url).pathname;
    const lines: string[] = [];
    await using child = new Child(Deno.execPath(), {
      args: [
        ...["run", "--quiet", "--no-check", ...PERMISSIONS, program],
        ...KINDS.flatMap((kind) => [kind, `127.0.0.1:${unusedPort()}`]),
      ],
      onOut: (line) => lines.push(line),
      onErr: (line) => lines.push(line),
    });
    await withTestDeadline("the questions", child.ended, () => lines.join("\n"));
    assertEquals(lines, KINDS.map((kind) => `${kind} connectRefused localShortage`));
  },
});
