/** curl as a client of HTTP/2, over TLS (`--http2`) and without (`--http2-prior-knowledge`), to the real program. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { createHash } from "node:crypto";
import { type TestTls, tlsTest } from "../gateway/certificate.ts";
import { Folder } from "../harness/folder.ts";
import type { Flags } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { Nginx, type WebNamed, WebUpstream } from "../harness/web_upstream.ts";

/** How curl reaches a proxy: what stands before the host, and what it needs to know. */
interface Way {
  readonly scheme: "http" | "https";
  readonly args: readonly string[];
  readonly flags: Flags;
}

const WORDS = new TextDecoder();

/** Runs `run` over TLS and without it, with the sockets of both engines. */
function curlTest(
  name: string,
  run: (way: Way) => Promise<void>,
  needs: readonly string[] = [],
): void {
  scenario(`curl --http2-prior-knowledge ${name}`, async (relay) => {
    const args = ["--http2-prior-knowledge"];
    await run({ scheme: "http", args, flags: { ...relay, h2c: true } });
  }, ["curl", ...needs]);
  tlsTest(`curl --http2 ${name}`, async (tls) => await run(overTls(tls)));
}

function overTls({ relay, certPath, keyPath }: TestTls): Way {
  const flags = { relay, "tls-cert": certPath, "tls-key": keyPath };
  return { scheme: "https", args: ["--http2", "--cacert", certPath], flags };
}

/** What curl wrote to stdout, and what it said about its work. */
async function curl(way: Way, args: readonly string[]): Promise<{ out: Uint8Array; told: string }> {
  const { success, stdout, stderr } = await new Deno.Command("curl", {
    args: ["-sS", "--max-time", "60", ...way.args, ...args],
  }).output();
  const told = WORDS.decode(stderr);
  assert(success, told);
  return { out: stdout, told };
}

const sha1 = (bytes: Uint8Array) => createHash("sha1").update(bytes).digest("hex");

/** A proxy, and the addresses of its pages. */
async function served(way: Way, primary: WebNamed) {
  const proxy = await startWebProxy({ primary, flags: { ...way.flags, "max-body": "1GB" } });
  const port = proxy.address.split(":")[1];
  const url = (path: string) => `${way.scheme}://localhost:${port}${path}`;
  return { url, [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose]() };
}

curlTest("downloads and uploads 32 MB whole", async (way) => {
  const bytes = 32 * 1024 * 1024 + 7;
  await using primary = await WebUpstream.start("primary");
  await using folder = await Folder.make();
  await using proxy = await served(way, primary);
  const file = folder.at("body");
  const format = ["-w", "%{http_version} %{http_code} %{size_download}"];
  const download = proxy.url(`/download?bytes=${bytes}`);
  const got = await curl(way, ["-o", file, ...format, download]);
  assertEquals(WORDS.decode(got.out), `2 200 ${bytes}`);
  const sum = sha1(await Deno.readFile(file));
  const direct = await fetch(`${primary.url}/download?bytes=${bytes}`);
  assertEquals(sum, sha1(new Uint8Array(await direct.arrayBuffer())));
  const sent = await curl(way, ["-T", file, proxy.url("/upload")]);
  assertEquals(WORDS.decode(sent.out), `${bytes} ${sum}`);
});

curlTest("waits for 100 Continue before it uploads", async (way) => {
  await using primary = await WebUpstream.start("primary");
  await using folder = await Folder.make();
  await using proxy = await served(way, primary);
  const file = await folder.write("body", "0123456789".repeat(20_000));
  // It would wait for a minute without the interim response.
  const expect = ["-v", "--expect100-timeout", "55", "-H", "Expect: 100-continue"];
  const { out, told } = await curl(way, [...expect, "-T", file, proxy.url("/upload")]);
  assertMatch(WORDS.decode(out), /^200000 /);
  assertMatch(told, /^< HTTP\/2 100/m);
  assertMatch(told, /^< HTTP\/2 200/m);
});

curlTest("asks by HEAD and for ranges", async (way) => {
  await using primary = await Nginx.start("primary");
  await using proxy = await served(way, primary);
  const head = WORDS.decode((await curl(way, ["-I", proxy.url("/large.txt")])).out);
  assertMatch(head, /^HTTP\/2 200/);
  assertMatch(head, /^content-length: 100000\r$/m);
  const format = ["-w", " %{http_version} %{http_code}"];
  const range = await curl(way, ["-r", "5-14", ...format, proxy.url("/large.txt")]);
  assertEquals(WORDS.decode(range.out), "5678901234 2 206");
  const end = await curl(way, ["-r", "-3", ...format, proxy.url("/large.txt")]);
  assertEquals(WORDS.decode(end.out), "789 2 206");
  const beyond = await curl(way, [
    "-r",
    "100000-",
    "-o",
    "/dev/null",
    ...format,
    proxy.url("/large.txt"),
  ]);
  assertEquals(WORDS.decode(beyond.out), " 2 416");
  // The rest of a download that has stopped.
  await using folder = await Folder.make();
  const file = await folder.write("large.txt", "0123456789".repeat(9_000));
  await curl(way, ["-C", "-", "-o", file, proxy.url("/large.txt")]);
  assertEquals(await folder.read("large.txt"), "0123456789".repeat(10_000));
}, ["nginx"]);

// Over TLS only: curl 7.88 fails at the second request of a connection without, with nginx, too.
tlsTest("curl --http2 has two hundred requests on few connections", async (tls) => {
  const way = overTls(tls);
  await using primary = await WebUpstream.start("primary");
  await using proxy = await served(way, primary);
  // `num_connects` counts the connections that were made for a transfer.
  const format = ["-w", "\n%{http_version} %{http_code} %{num_connects}\n"];
  const many = ["--parallel", "--parallel-max", "50", ...format];
  const { out } = await curl(way, [...many, proxy.url("/?n=[1-200]")]);
  // What belongs to different transfers is mixed, but each line stays whole.
  const text = WORDS.decode(out);
  assertEquals(text.match(/primary/g)?.length, 200);
  assertEquals(text.match(/^2 200 \d+$/gm)?.length, 200);
  const connections = text.match(/^2 200 1$/gm)?.length ?? 0;
  assert(connections < 20, `${connections} connections`);
});
