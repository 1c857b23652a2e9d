import { assert, assertEquals, assertRejects } from "@std/assert";
import { ManualClock, realClock } from "../base/clock.ts";
import {
  enableUsers,
  ETCD,
  EtcdCluster,
  ETCDCTL,
  writeEtcdCertificates,
} from "../../tests/harness/etcd.ts";
import { Folder } from "../../tests/harness/folder.ts";
import { withTestDeadline } from "../../tests/harness/test_deadline.ts";
import { EtcdClient, type EtcdSettings } from "./etcd_client.ts";
import { EtcdError } from "./etcd.ts";
import { Login } from "./login.ts";
import { ScriptedEtcd } from "./testing/scripted_etcd.ts";
import { acceptedBy } from "../../tests/harness/accepted.ts";

const PREFIX = "/failover/v1/test/svc/";

/** For peers that never answer. */
const SOON = { callMs: 1_000 };
/** For those that answer, on a busy machine as well, beside one that does not. */
const PATIENT = { callMs: 6_000 };

function clientOf(endpoints: readonly string[], more: Partial<EtcdSettings> = {}): EtcdClient {
  return new EtcdClient({ endpoints, prefix: PREFIX, callMs: 20_000, ...more }, realClock);
}

const USER = { name: "root", password: () => Promise.resolve("geheim") };
const HEADER = { cluster_id: "7", revision: "1", raft_term: "1" };

/** Calls until it succeeds: a cluster that has lost a member elects first. */
async function eventually<T>(what: string, call: () => Promise<T>): Promise<T> {
  const attempts = async () => {
    for (;;) {
      try {
        return await call();
      } catch (error) {
        if (!(error instanceof EtcdError)) throw error;
      }
    }
  };
  return await withTestDeadline(what, attempts());
}

const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({
    name: `EtcdClient ${name}`,
    ignore: ETCD === undefined || ETCDCTL === undefined,
    fn,
  });

test("reads what it wrote, and only under its prefix", async () => {
  await using etcd = await EtcdCluster.start(1);
  using client = clientOf(etcd.endpoints);
  using other = clientOf(etcd.endpoints, { prefix: "/failover/v1/test/svc2/" });
  await other.transact([], [{ put: "decision", value: "theirs" }]);
  const written = await client.transact([], [{ put: "decision", value: "größer" }]);
  assert(written.succeeded);
  const { revision, entries } = await client.read();
  assertEquals([...entries.keys()], ["decision"]);
  assertEquals(entries.get("decision"), {
    value: "größer",
    modRevision: written.revision,
    createRevision: written.revision,
    lease: undefined,
  });
  assertEquals(revision, written.revision);
});

test("tells a transaction that failed from one that changed something", async () => {
  await using etcd = await EtcdCluster.start(1);
  using client = clientOf(etcd.endpoints);
  const first = await client.transact([{ key: "leader", createRevision: 0 }], [
    { put: "leader", value: "a" },
  ]);
  assert(first.succeeded);
  const second = await client.transact([{ key: "leader", createRevision: 0 }], [
    { put: "leader", value: "b" },
  ]);
  assert(!second.succeeded);
  const conditions = [
    { key: "leader", value: "a" },
    { key: "leader", modRevision: first.revision },
  ];
  assert((await client.transact(conditions, [{ remove: "leader" }])).succeeded);
  assertEquals((await client.read()).entries.size, 0);
});

test("renews a lease, and says when it has ended; keys go with it", async () => {
  await using etcd = await EtcdCluster.start(1);
  using client = clientOf(etcd.endpoints);
  const { id, ttlS } = await client.grant(5);
  assertEquals(ttlS, 5);
  await client.transact([], [{ put: "seen/a", value: "{}", lease: id }]);
  assertEquals((await client.read()).entries.get("seen/a")?.lease, id);
  assertEquals(await client.renew(id), 5);
  await client.revoke(id);
  await client.revoke(id);
  assertEquals(await client.renew(id), 0);
  assertEquals((await client.read()).entries.size, 0);
  const error = await assertRejects(
    () => client.transact([], [{ put: "seen/a", value: "{}", lease: id }]),
    EtcdError,
  );
  assertEquals(error.kind, "leaseGone");
});

test("watches changes of its prefix, also deletions, until it is aborted", async () => {
  await using etcd = await EtcdCluster.start(1);
  using client = clientOf(etcd.endpoints);
  using other = clientOf(etcd.endpoints);
  let next = Promise.withResolvers<void>();
  const stop = new AbortController();
  const ended = client.watch(() => next.resolve(), stop.signal);
  const hint = async () => {
    await withTestDeadline("a change", next.promise);
    next = Promise.withResolvers();
  };
  await hint();
  await other.transact([], [{ put: "decision", value: "1" }]);
  await hint();
  await other.transact([], [{ remove: "decision" }]);
  await hint();
  stop.abort();
  await withTestDeadline("the watch to end", ended);
});

test("goes to the next endpoint when one is dead, and when one is frozen", async () => {
  await using etcd = await EtcdCluster.start(3);
  using client = clientOf(etcd.endpoints, PATIENT);
  const value = async () => (await client.read()).entries.get("k")?.value;
  const put = (text: string) => client.transact([], [{ put: "k", value: text }]);
  await put("1");
  assertEquals(client.endpoint, etcd.endpoints[0]);
  await etcd.members[0]!.kill();
  assertEquals(await eventually("an answer without the first member", value), "1");
  assert(client.endpoint !== etcd.endpoints[0]);
  etcd.members[0]!.start();
  await etcd.answers();
  const asked = etcd.members.find(({ endpoint }) => endpoint === client.endpoint)!;
  await asked.freeze();
  assertEquals(await eventually("an answer past a frozen member", value), "1");
  assert(client.endpoint !== asked.endpoint);
  asked.thaw();
  await eventually("a change after that", () => put("2"));
  assertEquals(await eventually("its value", value), "2");
});

test("does nothing without a majority, and goes on when there is one again", async () => {
  await using etcd = await EtcdCluster.start(3);
  using client = clientOf(etcd.endpoints, PATIENT);
  await etcd.members[0]!.kill();
  await etcd.members[1]!.kill();
  const error = await assertRejects(() => client.read(), EtcdError);
  assertEquals(error.kind, "unreachable");
  etcd.members[0]!.start();
  await eventually("two members to answer", () => client.read());
});

test("refuses the answers of another cluster, and those that are older than seen before", async () => {
  await using one = await EtcdCluster.start(1);
  await using other = await EtcdCluster.start(1);
  using client = clientOf([one.endpoints[0]!, other.endpoints[0]!]);
  await client.read();
  await one.members[0]!.kill();
  const error = await assertRejects(() => client.read(), EtcdError, "another cluster");
  assertEquals(error.kind, "stale");
});

test("reports peers that reset, stall, talk without end, or are no etcd, in time, and reads little", async () => {
  let written = 0;
  const write = async (conn: Deno.TcpConn, part: Uint8Array, times: number) => {
    for (let count = 0; count < times; count++) written += await conn.write(part);
  };
  const part = new Uint8Array(1 << 20).fill(32);
  const bytes = (text: string) => new TextEncoder().encode(text);
  const manners: Record<string, (conn: Deno.TcpConn) => Promise<void>> = {
    resets: (conn) => Promise.resolve(conn.close()),
    stalls: async (conn) => void await conn.read(new Uint8Array(10_000)),
    "is no etcd": async (conn) => {
      await conn.read(new Uint8Array(10_000));
      await conn.write(bytes(
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
      ));
    },
    "sends one byte": async (conn) => {
      await conn.read(new Uint8Array(10_000));
      await conn.write(bytes("H"));
      await conn.read(new Uint8Array(1));
    },
    "sends one byte of its answer": async (conn) => {
      await conn.read(new Uint8Array(10_000));
      await conn.write(bytes("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"));
      await conn.read(new Uint8Array(1));
    },
    "announces a gigabyte": async (conn) => {
      await conn.read(new Uint8Array(10_000));
      await conn.write(bytes(`HTTP/1.1 200 OK\r\ncontent-length: ${1 << 30}\r\n\r\n`));
      await write(conn, part, 1_024);
    },
    "has an endless header": async (conn) => {
      await conn.read(new Uint8Array(10_000));
      await conn.write(bytes("HTTP/1.1 200 OK\r\n"));
      await write(conn, bytes(`x: ${"y".repeat(60_000)}\r\n`), 10_000);
    },
    "sends elsewhere": async (conn) => {
      await conn.read(new Uint8Array(10_000));
      await conn.write(bytes(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n",
      ));
    },
    "talks without end": async (conn) => {
      await conn.read(new Uint8Array(10_000));
      await conn.write(bytes("HTTP/1.1 200 OK\r\n\r\n"));
      await write(conn, part, 64);
    },
  };
  for (const [manner, serve] of Object.entries(manners)) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const conns: Deno.TcpConn[] = [];
    const serving = (async () => {
      for await (const conn of acceptedBy(listener)) {
        conns.push(conn);
        serve(conn).catch(() => {});
      }
    })().catch(() => {});
    using client = clientOf([`http://127.0.0.1:${listener.addr.port}`], SOON);
    written = 0;
    const error = await assertRejects(() => client.read(), EtcdError);
    assertEquals(error.kind, "unreachable", manner);
    // What the sockets hold included. The memory of this process is that of other tests, too.
    assert(written < 40 << 20, `${manner}: ${written} bytes`);
    listener.close();
    await serving;
    for (const conn of conns) {
      try {
        conn.close();
      } catch {
        // It closed by itself.
      }
    }
  }
});

test("takes an error or an empty answer for no statement on keys and leases, from any version", async () => {
  const answers: readonly (readonly [number, unknown])[] = [
    [503, { code: 14, message: "etcdserver: no leader" }],
    [503, { error: "etcdserver: no leader", code: 14, message: "etcdserver: no leader" }],
    [200, { error: { code: 14, message: "etcdserver: no leader" } }],
    ...[502, 200].map((status) => [status, {}] as const),
    [200, { header: {} }],
    [200, { result: {} }],
    [200, { kvs: [], count: "0" }],
  ];
  let next: readonly [number, unknown] = [200, {}];
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    const [status, body] = next;
    return Response.json(body, { status });
  });
  await using etcd = await EtcdCluster.start(1);
  const broken = `http://127.0.0.1:${server.addr.port}`;
  for (next of answers) {
    using client = clientOf([broken]);
    for (
      const call of [
        () => client.read(),
        () => client.renew("1"),
        () => client.grant(5),
        () => client.transact([], [{ put: "k", value: "1" }]),
      ]
    ) {
      const { kind } = await assertRejects(call, EtcdError);
      assertEquals(kind, "unreachable", JSON.stringify(next));
    }
    // Another endpoint is asked.
    using both = clientOf([broken, etcd.endpoints[0]!]);
    assertEquals((await both.read()).entries.size, 0);
  }
});

test("takes an answer of the wrong shape for none, and asks the next endpoint", async () => {
  const header = { cluster_id: "7", revision: "3", raft_term: "1" };
  const answers: Record<string, readonly object[]> = {
    "/v3/kv/range": [
      { header, kvs: {} },
      { header, kvs: [5] },
      { header, kvs: [{ key: 5 }] },
      { header, kvs: [{ key: "*", value: "" }] },
      { header, kvs: [{ key: "eA==", value: "eA==", mod_revision: "many" }] },
      { header: { ...header, revision: "1e99" } },
      { header: { cluster_id: 7 } },
    ],
    "/v3/lease/grant": [
      { header },
      { header, ID: 5, TTL: "5" },
      { header, ID: "5" },
      { header, ID: "5", TTL: "-5" },
    ],
    "/v3/lease/keepalive": [{ result: { header, TTL: {} } }, { result: { header, TTL: "-1" } }],
  };
  let next: object = {};
  await using broken = new ScriptedEtcd(() => next);
  await using etcd = await EtcdCluster.start(1);
  for (const [path, shapes] of Object.entries(answers)) {
    for (next of shapes) {
      const call = (client: EtcdClient): Promise<unknown> => {
        if (path === "/v3/kv/range") return client.read();
        return path === "/v3/lease/grant" ? client.grant(5) : client.renew("1");
      };
      using alone = clientOf([broken.endpoint]);
      const { kind } = await assertRejects(() => call(alone), EtcdError);
      assertEquals(kind, "unreachable", JSON.stringify(next));
      using both = clientOf([broken.endpoint, etcd.endpoints[0]!]);
      await call(both);
      assertEquals(both.endpoint, etcd.endpoints[0], JSON.stringify(next));
    }
  }
});

test("logs in, and again when its token is not taken any more", async () => {
  await using etcd = await EtcdCluster.start(1);
  await enableUsers(etcd, "geheim");
  const user = (password: string) => ({
    login: new Login({ name: "root", password: () => Promise.resolve(password) }, realClock),
    callMs: 20_000, // etcd hashes passwords with bcrypt, which takes seconds on a busy machine
  });
  using stranger = clientOf(etcd.endpoints);
  assertEquals((await assertRejects(() => stranger.read(), EtcdError)).kind, "refused");
  using wrong = clientOf(etcd.endpoints, user("falsch"));
  const error = await assertRejects(() => wrong.read(), EtcdError, "authentication failed");
  assertEquals(error.kind, "refused");
  using client = clientOf(etcd.endpoints, user("geheim"));
  await client.transact([], [{ put: "k", value: "1" }]);
  // Tokens of the simple kind do not outlive the process.
  await etcd.members[0]!.kill();
  etcd.members[0]!.start();
  await eventually("an answer with a new token", () => client.read());
  assert((await client.transact([], [{ put: "k", value: "2" }])).succeeded);
});

test("logs in again where a token that has expired gets no answer at all", async () => {
  const taken = new Set<string>();
  let logins = 0;
  // etcd 3.5.22 closes the connection then.
  await using peer = new ScriptedEtcd((path, headers) => {
    if (path === "/v3/auth/authenticate") {
      taken.add(`t${++logins}`);
      return { token: `t${logins}` };
    }
    return taken.has(headers.get("authorization") ?? "") ? { header: HEADER } : undefined;
  });
  using client = clientOf([peer.endpoint], { login: new Login(USER, realClock) });
  await client.read();
  taken.clear();
  await eventually("an answer with a new token", () => client.read());
  assertEquals(logins, 2);
});

test("logs in before it watches, and does not ask for a watch while its password is refused", async () => {
  const watches: (string | null)[] = [];
  let isWrong = true;
  await using peer = new ScriptedEtcd((path, headers) => {
    if (path === "/v3/watch") watches.push(headers.get("authorization"));
    else if (isWrong) return { code: 3, message: "authentication failed, invalid user ID" };
    return path === "/v3/watch" ? { result: { header: HEADER, canceled: true } } : { token: "t1" };
  });
  const clock = new ManualClock();
  using client = clientOf([peer.endpoint], { login: new Login(USER, clock) });
  const { signal } = new AbortController();
  await assertRejects(() => client.watch(() => {}, signal), EtcdError, "authentication failed");
  assertEquals(watches, []);
  isWrong = false;
  await clock.advance(1_000);
  await client.watch(() => {}, signal);
  assertEquals(watches, ["t1"]);
});

test("shows its certificate, and reads the files again after a failure", async () => {
  await using folder = await Folder.make();
  const files = await writeEtcdCertificates(folder.path);
  await using etcd = await EtcdCluster.start(1, {
    certificates: { cert: files.cert, key: files.key, clientCa: files.ca },
  });
  let reads = 0;
  using client = clientOf(etcd.endpoints, {
    tls: async () => {
      const isFirst = reads++ === 0;
      return {
        ca: await Deno.readTextFile(files.ca),
        ...isFirst ? {} : {
          cert: await Deno.readTextFile(files.cert),
          key: await Deno.readTextFile(files.key),
        },
      };
    },
  });
  await eventually("an answer", () => client.read());
  assert(reads > 1);
});
