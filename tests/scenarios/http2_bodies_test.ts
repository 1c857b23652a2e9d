/**
 * Bodies over HTTP/2 stand in buffers that all connections of a thread share: whatever is cancelled in the middle,
 * with bytes of it still on their way, nobody gets a byte of somebody else's.
 */
import { assertEquals } from "@std/assert";
import { type TestTls, tlsTest, withHttp2Client } from "../gateway/certificate.ts";
import { nodeUpstream } from "../gateway/gateway_fixture.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { startWebProxy } from "../harness/web_proxy.ts";

/** More than the sockets on the way hold. */
const BODY_BYTES = 12 * 1024 * 1024;
/** Bodies at one time: those with odd numbers are cancelled, and as many begin after that. */
const TOGETHER = 6;
const PART = 16 * 1024;

/** What has come of the body with this number: how many bytes, and how many that are not its own. */
class Seen {
  bytes = 0;
  foreign = 0;

  add(part: Uint8Array, number: number): void {
    this.bytes += part.length;
    for (const byte of part) if (byte !== number) this.foreign++;
  }
}

async function proxyTo(port: number, tls: TestTls) {
  const own = { "tls-cert": tls.certPath, "tls-key": tls.keyPath, relay: tls.relay };
  const primary = { url: `http://127.0.0.1:${port}` };
  // The upstream is in this process, and busy.
  const flags = { ...own, "max-body": "1GB", "check-timeout": "20s" };
  return await startWebProxy({ primary, flags });
}

/** A body of `BODY_BYTES`, each of which is its number. */
function bodyOf(number: number): ReadableStream<Uint8Array> {
  let left = BODY_BYTES;
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(new Uint8Array(PART).fill(number));
      left -= PART;
      if (left === 0) controller.close();
    },
  });
}

tlsTest("of uploads that are cancelled no byte is in another one", async (tls) => {
  const seen = new Map<number, Seen>();
  const go = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  await using up = await nodeUpstream(async (request, response) => {
    const number = Number(request.headers["x-number"] ?? 0);
    if (number === 0) return response.end();
    const mine = new Seen();
    seen.set(number, mine);
    try {
      for await (const part of request) {
        mine.add(part, number);
        if (seen.size === TOGETHER) begun.resolve();
        await go.promise;
      }
    } catch {
      // It was cancelled.
      return;
    }
    response.end(String(mine.bytes));
  });
  await using proxy = await proxyTo(up.port, tls);
  const url = `https://localhost:${proxy.address.split(":")[1]}/`;
  await withHttp2Client(tls, async (client) => {
    const upload = async (number: number, signal?: AbortSignal) => {
      const headers = { "x-number": String(number) };
      const body = bodyOf(number);
      const init = { client, method: "POST", headers, body, signal: signal ?? null };
      return Number(await (await fetch(url, init)).text());
    };
    const cancel = new AbortController();
    const first = Array.from(
      { length: TOGETHER },
      (_, at) => upload(at + 1, at % 2 === 0 ? cancel.signal : undefined),
    );
    for (const each of first) each.catch(() => {});
    await withTestDeadline("all uploads to begin", begun.promise, proxy.lastLines);
    cancel.abort();
    const later = Array.from({ length: TOGETHER / 2 }, (_, at) => upload(100 + at));
    go.resolve();
    const whole = [...first.filter((_, at) => at % 2 === 1), ...later];
    const all = withTestDeadline("the uploads", Promise.all(whole), proxy.lastLines);
    assertEquals(new Set(await all), new Set([BODY_BYTES]));
    const ends = await withTestDeadline("their ends", Promise.allSettled(first));
    assertEquals(ends.filter(({ status }) => status === "rejected").length, TOGETHER / 2);
  });
  const foreign = [...seen].map(([number, { foreign }]) => [number, foreign]);
  assertEquals(foreign.filter(([, count]) => count !== 0), []);
});

tlsTest("of downloads that are cancelled no byte is in another one", async (tls) => {
  await using up = await nodeUpstream(async (request, response) => {
    const number = Number(request.url!.slice(1));
    response.on("error", () => {});
    const part = new Uint8Array(PART).fill(number);
    const closed = new Promise((resolve) => response.once("close", resolve));
    for (let left = number === 0 ? 0 : BODY_BYTES; left > 0 && !response.destroyed; left -= PART) {
      if (response.write(part)) continue;
      const drained = new Promise((resolve) => response.once("drain", resolve));
      await Promise.race([drained, closed]);
    }
    response.end();
  });
  await using proxy = await proxyTo(up.port, tls);
  const url = `https://localhost:${proxy.address.split(":")[1]}/`;
  await withHttp2Client(tls, async (client) => {
    /** The rest of a download, of which the beginning was read. */
    const begin = async (number: number) => {
      const { body } = await fetch(`${url}${number}`, { client });
      const reader = body!.getReader();
      const mine = new Seen();
      const readOn = async () => {
        const { value } = await reader.read();
        if (value !== undefined) mine.add(value, number);
        return value !== undefined;
      };
      await readOn();
      const rest = async () => {
        while (await readOn());
        return [mine.bytes, mine.foreign];
      };
      return { rest, cancel: () => reader.cancel() };
    };
    const download = async (number: number) => await (await begin(number)).rest();
    // Who stands still holds some of the window of the connection: no more than two, so that the others go on.
    const whole = [download(1), download(2)];
    const stopped = await withTestDeadline(
      "the beginnings",
      Promise.all([begin(3), begin(4)]),
      proxy.lastLines,
    );
    for (const each of stopped) await each.cancel();
    whole.push(...[100, 101, 102].map(download));
    const ends = await withTestDeadline("their ends", Promise.all(whole), proxy.lastLines);
    for (const end of ends) assertEquals(end, [BODY_BYTES, 0]);
  });
});
