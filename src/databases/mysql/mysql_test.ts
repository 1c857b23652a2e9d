/** The probe of MySQL with a server that answers late; real ones are in tests/databases/mysql_test.ts. */
import { assertEquals } from "@std/assert";
import { ManualClock } from "../../base/clock.ts";
import { mysqlProtocol } from "./mysql.ts";
import { MysqlFramer, packet } from "./packets.ts";
import { acceptedBy } from "../../../tests/harness/accepted.ts";

const TEXT = new TextEncoder();
const OK = new Uint8Array([0, 0, 0, 2, 0, 0, 0]);
const END = new Uint8Array([0xfe, 0, 0, 2, 0]);

const GREETING = new Uint8Array([
  ...[10, ...TEXT.encode("11.4.2-MariaDB\0"), 1, 0, 0, 0, ...TEXT.encode("abcdefgh"), 0],
  ...[0xff, 0xf7, 45, 2, 0, 0xff, 0x81, 21, ...new Uint8Array(10)],
  ...[...TEXT.encode("ijklmnopqrst"), 0, ...TEXT.encode("mysql_native_password\0")],
]);

/** Texts, each after its length. */
function texts(...all: string[]): Uint8Array {
  return new Uint8Array(all.flatMap((text) => [text.length, ...TEXT.encode(text)]));
}

/** A replica that says at once that it takes no writes; about replication it answers if `isQuick`. */
class LateReplica implements AsyncDisposable {
  isQuick = false;
  /** How often it was asked about replication. */
  asked = 0;
  #onAsked = () => {};
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #served = this.#accept();

  get port(): number {
    return this.#listener.addr.port;
  }

  /** Resolves when it is asked about replication the next time. */
  nextAsked(): Promise<void> {
    return new Promise((resolve) => this.#onAsked = resolve);
  }

  async #accept(): Promise<void> {
    for await (const conn of acceptedBy(this.#listener)) void this.#serve(conn);
  }

  async #serve(conn: Deno.Conn): Promise<void> {
    using _conn = conn;
    const framer = new MysqlFramer();
    const buffer = new Uint8Array(1_000);
    await conn.write(packet(0, GREETING));
    for (let isIn = false;;) {
      const count = await conn.read(buffer).catch(() => null);
      if (count === null) return;
      for (const { sequence, body } of framer.push(buffer.subarray(0, count))) {
        const answer = isIn ? this.#answer(new TextDecoder().decode(body)) : [OK];
        isIn = true;
        const bytes = answer.flatMap((each, at) => [...packet(sequence + 1 + at, each)]);
        await conn.write(new Uint8Array(bytes));
      }
    }
  }

  #answer(query: string): Uint8Array[] {
    const columns = ["def", "", "", ""];
    if (query.includes("read_only")) {
      return [new Uint8Array([1]), texts(...columns, "read_only"), END, texts("1"), END];
    }
    if (!query.includes("show")) return [];
    this.asked++;
    this.#onAsked();
    if (!this.isQuick) return [];
    const column = texts(...columns, "seconds_behind_master");
    return [new Uint8Array([1]), column, END, texts("7"), END];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#served;
  }
}

Deno.test("a late answer about replication is asked for again after a pause that doubles, and begins anew", async () => {
  await using server = new LateReplica();
  const clock = new ManualClock();
  const { logIn } = mysqlProtocol({
    database: "mysql",
    address: { kind: "tcp", host: "127.0.0.1", port: server.port },
    name: "db",
    user: "failover",
    readPassword: undefined,
    env: {},
    clock,
    tlsMode: "disable",
  });
  const { signal } = new AbortController();
  /** Asks on a new connection; the question about replication, if it is put, is given up in time. */
  const lag = async () => {
    const session = await logIn(signal);
    const isAsked = server.nextAsked();
    const asking = session.ask();
    if (!server.isQuick && await Promise.race([isAsked.then(() => true), asking]) === true) {
      await clock.advance(500);
    }
    const { role, lagSeconds } = await asking;
    await session.close();
    assertEquals(role, "standby");
    return lagSeconds;
  };
  assertEquals([await lag(), server.asked], [undefined, 1]);
  for (const [at, pauseMs] of [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000].entries()) {
    await clock.advance(pauseMs - 1);
    assertEquals([await lag(), server.asked], [undefined, 1 + at]);
    await clock.advance(1);
    assertEquals([await lag(), server.asked], [undefined, 2 + at]);
  }
  await clock.advance(30_000);
  server.isQuick = true;
  assertEquals(await lag(), 7);
  server.isQuick = false;
  assertEquals(await lag(), undefined);
  await clock.advance(1_000);
  server.isQuick = true;
  assertEquals(await lag(), 7);
});
