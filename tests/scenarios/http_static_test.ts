/**
 * Files as a backup, with the real program, while they are written to: only the response of the file may be
 * cut.
 */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { tlsTest } from "../gateway/certificate.ts";
import { Http2Client } from "../gateway/http2_client.ts";
import { Child } from "../harness/child.ts";
import { Folder } from "../harness/folder.ts";
import { untilTrue, withTestDeadline } from "../harness/test_deadline.ts";
import { type Engine, scenario, testWithPrograms } from "../harness/scenario.ts";
import type { WebConnection } from "../harness/web_client.ts";
import { startWebProxy, type WebProxy } from "../harness/web_proxy.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

/** More than the buffers between a file and a client that does not read can hold. */
const HUGE_BYTES = 64 * 1024 * 1024;

/** A proxy whose only usable upstream is `backup`. */
async function withBackup(backup: string, relay: Engine): Promise<WebProxy> {
  const primary = { url: `http://127.0.0.1:${unusedPort()}` };
  return await startWebProxy({ primary, backups: [backup], flags: { relay, h2c: true } });
}

/** Reads a body of which the head declared `length` bytes, and what follows it: nothing may. */
async function ending({ conn }: WebConnection, length: number): Promise<"whole" | "cut"> {
  try {
    await conn.receiveBulk(length);
  } catch (error) {
    // How a connection is cut depends on the sockets.
    const isReset = error instanceof Deno.errors.ConnectionReset;
    if (isReset || /too early/.test((error as Error).message)) return "cut";
    throw error;
  }
  assertEquals(await conn.chunk(), undefined, "more than was declared");
  return "whole";
}

/** A request on a separate connection, of whose response only the head was read. */
async function begun(proxy: WebProxy, target: string) {
  const connection = await proxy.open();
  await connection.send({ target, lines: ["Connection: close"] });
  const head = await withTestDeadline(`a head of ${target}`, connection.head(), proxy.lastLines);
  return { connection, ...head };
}

/** How many files of this folder the process has open; undefined where the system does not say. */
function openFilesOf(pid: number, folder: string): number | undefined {
  if (Deno.build.os !== "linux") return undefined;
  let count = 0;
  for (const { name } of Deno.readDirSync(`/proc/${pid}/fd`)) {
    try {
      if (Deno.readLinkSync(`/proc/${pid}/fd/${name}`).startsWith(folder)) count++;
    } catch (error) {
      // The file was closed after it was listed.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return count;
}

/** Checks that the proxy still serves, has printed only log lines, and has none of these files open. */
async function assertUnharmed(proxy: WebProxy, folder: string): Promise<void> {
  assertEquals((await proxy.get("/__failover/health")).status, 200);
  assertEquals(proxy.log.filter((line) => !line.startsWith("{")), []);
  await closesAll(proxy, folder);
}

/** Waits until the proxy has none of these files open: a thread closes a file after the response. */
async function closesAll(proxy: WebProxy, folder: string): Promise<void> {
  const isClosed = () => (openFilesOf(proxy.pid, folder) ?? 0) === 0;
  await untilTrue("all files to be closed", isClosed, proxy.lastLines);
}

/** Waits until so many responses are counted that were cut: a thread counts one after its end. */
async function countsLost(count: number, ask: () => Promise<string>): Promise<void> {
  let state = "";
  const isCounted = async () => new RegExp(`"lost":${count}\\b`).test(state = await ask());
  await untilTrue(`${count} lost responses to be counted`, isCounted, () => state);
}

for (const kind of ["folder", "page"] as const) {
  scenario(
    `a ${kind} that shrinks while it is sent ends that response, and is reported`,
    async ({ relay }) => {
      await using folder = await Folder.make();
      const file = await folder.write("page", "");
      await Deno.truncate(file, HUGE_BYTES);
      await using proxy = await withBackup(
        ...[kind === "folder" ? `file://${folder.path}` : `page:${file}`, relay] as const,
      );
      const { connection, headers } = await begun(proxy, "/page");
      assertEquals(headers.get("content-length"), String(HUGE_BYTES));
      await Deno.truncate(file, 0);
      const ended = await withTestDeadline(
        "its end",
        ending(connection, HUGE_BYTES),
        proxy.lastLines,
      );
      assertEquals(ended, "cut");
      connection.close();
      await Deno.truncate(file, HUGE_BYTES);
      const client = await Http2Client.to(proxy.address);
      const asked = await client.begin("GET", "/page");
      const { get } = await withTestDeadline("a head", asked.head(), proxy.lastLines);
      assertEquals(get("content-length"), String(HUGE_BYTES));
      await Deno.truncate(file, 0);
      assertEquals((await withTestDeadline("its end", asked.rest(), proxy.lastLines)).end, "reset");
      client.conn.close();
      const reported = await proxy.event("session.failed");
      assertMatch(reported.reason, /file became shorter/);
      await countsLost(2, async () => (await proxy.get("/__failover/state")).text);
      await assertUnharmed(proxy, folder.path);
    },
  );

  scenario(
    `a ${kind} that grows, vanishes or is replaced is sent as it was opened`,
    async ({ relay }) => {
      await using folder = await Folder.make();
      const file = await folder.write("page", "");
      await using proxy = await withBackup(
        ...[kind === "folder" ? `file://${folder.path}` : `page:${file}`, relay] as const,
      );
      const changes: readonly (() => Promise<void>)[] = [
        () => Deno.writeFile(file, new Uint8Array(100_000), { append: true }),
        () => Deno.remove(file),
        async () => await Deno.rename(await folder.write("new", "new"), file),
      ];
      for (const change of changes) {
        await Deno.writeTextFile(file, "");
        await Deno.truncate(file, HUGE_BYTES);
        const { connection } = await begun(proxy, "/page");
        await change();
        const ended = await withTestDeadline(
          "its end",
          ending(connection, HUGE_BYTES),
          proxy.lastLines,
        );
        assertEquals(ended, "whole");
        connection.close();
      }
      assertEquals(proxy.events("session.failed"), []);
      await assertUnharmed(proxy, folder.path);
    },
  );
}

scenario(
  "a file that is overwritten in place is not sent as complete",
  async ({ relay }) => {
    await using folder = await Folder.make();
    const file = await folder.write("page", "");
    await Deno.truncate(file, HUGE_BYTES);
    await using proxy = await withBackup(`file://${folder.path}`, relay);
    const { connection } = await begun(proxy, "/page");
    {
      using over = await Deno.open(file, { write: true });
      await over.seek(-10, Deno.SeekMode.End);
      await over.write(new TextEncoder().encode("other text"));
    }
    const ended = await withTestDeadline(
      "its end",
      ending(connection, HUGE_BYTES),
      proxy.lastLines,
    );
    assertEquals(ended, "cut");
    connection.close();
    assertMatch((await proxy.event("session.failed")).reason, /written meanwhile/);
    await assertUnharmed(proxy, folder.path);
  },
);

scenario("a client that leaves in the middle of a file leaves no file open", async ({ relay }) => {
  await using folder = await Folder.make();
  const file = await folder.write("page", "");
  await Deno.truncate(file, HUGE_BYTES);
  await using proxy = await withBackup(`file://${folder.path}`, relay);
  const all = await Promise.all(Array.from({ length: 8 }, () => begun(proxy, "/page")));
  for (const { connection } of all) connection.close();
  await assertUnharmed(proxy, folder.path);
  const client = await Http2Client.to(proxy.address);
  const streams = await Promise.all(Array.from({ length: 8 }, () => client.begin("GET", "/page")));
  for (const one of streams) {
    assertEquals((await withTestDeadline("a head", one.head(), proxy.lastLines)).status, 200);
  }
  for (const one of streams) await one.leave();
  await assertUnharmed(proxy, folder.path);
  const own = await client.begin("GET", "/__failover/health");
  assertEquals((await withTestDeadline("an answer", own.answer())).body, "OK");
  client.conn.close();
});

scenario(
  "rewrites under load: each response is complete or cut, and no file is left open",
  async ({ relay }) => {
    await using folder = await Folder.make();
    const file = folder.at("page");
    const sizes = [3_000_000, 10, 700_000, 0];
    await Deno.writeFile(file, new Uint8Array(sizes[0]!));
    await using proxy = await withBackup(`file://${folder.path}`, relay);
    let answers = 0;
    let cuts = 0;
    const client = async () => {
      for (let i = 0; i < 25; i++) {
        const { connection, status, headers } = await begun(proxy, "/page");
        assertEquals(status, 200);
        const length = Number(headers.get("content-length"));
        const ended = await withTestDeadline(
          "its end",
          ending(connection, length),
          proxy.lastLines,
        );
        connection.close();
        answers++;
        if (ended === "cut") cuts++;
      }
    };
    let finished = false;
    const rewriting = (async () => {
      for (let i = 0; !finished; i++) {
        // In place, as an editor or `cp` does, so that it shrinks while it is read.
        await Deno.writeFile(file, new Uint8Array(sizes[i % sizes.length]!));
      }
    })();
    try {
      await Promise.all(Array.from({ length: 6 }, client));
    } finally {
      finished = true;
      await rewriting;
    }
    assertEquals(answers, 150);
    await countsLost(cuts, async () => (await proxy.get("/__failover/state")).text);
    await assertUnharmed(proxy, folder.path);
  },
);

scenario("HEAD of a file has its length, and the connection stays open", async ({ relay }) => {
  await using folder = await Folder.make();
  await folder.write("page", "twelve bytes");
  await using proxy = await withBackup(`file://${folder.path}`, relay);
  const connection = await proxy.open();
  for (const method of ["HEAD", "GET", "HEAD"]) {
    await connection.send({ method, target: "/page" });
    const reply = await withTestDeadline(`the answer to ${method}`, connection.reply(method));
    assertEquals([reply.status, reply.headers.get("content-length")], [200, "12"]);
    assertEquals(reply.text, method === "GET" ? "twelve bytes" : "");
  }
  connection.close();
  const client = await Http2Client.to(proxy.address);
  for (const method of ["HEAD", "GET", "HEAD"]) {
    const asked = await client.begin(method, "/page");
    const { status, body, end, get } = await withTestDeadline(method, asked.answer());
    assertEquals([status, get("content-length"), end], [200, "12", "whole"]);
    assertEquals(body, method === "GET" ? "twelve bytes" : "");
  }
  client.conn.close();
});

testWithPrograms(
  "without a free descriptor a folder does not answer that a file does not exist",
  ["sh"],
  async () => {
    await using folder = await Folder.make();
    const page = await folder.write("page", "here");
    const program = new URL("../harness/no_descriptors_program.ts", import.meta.url).pathname;
    const run = `ulimit -n 256; exec "$0" run --quiet --no-check -A "$@"`;
    const { stdout, stderr } = await new Deno.Command("sh", {
      args: ["-c", run, Deno.execPath(), program, folder.path, page],
    }).output();
    const said = new TextDecoder().decode(stdout);
    assertEquals(said, "[503,503,200]\n", new TextDecoder().decode(stderr));
  },
);

testWithPrograms("a file system that does not answer is not waited for", ["mkfifo"], async () => {
  await using folder = await Folder.make();
  await Deno.writeFile(folder.at("page"), new Uint8Array(200_000));
  await new Deno.Command("mkfifo", { args: [folder.at("pipe")] }).output();
  const program = new URL("../harness/silent_files_program.ts", import.meta.url).pathname;
  const said: string[] = [];
  await using child = new Child(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "-A", program, folder.path],
    onOut: (line) => said.push(line),
    onErr: (line) => said.push(line),
  });
  await withTestDeadline("its end", child.ended, () => said.join("\n"));
  const silent = "response was cut short: the file system does not answer";
  assertEquals(said, [JSON.stringify([503, silent, 200, 200_000, 0])]);
});

for (const version of [1, 2]) {
  tlsTest(
    `over TLS and HTTP/${version} too a file that shrinks ends that response alone`,
    async (tls) => {
      await using folder = await Folder.make();
      const file = await folder.write("page", "");
      await Deno.truncate(file, HUGE_BYTES);
      const primary = { url: `http://127.0.0.1:${unusedPort()}` };
      const flags = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
      await using proxy = await startWebProxy({
        primary,
        backups: [`file://${folder.path}`],
        flags,
      });
      using client = Deno.createHttpClient({
        caCerts: [tls.cert],
        http1: version === 1,
        http2: version === 2,
      });
      const url = `https://localhost:${proxy.address.split(":")[1]}`;
      const get = (target: string) =>
        withTestDeadline(target, fetch(url + target, { client }), proxy.lastLines);
      for (let i = 0; i < 3; i++) {
        await Deno.truncate(file, HUGE_BYTES);
        const response = await get("/page");
        await Deno.truncate(file, 0);
        await assertRejects(() =>
          withTestDeadline("its end", response.arrayBuffer(), proxy.lastLines)
        );
      }
      assertMatch((await proxy.event("session.failed")).reason, /file became shorter/);
      assertEquals(await (await get("/__failover/health")).text(), "OK");
      await countsLost(3, async () => await (await get("/__failover/state")).text());
      assertEquals(proxy.log.filter((line) => !line.startsWith("{")), []);
      await closesAll(proxy, folder.path);
    },
  );
}
