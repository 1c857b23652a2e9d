import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { realClock } from "../../base/clock.ts";
import { serveListener } from "../../net/deno/listener.ts";
import { Deadlines } from "../../net/deadlines.ts";
import type { Exchange } from "../../http1/exchange.ts";
import { serveFetch } from "../../http1/fetch_app.ts";
import { Server } from "../../http1/server.ts";
import { folderBackup, pageBackup, type StaticBackup } from "./static.ts";

/** A folder with a secret file beside it; both are removed at the end. */
async function site(files: Readonly<Record<string, string>> = {}) {
  const parent = await Deno.makeTempDir();
  const root = `${parent}/site`;
  const all = { "../secret.txt": "secret", "index.html": "<h1>home</h1>", ...files };
  await Deno.mkdir(root);
  for (const [name, text] of Object.entries(all)) {
    const path = `${root}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(path, text);
  }
  return {
    root,
    [Symbol.asyncDispose]: () => Deno.remove(parent, { recursive: true }),
  };
}

/** A request with a raw target, as from our server: `new Request` would normalize it. */
function asked(target: string, init: RequestInit = {}): Request {
  const request = new Request("http://x/", init);
  Object.defineProperty(request, "url", { value: `http://app.example${target}` });
  return request;
}

async function get(backup: StaticBackup, target: string, headers: HeadersInit = {}) {
  const response = await backup(asked(target, { headers }));
  return { status: response.status, headers: response.headers, text: await response.text() };
}

Deno.test("a folder is served with types, an index page and its length", async () => {
  await using at = await site({ "a/app.js": "let x", "a/index.html": "inner", "data": "?" });
  const backup = folderBackup(at.root, realClock);
  const script = await get(backup, "/a/app.js?v=1#top");
  assertEquals([script.status, script.text], [200, "let x"]);
  assertEquals(script.headers.get("content-type"), "text/javascript; charset=UTF-8");
  assertEquals(script.headers.get("content-length"), "5");
  assertEquals((await get(backup, "/")).text, "<h1>home</h1>");
  assertEquals((await get(backup, "")).text, "<h1>home</h1>");
  assertEquals((await get(backup, "/a/")).text, "inner");
  assertEquals((await get(backup, "/a%2Fapp.js")).status, 404);
  assertEquals((await get(backup, "//a//%61pp.js")).text, "let x");
  assertEquals(
    (await get(backup, "/data")).headers.get("content-type"),
    "application/octet-stream",
  );
});

Deno.test("no path leads out of the folder, whatever it consists of", async () => {
  await using at = await site({ ".env": "secret", "b/.git/config": "secret" });
  const outside = `${at.root}/../secret.txt`;
  await Deno.symlink(outside, `${at.root}/link.txt`);
  await Deno.symlink(`${at.root}/..`, `${at.root}/up`);
  await Deno.mkdir(`${at.root}-sibling`);
  await Deno.writeTextFile(`${at.root}-sibling/secret.txt`, "secret");
  const targets = [
    "/../secret.txt",
    "/b/../../secret.txt",
    "/%2e%2e/secret.txt",
    "/.%2e/secret.txt",
    "/..%2fsecret.txt",
    "/%2e%2e%2fsecret.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/%252e%252e/secret.txt",
    "/../site-sibling/secret.txt",
    "/link.txt",
    "/up/secret.txt",
    "/index.html%00.txt",
    "/index.html\0",
    "/%",
    "/%ff%fe",
    "/.env",
    "/b/.git/config",
    outside,
    `/${"x".repeat(5_000)}`,
    "/index.html/",
    "/index.html/x",
    "*",
    "/b/",
  ];
  const backup = folderBackup(at.root, realClock);
  for (const target of targets) {
    const { status, text } = await get(backup, target);
    // `*` carries no path, which is the root.
    assertEquals([status, text.includes("secret")], [target === "*" ? 200 : 404, false], target);
  }
});

Deno.test("no raw request target leads out of the folder either", async () => {
  await using at = await site();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const app = folderBackup(at.root, realClock);
  const handler = (exchange: Exchange) => serveFetch(exchange, app);
  const server = new Server({ deadlines: new Deadlines(realClock), handler });
  const serving = serveListener(listener, server, { clock: realClock });
  const first = async (target: string) => {
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
    const head = `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`;
    await conn.write(new TextEncoder().encode(head));
    return (await new Response(conn.readable).text()).split(" ")[1];
  };
  assertEquals(await first("/index.html"), "200");
  assertEquals(await first("http://x/index.html?q"), "200");
  for (const target of ["/../secret.txt", "/%2e%2e/secret.txt", "http://x/../secret.txt"]) {
    assertEquals(await first(target), "404", target);
  }
  listener.close();
  await server.drain(AbortSignal.abort());
  await serving;
});

Deno.test("a link within the folder works, also when the folder itself is a link that is switched", async () => {
  await using at = await site({ "one/a.txt": "first", "two/a.txt": "second" });
  const live = `${at.root}/../live`;
  await Deno.symlink(`${at.root}/one`, live);
  await Deno.symlink("a.txt", `${at.root}/one/b.txt`);
  const backup = folderBackup(live, realClock);
  assertEquals((await get(backup, "/b.txt")).text, "first");
  await Deno.remove(live);
  await Deno.symlink(`${at.root}/two`, live);
  assertEquals((await get(backup, "/a.txt")).text, "second");
});

Deno.test("a path of a folder without its final slash is redirected within the same host", async () => {
  await using at = await site({ "a b/index.html": "x", "evil.example/index.html": "x" });
  const backup = folderBackup(at.root, realClock);
  const location = async (target: string) => {
    const response = await get(backup, target);
    assertEquals(response.status, 302);
    return response.headers.get("location");
  };
  assertEquals(await location("/a%20b?q=1"), "./a%20b/?q=1");
  assertEquals(await location("//evil.example"), "./evil.example/");
});

Deno.test("a client that has the file gets 304 and no body", async () => {
  await using at = await site();
  const backup = folderBackup(at.root, realClock);
  const first = await get(backup, "/index.html");
  const etag = first.headers.get("etag")!;
  const modified = first.headers.get("last-modified")!;
  const status = async (headers: HeadersInit) => (await get(backup, "/", headers)).status;
  assertEquals(await status({ "if-none-match": `"other", ${etag}` }), 304);
  assertEquals(await status({ "if-none-match": `"other"` }), 200);
  assertEquals(await status({ "if-modified-since": modified }), 304);
  assertEquals(await status({ "if-modified-since": "Mon, 01 Jan 2001 00:00:00 GMT" }), 200);
  assertEquals(await status({ "if-modified-since": "soon" }), 200);
  const both = { "if-none-match": `"other"`, "if-modified-since": modified };
  assertEquals(await status(both), 200);
});

Deno.test("one byte range is served, several get the whole file, and one outside the file is refused", async () => {
  await using at = await site({ "r.txt": "0123456789" });
  const backup = folderBackup(at.root, realClock);
  const part = async (range: string, more: HeadersInit = {}) => {
    const { status, text, headers } = await get(backup, "/r.txt", { range, ...more });
    assertEquals(headers.get("accept-ranges"), "bytes");
    return [status, status === 416 ? "" : text, headers.get("content-range")];
  };
  assertEquals(await part("bytes=2-4"), [206, "234", "bytes 2-4/10"]);
  assertEquals(await part("bytes=7-"), [206, "789", "bytes 7-9/10"]);
  assertEquals(await part("bytes=-3"), [206, "789", "bytes 7-9/10"]);
  assertEquals(await part("bytes=-99"), [206, "0123456789", "bytes 0-9/10"]);
  assertEquals(await part("bytes=5-99"), [206, "56789", "bytes 5-9/10"]);
  assertEquals(await part("bytes=10-"), [416, "", "bytes */10"]);
  assertEquals(await part("bytes=-0"), [416, "", "bytes */10"]);
  for (const odd of ["bytes=4-2", "bytes=-", "bytes=0-1,3-4", "lines=1-2"]) {
    assertEquals(await part(odd), [200, "0123456789", null], odd);
  }
  const modified = (await get(backup, "/r.txt")).headers.get("last-modified")!;
  assertEquals((await part("bytes=2-4", { "if-range": modified }))[0], 206);
  assertEquals((await part("bytes=2-4", { "if-range": `W/"old"` }))[0], 200);
});

Deno.test("HEAD has the head of GET and no body", async () => {
  await using at = await site();
  const response = await folderBackup(at.root, realClock)(asked("/", { method: "HEAD" }));
  assertEquals([response.status, response.body], [200, null]);
  assertEquals(response.headers.get("content-length"), "13");
});

Deno.test("a missing file gets the folder's own 404 page", async () => {
  await using at = await site({ "404.html": "gone fishing" });
  const backup = folderBackup(at.root, realClock);
  const answer = await get(backup, "/nope");
  assertEquals([answer.status, answer.text], [404, "gone fishing"]);
  assertMatch(answer.headers.get("content-type")!, /^text\/html/);
});

Deno.test("a named pipe in the folder delays no request", async () => {
  await using at = await site();
  await new Deno.Command("mkfifo", { args: [`${at.root}/pipe`] }).output();
  assertEquals((await get(folderBackup(at.root, realClock), "/pipe")).status, 404);
});

Deno.test("methods that write are answered 503 with Retry-After", async () => {
  await using at = await site();
  for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
    const response = await folderBackup(at.root, realClock)(asked("/", { method }));
    assertEquals([response.status, response.headers.get("retry-after")], [503, "5"]);
    await response.body?.cancel();
  }
});

Deno.test("a big file is read only as far as the client reads, and closed when the client leaves", async () => {
  await using at = await site();
  const big = await Deno.open(`${at.root}/big.bin`, { write: true, create: true });
  await big.truncate(2 ** 31);
  big.close();
  const response = await folderBackup(at.root, realClock)(asked("/big.bin"));
  assertEquals(response.headers.get("content-length"), String(2 ** 31));
  const reader = response.body!.getReader();
  assertEquals((await reader.read()).value?.length, 64 * 1024);
  const pending = reader.read();
  // The leak check of this test fails if the file stays open.
  await Promise.all([reader.cancel(), pending]);
});

Deno.test("a file that becomes shorter breaks the response instead of ending it early", async () => {
  await using at = await site({ "log.txt": "x".repeat(100_000) });
  const response = await folderBackup(at.root, realClock)(asked("/log.txt"));
  await Deno.truncate(`${at.root}/log.txt`, 70_000);
  await assertRejects(() => response.text(), Error, "became shorter");
});

Deno.test("a page answers every request with 503, also if its file is missing", async () => {
  await using at = await site({ "sorry.html": "<p>back soon</p>" });
  const backup = pageBackup(`${at.root}/sorry.html`, realClock);
  for (const method of ["GET", "POST"]) {
    const response = await backup(asked("/any/thing", { method, headers: { range: "bytes=0-1" } }));
    assertEquals([response.status, await response.text()], [503, "<p>back soon</p>"]);
    assertEquals(response.headers.get("retry-after"), "5");
    assertMatch(response.headers.get("content-type")!, /^text\/html/);
  }
  assertEquals((await get(pageBackup(`${at.root}/none.html`, realClock), "/")).status, 503);
});
